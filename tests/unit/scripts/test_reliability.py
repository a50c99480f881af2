"""The script that measures the goals: sizes, counts, and that no violation is overlooked."""

from functools import partial
from pathlib import Path

import msgspec
import pytest

from scripts import reliability
from scripts import reliability_goals as work
from scripts.reliability_goals import Part
from tests.fuzz import damage
from tests.properties import fills, streams


def test_jobs_cover_everything_once() -> None:
    assert list(reliability.cut(10, 4, 100)) == [(100, 4), (104, 4), (108, 2)]
    assert reliability.Run(0.01, 1, True).sized(1_000) == 10
    assert reliability.Run(1e-9, 1, True).sized(1_000) == 1


def test_jobs_run_in_processes_of_their_own() -> None:
    run = reliability.Run(1.0, 2, True)
    parts = run.all([partial(work.sequences, 0, 3), partial(work.random_streams, 0, 3)], "7")
    assert [part.size for part in parts] == [3, 3] and parts[1].counts["entries"] > 0
    assert not parts[0].violations and not parts[1].violations


def test_journals_are_kept_and_decided_again(tmp_path: Path) -> None:
    part = work.record(0, 1, tmp_path)
    assert part.size == 1 and not part.violations
    assert work.decide_again(0, 1, tmp_path).violations == []
    bodies, before = msgspec.msgpack.decode((tmp_path / "0.journal").read_bytes())
    for number, changed in enumerate(((bodies, [*before[:-1], "0"]), (bodies[:-1], before)), 1):
        (tmp_path / f"{number}.journal").write_bytes(msgspec.msgpack.encode(changed))
        assert len(work.decide_again(number, 1, tmp_path).violations) == 1


def test_damages_are_tried_and_counted(tmp_path: Path) -> None:
    victim = damage.make_victim(tmp_path, old=6, new=3, body_bytes=40)
    total = sum(1 for _ in damage.every_damage(victim))
    sizes = [min(len(data), damage.TAIL_BYTES) for data in victim.whole.values()]
    assert total == 9 * sum(sizes)
    part = work.damages(victim.folder, 0, total, 60 / total)
    assert part.size == part.counts["reported"] + part.counts["unchanged"] > 20
    assert part.violations == []


def test_what_breaks_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trades: object, steps: object) -> None:
        raise AssertionError("one is two")

    monkeypatch.setattr(fills, "hold", broken)
    monkeypatch.setattr(streams, "run", lambda seed: (["too much"], 1))
    assert work.sequences(5, 1).violations == ["sequence 5: one is two"]
    assert work.random_streams(5, 1).violations == ["stream 5: too much"]


@pytest.mark.parametrize("found", [[], ["it broke"]])
def test_the_exit_code_tells_of_a_violation(
    found: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = ("things", 10, lambda run: [Part(7, {"pieces": 2}, found)])
    monkeypatch.setattr(reliability, "GOALS", {"R6": goal})
    monkeypatch.setattr("sys.argv", ["reliability", "--only", "R6"])
    assert reliability.main() == bool(found)
    shown = capsys.readouterr()
    assert "things (2 pieces)" in shown.out and ("VIOLATED: it broke" in shown.err) is bool(found)
