"""A short soak: the real process under load, watched from outside, its journal verified after."""

from pathlib import Path

import pytest

from cerberus_trader.domain.events import SignalEvent
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.queries import SEQ_MAX, Views
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.runtime.bench_live import memory
from scripts import soak


@pytest.mark.req("C-17.3", "C-19.4", "D-10.9", "E-13.3.3", "D-09.11")
def test_under_a_steady_load_all_is_judged_and_questions_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "SAMPLE_S", 0.5)
    minutes, rate = 1.0, 1_000
    work = soak.Soak(tmp_path, minutes, rate)
    shown: list[int] = []

    def asked() -> bool:
        """Ask the views while rows come in; in a few seconds, however slow the machine."""
        if (work.state / "views.db").exists():
            with Views(work.state) as views:
                latest = views.find("decision_log_up_to", SEQ_MAX, 50)
                assert len(latest) <= 50 and len(views.open_positions()) <= 4
                shown.append(views.applied_seq())
        return work.sent > 2_500 and len(set(shown)) > 2

    try:
        work.run(asked)
        work.end()
    finally:
        work.process.kill()
    found = soak.verdict(work, work.samples[-1]["s"] / 60)
    assert found["missed"] == []
    assert found["rss_mb_max"] < soak.RSS_MB_MAX < 256
    rows = list(JournalReader(tmp_path / "state").rows())
    with Views(work.state) as views:
        assert views.applied_seq() == rows[-1].seq, "nothing of it is left behind"
    assert shown == sorted(shown) and len(set(shown)) > 2, "they follow while it comes in"
    judged = [
        event.signal.id
        for event in (decode_row(row.body, place="row").event for row in rows)
        if isinstance(event, SignalEvent)
    ]
    # a slow machine leaves the last ones waiting for their moment of the file: never one between
    assert judged == [f"k{number}" for number in range(1, len(judged) + 1)]
    assert len(judged) > 100


@pytest.mark.req("D-09.12", "C-17.3")
def test_three_times_the_work_takes_no_more_memory(tmp_path: Path) -> None:
    """Hours of a played market, and hundreds of trades, leave nothing behind in the process."""
    used = []
    for count in (800, 2_400):
        folder = tmp_path / str(count)
        folder.mkdir()
        found = memory(folder, prices=count * 4, signals=count)
        assert found["signals"] == count and found["trades"] > count / 4
        used.append(found["rss_mb_max"])
    assert used[1] < used[0] + 12


def sampled(**grown: float) -> list[dict[str, float]]:
    """Return samples of half an hour in which some values grow steadily."""
    steady = {"rss_mb": 90.0, "highest_mb": 95.0, "own_mb": 60.0, "files": 36.0, "threads": 9.0,
              "disk_mb": 400.0, "blocks": 480_000.0}  # fmt: skip
    return [
        {"s": 60.0 * n, **steady} | {name: steady[name] + n * by for name, by in grown.items()}
        for n in range(31)
    ]


@pytest.mark.parametrize(
    ("grown", "words"),
    [({}, []), ({"own_mb": 2.0}, ["memory grew by 120.0 MB an hour"]),
     ({"blocks": 2_000.0}, ["the engine's blocks of memory went from 500000 to 520000"]),
     ({"files": 0.5}, ["files went from 41 to 46, at most 51"]),
     ({"threads": 1.0}, ["threads went"]),
     ({"disk_mb": 60.0}, ["the disk went from"]),
     ({"highest_mb": 2.0}, ["memory reached 155.0 MB"])],
)  # fmt: skip
def test_what_grows_misses_its_bound(grown: dict[str, float], words: list[str]) -> None:
    samples = sampled(**grown)
    missed = soak.exceeded(soak.figures(samples), samples, 30)
    assert len(missed) == len(words)
    assert all(told.startswith(word) for told, word in zip(missed, words, strict=True))


def test_descriptors_come_and_go_within_a_bound() -> None:
    samples = sampled()
    for most, missed in ((44.0, []), (45.0, ["files went from 36 to 36, at most 45"])):
        samples[20]["files"] = most
        assert soak.exceeded(soak.figures(samples), samples, 30) == missed


def test_an_engine_that_never_says_its_blocks_misses_the_bound() -> None:
    samples = sampled(blocks=float("inf"))
    assert "went from inf" in soak.exceeded(soak.figures(samples), samples, 30)[0]
