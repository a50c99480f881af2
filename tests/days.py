"""The journal of an engine over several days, with snapshots, as a running engine writes it."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from cerberus_trader.domain.events import Event, OperatorEvent
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.row import encode_row
from cerberus_trader.engine.state import state_bytes, state_hash
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from tests.kit import DAY, HOUR, Bench

Taken = tuple[Event, tuple[Fact, ...]]


def days(count: int, per_day: int = 6) -> Iterator[tuple[Bench, Taken]]:
    """Trade some days: an entry and a close, denials, a deposit; yield every row once."""
    bench, told = Bench(), 0
    for day in range(count):
        for number in range(per_day):
            if number == 0:
                bench.open(stop="98")
            elif number == 1:
                bench.close("101")
            else:
                bench.signal(instrument="NOPE")
            bench.now += HOUR
        bench.take(OperatorEvent(bench.now, "deposit", "ann", amount=Decimal(day + 1),
                                 authorised=True))  # fmt: skip
        while told < len(bench.rows):
            yield bench, bench.rows[told]
            told += 1
        bench.now += DAY - per_day * HOUR


def write_days(folder: Path, count: int, per_day: int = 6) -> Bench:
    """Write the journal of some days with a snapshot at the end of each; return the bench."""
    options = JournalOptions(sync_interval_s=0.01)
    last = None
    with SqliteJournal(folder, engine_id="0123456789abcdef", options=options) as journal:
        for bench, (event, facts) in days(count, per_day):
            tag = str(type(event).__struct_config__.tag)
            journal.append(event.ts_ns, tag, encode_row(event, facts))
            if journal.last_seq == len(bench.rows):
                state = bench.state
                digest = bytes.fromhex(state_hash(state))
                journal.save_snapshot(state.now_ns, "test", digest, state_bytes(state))
            last = bench
    assert last is not None
    return last
