"""A process that ends at any step of sealing and deleting leaves a journal that is whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.redecide import redecide
from cerberus_trader.runtime.prune import prune
from tests.days import write_days
from tests.process.prune_crash import POLICY

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.req("D-11.7", "T-15.2")
def test_an_end_at_every_step_leaves_a_whole_journal(tmp_path: Path) -> None:
    source, work = tmp_path / "source", tmp_path / "work"
    write_days(source, 6)
    before = list(JournalReader(source).verified_rows())
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.prune_crash", str(source), str(work)],
        capture_output=True, text=True, cwd=ROOT, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folders = sorted(work.iterdir())
    end = verify(work / f"after-{sum('after' in one.name for one in folders)}").deleted_seq
    assert end > 10
    assert len(folders) == int(done.stdout) + 2 and int(done.stdout) > 40
    deleted = []
    for folder in folders:
        report = verify(folder)
        assert report.ok, (folder.name, report.reasons)
        deleted.append(report.deleted_seq)
        rows = [row for row in JournalReader(folder).verified_rows() if row.kind != "retention"]
        assert rows == before[report.deleted_seq :], folder.name
        if len(deleted) % 10 == 0:  # a second run ends what the first began
            prune(folder, POLICY, "bob")
            again = verify(folder)
            assert again.ok and again.notes == [] and again.deleted_seq == end
            assert redecide(folder)["differences"] == 0
            assert not [path for path in (folder / "segments").iterdir() if "tmp" in path.name]
    assert set(deleted) == {0, end}
