"""The benchmark of a decision trades what it says, and the bytes are those of the journal."""

from pathlib import Path

from cerberus_trader.domain.events import Event, FillReport, SignalEvent
from cerberus_trader.domain.facts import Fact, Filled, SignalJudged
from cerberus_trader.domain.row import encode_row
from cerberus_trader.replay import bench_decision as bench


def recorded(act) -> list[tuple[Event, tuple[Fact, ...]]]:  # type: ignore[no-untyped-def]
    found: list[tuple[Event, tuple[Fact, ...]]] = []

    def record(event: Event, facts: tuple[Fact, ...]) -> int:
        found.append((event, facts))
        return len(encode_row(event, facts))

    act(record)
    return found


def test_trading_enters_and_leaves_every_time() -> None:
    rows = recorded(lambda record: bench.trade(3, record))
    fills = [(event, fact) for event, facts in rows for fact in facts if isinstance(fact, Filled)]
    assert [event.reason for event, _ in fills] == ["entry", "stop_loss"] * 3
    assert all(fill.trade is not None for _, fill in fills[1::2])


def test_bytes_of_entries_and_exits_are_those_of_their_rows() -> None:
    spent = bench.Spent()

    def act(record: bench.Record) -> None:
        nonlocal spent
        spent = bench.trade(2, record)

    rows = recorded(act)[1:]
    sizes = [len(encode_row(event, facts)) for event, facts in rows]
    exits = [size for size, (event, _) in zip(sizes, rows, strict=True) if bench.is_exit(event)]
    assert spent.exit_bytes == sum(exits)
    assert spent.entry_bytes == sum(sizes) - sum(exits)
    assert spent.entries > 0 and spent.exits > 0


def test_denying_denies_every_signal() -> None:
    rows = recorded(lambda record: bench.deny(4, record))
    verdicts = [fact.decision for _, facts in rows for fact in facts
                if isinstance(fact, SignalJudged)]  # fmt: skip
    assert [one.verdict for one in verdicts] == ["denied"] * 4
    assert len({one.code for one in verdicts}) == 1


def test_entries_record_no_exit() -> None:
    rows = recorded(lambda record: bench.entries(3, record))
    events = [event for event, _ in rows]
    assert sum(isinstance(event, SignalEvent) for event in events) == 3
    assert [event.reason for event in events if isinstance(event, FillReport)] == ["entry"] * 3


def test_a_decision_on_disk_takes_more_than_its_rows() -> None:
    found = bench.document_bytes(200)
    assert found["filled_rows"] < found["filled"]
    assert found["denied_rows"] < found["denied"] < found["filled"]


def test_the_disk_holds_what_was_recorded(tmp_path: Path) -> None:
    with bench.disk_record(tmp_path) as record:
        bench.trade(5, record)
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["journal.db", "views.db"]


def test_costs_are_told_in_microseconds() -> None:
    memory, disk = bench.in_memory(20), bench.on_disk(20)
    assert set(memory) == set(disk) == {"filled_us", "exit_us", "denied_us"}
    assert 1 < memory["denied_us"] < 5_000
    assert disk["filled_us"] > memory["filled_us"] / 2
