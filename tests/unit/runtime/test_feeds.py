"""Feeds: files in order of time, folders line by line, standard input in blocks."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cerberus_trader.domain.settings import Intake, Settings
from cerberus_trader.domain.settings_guard import Resources
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State
from cerberus_trader.heads.lines.source import FileSource
from cerberus_trader.market.columns import Bars, Quotes
from cerberus_trader.replay.tape import Tape
from cerberus_trader.runtime.feeds import FileFeed, FolderWatch, StandardInput, instants
from cerberus_trader.runtime.inbox import Due, Inbox, Instant, Timed
from cerberus_trader.runtime.ingest import Ingest, Refusals
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.prices import CLOSE, INSIDE, POINT, LiveMarket
from tests.kit import COIN, NOON, OTHER, SECOND, D

SIGNAL: dict[str, Any] = {"ts_ns": NOON, "instrument": "COIN", "side": "buy", "confidence": 0.5,
                          "source": "head"}  # fmt: skip


def column(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def quotes(*rows: tuple[int, int]) -> Tape:
    ts, bid = (column(*c) for c in zip(*rows, strict=True))
    return Tape(OTHER, Quotes(NOON + ts * SECOND, bid, bid + 2, 2))


def bars() -> Tape:
    ts = NOON + column(0, 60, 180) * SECOND
    return Tape(COIN, Bars(ts, column(1, 2, 3), column(5, 6, 7), column(1, 1, 2), column(2, 3, 4),
                           column(9, 9, 9), 0, 0, 60 * SECOND))  # fmt: skip


def test_ticks_come_by_moment_insides_and_closes_before_points() -> None:
    found = list(instants([bars(), quotes((0, 100), (60, 101), (60, 102))], NOON - 1))
    flat = [(i.ts_ns - NOON, [(t.name, t.kind) for t in i.ticks]) for i in found]
    assert flat[0] == (0, [("COIN", POINT), ("OTHER", POINT)])
    assert flat[1] == (60 * SECOND - 1, [("COIN", INSIDE)])
    assert flat[2] == (
        60 * SECOND, [("COIN", CLOSE), ("COIN", POINT), ("OTHER", POINT), ("OTHER", POINT)],
    )  # fmt: skip
    assert flat[4] == (120 * SECOND, [("COIN", CLOSE)])
    assert found[1].ticks[0].bar == (D(1), D(5), D(1))


def test_a_restart_goes_on_behind_what_was_played() -> None:
    tapes = [bars()]
    whole = list(instants(tapes, NOON - 1))
    for cut, instant in enumerate(whole):
        assert list(instants(tapes, instant.ts_ns)) == whole[cut + 1 :]


def test_what_was_known_when_it_left_off_is_known_again() -> None:
    feed = FileFeed([bars(), quotes((0, 100))], Inbox(), NOON + 100 * SECOND, 0)
    market = LiveMarket()
    feed.prime(market)
    found = market.snapshot("COIN", NOON + 100 * SECOND, ())
    assert found is not None and (found.bid, found.ts_ns) == (D(2), NOON + 60 * SECOND)
    assert market.mark("COIN") == D(2) and market.mark("OTHER") == D("1.01")


async def test_signals_are_given_at_their_time_and_late_ones_at_once() -> None:
    inbox = Inbox()
    feed = FileFeed([quotes((0, 100), (10, 101))], inbox, NOON - 1, 0)
    for name, ts in (("late", NOON - SECOND), ("same", NOON), ("after", NOON + 99 * SECOND)):
        feed.add_signal(Signal(name, ts, "OTHER", "buy", 0.5, "h"))
    playing = asyncio.ensure_future(feed.run())
    found: list[Any] = [await inbox.take() for _ in range(6)]
    assert [type(item) for item in found] == [Timed, Instant, Timed, Instant, Timed, Due]
    assert [i.ts_ns - NOON for i in found if isinstance(i, Timed)] == [-1, 0, 99 * SECOND]
    found[-1].barrier.set()
    await playing


def ingest(folder: Path, taken: list[Signal]) -> Ingest:
    state = State(instruments={"COIN": COIN})
    return Ingest(state, lambda: NOON, taken.append, Refusals(folder, Metrics(), Log("error")))


def line(name: str) -> str:
    return json.dumps({"id": name, **SIGNAL})


def watched(folder: Path) -> tuple[FolderWatch, Path, list[Signal]]:
    """Return the watch of a folder, a file in it, and what was taken."""
    taken: list[Signal] = []
    return FolderWatch(folder, ingest(folder, taken)), folder / "a.jsonl", taken


async def test_each_line_of_a_folder_is_read_once_also_a_last_one_without_break(
    tmp_path: Path,
) -> None:
    watch, path, taken = watched(tmp_path)
    path.write_text(line("a") + "\n{broken\n" + line("b"))
    (tmp_path / "other.txt").write_text(line("no"))
    await watch.look()
    assert [s.id for s in taken] == ["a"]
    await watch.look()  # it has stopped growing
    assert [s.id for s in taken] == ["a", "b"]
    with path.open("a") as file:
        file.write("\n" + line("c") + "\nworse\n")
    await watch.look()
    await watch.look()
    assert [s.id for s in taken] == ["a", "b", "c"]
    refused = (tmp_path / "refused.jsonl").read_text().splitlines()
    assert [json.loads(x)["place"] for x in refused] == [f"{path}:2", f"{path}:5"]


@pytest.mark.req("D-10.9")
async def test_a_folder_waits_for_room_instead_of_losing_the_newest_lines(tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.bound(Resources(signals_max=4))
    refusals = Refusals(tmp_path / "state", Metrics(), Log("error"))
    waiting: list[int] = []

    def put(signal: Signal) -> None:
        inbox.put_signal(signal)
        waiting.append(len(inbox.signals))

    ing = Ingest(State(instruments={"COIN": COIN}), lambda: NOON, put, refusals)
    names = [f"s{i}" for i in range(9)]
    (tmp_path / "a.jsonl").write_text("\n".join(line(name) for name in names))
    watch = FolderWatch(tmp_path, ing, inbox.crowded)
    looking = asyncio.ensure_future(watch.look(final=True))
    taken: list[str] = []
    while len(taken) < len(names):
        item = await asyncio.wait_for(inbox.take(), 10)
        assert isinstance(item, Timed)
        taken.append(item.signal.id)
    await looking
    assert taken == names and not refusals.metrics.refused
    assert max(waiting) == 2, "half is left for the others"


async def test_a_file_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cerberus_trader.heads.lines.source.READ_BYTES_MAX", 300)
    taken: list[Signal] = []
    path = tmp_path / "a.jsonl"
    path.write_text("".join(line(f"s{i}") + "\n" for i in range(9)))
    assert len(await FileSource(path).next_signals()) == 2
    await FolderWatch(tmp_path, ingest(tmp_path, taken)).look()
    assert [s.id for s in taken] == [f"s{i}" for i in range(9)]


async def test_a_file_that_was_replaced_by_a_shorter_one_is_read_from_its_beginning(
    tmp_path: Path,
) -> None:
    watch, path, taken = watched(tmp_path)
    path.write_text(line("a") + "\n" + line("b") + "\n")
    await watch.look()
    path.write_text(line("c") + "\n{broken\n")
    await watch.look()
    assert [s.id for s in taken] == ["a", "b", "c"]
    assert f"{path}:2" in (tmp_path / "refused.jsonl").read_text()


async def test_a_folder_forgets_the_files_that_are_gone(tmp_path: Path) -> None:
    taken: list[Signal] = []
    ing = ingest(tmp_path, taken)
    watch = FolderWatch(tmp_path, ing)
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(line(name) + "\n")
    await watch.look()
    (tmp_path / "a.jsonl").unlink()
    await watch.look()
    assert list(watch._sources) == list(watch._sizes) == [tmp_path / "b.jsonl"]
    (tmp_path / "a.jsonl").write_text(line("c") + "\n")
    await watch.look()
    assert [s.id for s in taken] == ["a", "b", "c"]


async def test_a_folder_holds_the_configured_limits(tmp_path: Path) -> None:
    taken: list[Signal] = []
    ing = ingest(tmp_path, taken)
    ing.state.settings = Settings(intake=Intake(metadata_bytes_max=10))
    long = json.dumps({"id": "long", **SIGNAL, "metadata": {"text": "x" * 20}})
    (tmp_path / "a.jsonl").write_text(long + "\n" + line("a") + "\n")
    await FolderWatch(tmp_path, ing).look()
    assert [s.id for s in taken] == ["a"]
    assert "metadata" in (tmp_path / "refused.jsonl").read_text()


async def test_standard_input_gives_lines_whatever_the_blocks(tmp_path: Path) -> None:
    taken: list[Signal] = []
    inbox = Inbox()
    reading, writing = os.pipe()
    source = StandardInput(inbox, ingest(tmp_path, taken), reading)
    running = asyncio.ensure_future(source.run())
    text = line("a") + "\n" + line("b") + "\n" + '{"instrument": "COIN", "price": 3}'
    for start in range(0, len(text), 7):
        os.write(writing, text[start : start + 7].encode())
    os.close(writing)
    await asyncio.wait_for(running, 10)
    os.close(reading)
    assert [s.id for s in taken] == ["a", "b"]
    (item,) = inbox.prices
    assert isinstance(item, Instant) and item.ticks[0].bid == D(3)


async def test_a_signal_is_judged_behind_the_prices_that_stand_before_it(tmp_path: Path) -> None:
    inbox, order = Inbox(), ""
    inbox.bound(Resources(prices_max=2))
    refusals = Refusals(tmp_path, Metrics(), Log("error"))
    state = State(instruments={"COIN": COIN})
    source = StandardInput(inbox, Ingest(state, lambda: NOON, inbox.put_signal, refusals))
    price = '{"instrument": "COIN", "price": 3}'
    lines = [price, price, line("a"), line("b"), price, line("c"), price]
    taking = asyncio.ensure_future(source.take("\n".join([*lines, ""]).encode()))
    await asyncio.sleep(0.05)
    assert not inbox.signals and len(inbox.prices) == 2, "the prices wait, and so does the signal"
    while len(order) < len(lines):
        item = await asyncio.wait_for(inbox.take(), 10)
        if isinstance(item, Due):
            assert item.barrier is not None
            item.barrier.set()
            await asyncio.sleep(0.01)
        else:
            order += "p" if isinstance(item, Instant) else "s"
    await taking
    assert order == "ppsspsp" and not refusals.metrics.refused


async def test_standard_input_waits_for_room_instead_of_losing_lines(tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.bound(Resources(signals_max=4))
    refusals = Refusals(tmp_path, Metrics(), Log("error"))
    state = State(instruments={"COIN": COIN})
    source = StandardInput(inbox, Ingest(state, lambda: NOON, inbox.put_signal, refusals))
    names = [f"s{i}" for i in range(9)]
    block = "".join(line(name) + "\n" for name in names).encode()
    taking = asyncio.ensure_future(source.take(block))
    items = [await asyncio.wait_for(inbox.take(), 10) for _ in names]
    await taking
    assert [item.signal.id for item in items if isinstance(item, Timed)] == names
    assert not refusals.metrics.refused


@pytest.mark.req("D-10.9")
async def test_standard_input_waits_while_a_played_file_has_signals_enough(tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.bound(Resources(signals_max=2))
    feed = FileFeed([quotes((0, 100))], inbox, NOON - 1, 0)
    state = State(instruments={"COIN": COIN})
    refusals = Refusals(tmp_path, Metrics(), Log("error"))
    source = StandardInput(inbox, Ingest(state, lambda: NOON, feed.add_signal, refusals))
    source.crowded = feed.crowded
    block = "".join(line(name) + "\n" for name in "abc").encode()
    taking = asyncio.ensure_future(source.take(block))
    await asyncio.sleep(0.1)
    assert source.number == 3 and not taking.done() and feed.crowded()
    playing = asyncio.ensure_future(feed.run())
    await asyncio.wait_for(taking, 10)
    assert not feed.crowded()
    playing.cancel()


async def test_a_line_without_end_is_cut_off_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cerberus_trader.runtime.feeds.LINE_BYTES_MAX", 100)
    taken: list[Signal] = []
    ing = ingest(tmp_path, taken)
    source = StandardInput(Inbox(), ing)
    await source.take(b'{"side"' + b"x" * 200)
    await source.take(b"\n" + line("a").encode() + b"\n")
    assert sum(ing.refusals.metrics.refused.values()) == 1
    assert [s.id for s in taken] == ["a"]
