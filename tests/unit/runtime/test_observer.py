"""The observer: views follow the journal, after a lag, an overflow, a fresh start."""

import io
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.row import encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import state_bytes, state_hash
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.views import ViewsWriter
from cerberus_trader.runtime import observer as module
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.observer import Observer
from cerberus_trader.runtime.recover import recover
from tests.kit import Bench


def journalled(folder: Path, bench: Bench, snapshot_at: int = 0) -> Engine:
    """Write a bench's events into a journal, deciding anew."""
    engine = Engine()
    with SqliteJournal(folder, engine_id="engine") as journal:
        for event, _ in bench.rows:
            step = engine.step(event)
            body = encode_row(event, step.facts)
            kind = str(type(event).__struct_config__.tag)
            seq = journal.append(event.ts_ns, kind, body)
            if seq == snapshot_at:
                journal.save_snapshot(
                    event.ts_ns, "1", bytes.fromhex(state_hash(engine.state)),
                    state_bytes(engine.state),
                )  # fmt: skip
    return engine


def traded() -> Bench:
    bench = Bench()
    for price in ("101", "99", "102"):
        bench.open(price="100")
        bench.close(price)
    return bench


def trades(folder: Path) -> tuple[int, int]:
    with Views(folder) as views:
        return len(views.find("trades_newest", 10)), views.applied_seq()


def started(folder: Path) -> tuple[Observer, Any]:
    found = Observer(folder, Log("error", stream=io.StringIO()), "1")
    with SqliteJournal(folder) as journal:
        state = recover(journal.restore(), found.visit)
    found.start(state)
    return found, state


@pytest.mark.req("D-02.2")
@pytest.mark.parametrize("snapshot_at", [0, 3, 10])
@pytest.mark.parametrize("applied", [0, 1, 3, 5, 10])
def test_views_that_lag_behind_are_brought_up_from_where_they_are(
    tmp_path: Path, snapshot_at: int, applied: int
) -> None:
    bench = traded()
    journalled(tmp_path, bench, snapshot_at)
    if applied:
        early = Observer(tmp_path, Log("error"), "1")
        early.projector = module.Projector(early.writer)
        for seq, (event, facts) in enumerate(bench.rows[:applied], 1):
            early.projector.take(seq, event, facts)
        early.projector.flush()
        early.writer.close()
    late, _ = started(tmp_path)
    late.close()
    assert late.failure is None
    assert trades(tmp_path) == (3, len(bench.rows))


def test_an_overflowing_queue_is_made_good_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = traded()
    journalled(tmp_path, bench)
    late = Observer(tmp_path, Log("error"), "1")
    late.projector = module.Projector(late.writer)
    monkeypatch.setattr(module, "QUEUE_MAX", 1)
    for seq in (1, 2, 3):
        late.take(seq, *bench.rows[seq - 1])
    assert len(late._queue) == 1
    late._queue.clear()
    late.take(len(bench.rows), *bench.rows[-1])
    late.start(bench.state)
    late.close()
    assert trades(tmp_path) == (3, len(bench.rows))


def test_a_view_that_fails_is_given_up_with_an_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    late = Observer(tmp_path, Log("info", stream=stream), "1")
    bench = Bench()

    def fail(*given: Any, **more: Any) -> None:
        raise module.CerberusError("the disk is gone.")

    monkeypatch.setattr(ViewsWriter, "write", fail)
    late.projector = module.Projector(late.writer)
    late.start(bench.state)
    event = bench.rows[0][0]
    assert isinstance(event, ConfigEvent)
    late.take(1, *bench.rows[0])
    late.close()
    assert late.failure is not None and '"alert":true' in stream.getvalue()
