"""A real process that writes a journal is killed, or loses its disk."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.verify import verify

pytestmark = pytest.mark.process

# Writes rows, reports each watermark on standard output, and goes on until something ends it.
WRITER = """
import sys
from pathlib import Path
from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions

def report(seq):
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()

options = JournalOptions(durability=sys.argv[2], sync_interval_s=0.01, checkpoint_bytes=200_000)
journal = SqliteJournal(Path(sys.argv[1]), options=options, on_durable=report)
try:
    while True:
        body = b"%08d" % (journal.last_seq + 1) * 150
        seq = journal.append(journal.last_seq, "tick", body, urgent=journal.last_seq % 4 > 0)
        if seq % 1000 == 0:
            journal.save_snapshot(seq, "1", b"hash", b"state %d" % seq)
except JournalError as error:
    sys.stderr.write(str(error))
    sys.exit(error.exit_code)
"""


def start(folder: Path, durability: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), durability],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def recovered(folder: Path, promised: int) -> int:
    """Check what a restart finds: every promised row, unbroken, from a snapshot or the start."""
    report = verify(folder)
    assert report.ok, report.reasons
    with SqliteJournal(folder) as journal:
        assert journal.last_seq == report.rows >= promised
        snapshot, rows, skipped = journal.restore()
        expected = snapshot.seq if snapshot else 0
        assert skipped == ()
        for row in rows:
            expected += 1
            assert row.seq == expected
            assert row.body == b"%08d" % expected * 150
        assert expected == report.rows
    return report.rows


@pytest.mark.req("D-09.6", "E-13.2.3")
@pytest.mark.parametrize("durability", ["power", "process"])
def test_kill_9_loses_no_promised_row(tmp_path: Path, durability: str) -> None:
    rows = 0
    for round_s in (0.0, 0.05, 0.2, 0.4):
        child = start(tmp_path, durability)
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(round_s)
        child.kill()
        rest = child.stdout.read().splitlines()
        child.communicate()
        # a line cut by the kill is not a promise that anybody has read
        promised = [int(line) for line in [first, *rest[:-1]]]
        assert promised == sorted(promised)
        assert promised[-1] > rows
        rows = recovered(tmp_path, promised[-1])


@pytest.mark.parametrize("durability", ["power", "process"])
def test_a_file_size_limit_poisons_and_keeps_what_was_promised(
    tmp_path: Path, durability: str
) -> None:
    limit = 3_000_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    child = start(tmp_path, durability, preexec_fn=limited)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 3, err
    assert "Fix:" in err
    promised = [int(line) for line in out.splitlines()]
    assert promised[-1] > 1000
    assert recovered(tmp_path, promised[-1]) >= promised[-1]


def test_a_killed_replay_leaves_a_journal_that_verifies(tmp_path: Path) -> None:
    child = start(tmp_path, "none")
    limit = time.monotonic() + 30
    try:
        while not (tmp_path / "journal.db-wal").exists() or verify(tmp_path).rows < 5000:
            assert time.monotonic() < limit
            time.sleep(0.02)
    finally:  # else it writes until the disk is full
        child.kill()
        child.communicate()
    assert recovered(tmp_path, 5000) >= 5000


def test_the_killed_engines_lock_is_free_at_once(tmp_path: Path) -> None:
    child = start(tmp_path, "power")
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate()
    with SqliteJournal(tmp_path, options=JournalOptions()) as journal:
        assert journal.last_seq > 0
