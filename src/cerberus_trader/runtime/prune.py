"""Retention on the folder of a stopped engine: `cerberus journal prune`."""

from functools import partial
from pathlib import Path

from cerberus_trader import __version__
from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.row import encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.journal.heads import last_deleted
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.retention import Policy, clean
from cerberus_trader.journal.sealing import record, sweep
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import failure
from cerberus_trader.journal.views import VIEWS_NAME, ViewsWriter
from cerberus_trader.runtime.recover import recover
from cerberus_trader.runtime.retention import Done, drop_prepared, event_of
from cerberus_trader.runtime.upkeep import Prepared
from cerberus_trader.runtime.upkeep_work import prepare, seal_all

DURABLE_S = 60.0


def prune(folder: Path, policy: Policy, actor: str) -> Done:
    """Seal and delete on the folder of a stopped engine, and give the space back.

    Raises `JournalError` (JOURNAL_LOCKED) where an engine has the folder. The rows that tell of
    deletions carry the engine's last time.
    """
    JournalReader(folder)  # a folder without a journal gets none
    done = Done()
    with SqliteJournal(folder, engine_version=__version__) as journal:
        while heads := seal_all(folder, policy):
            for head in heads:
                journal.maintain(partial(record, head=head)).result()
                done.seal(head)
        while journal.maintain(sweep).result():
            pass
        prepared = prepare(folder, policy)
        if prepared.removals:
            _tell_offline(journal, prepared, actor)
            journal.maintain(partial(drop_prepared, prepared=prepared)).result()
            for removal in prepared.removals:
                done.remove(removal)
        try:
            clean(folder, JournalReader(folder).heads())
        except OSError as error:
            raise failure(error, folder, "deleting segments") from error
        if done != Done():
            journal.maintain(lambda store: store.connection.execute("VACUUM").fetchall()).result()
        _prune_views(folder)
    return done


def _prune_views(folder: Path) -> None:
    """Delete from the views what shows deleted rows, as a running engine does."""
    gone = last_deleted(JournalReader(folder).heads())
    if gone is None or not (folder / VIEWS_NAME).exists():
        return
    with ViewsWriter(folder) as views:
        if sum(views.prune(gone.last_seq, gone.last_ts_ns)):
            views.shrink()


def _tell_offline(journal: SqliteJournal, prepared: Prepared, actor: str) -> None:
    """Append the rows that tell of deletions, each durable."""
    engine = Engine(recover(journal.restore()))
    for removal in prepared.removals:
        event = event_of(removal, engine.state.now_ns, actor)
        body = encode_row(event, engine.step(event).facts)
        journal.append(event.ts_ns, "retention", body)
    if not journal.wait_durable(journal.last_seq, DURABLE_S):
        raise JournalError(
            f"rows were not synced within {DURABLE_S:g} s.", code="JOURNAL_IO",
            place=str(journal.meta.stream), fix="check the disk.",
        )  # fmt: skip
