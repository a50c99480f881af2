"""Writing views.db: the tables that people and screens read, rebuilt from the journal at will."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.order import TERMINAL
from cerberus_trader.journal import view_rows as rows
from cerberus_trader.journal.store import DAMAGE, failure
from cerberus_trader.journal.view_rows import ViewRow

VIEWS_NAME = "views.db"
VIEWS_VERSION = 2
DEFAULT_GROUP = "views"
STEP_ROWS = 16
PRUNE_ROWS = 1_000
ENDED = ", ".join(sorted(f"'{status.value}'" for status in TERMINAL))

# The key columns of each table: an upsert replaces every other column.
TABLES: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    rows.SignalRow: ("signals", ("id",)),
    rows.PositionRow: ("positions", ("id",)),
    rows.MetricRow: ("metrics", ("id",)),
    rows.DecisionRow: ("decisions", ("signal_hash",)),
    rows.DecisionLogRow: ("decision_log", ("seq",)),
    rows.OrderRow: ("orders", ("id",)),
    rows.ExecutionRow: ("executions", ("id",)),
    rows.TradeRow: ("trades", ("position_id",)),
    rows.TweetRow: ("tweets", ("id",)),
    rows.DeploymentRow: ("strategy_deployments", ("id",)),
    rows.LedgerRow: ("ledger", ("account", "ts_ns", "seq", "leg")),
    rows.TokenRow: ("tokens", ("id",)),
    rows.BreakerRow: ("breaker_log", ("seq", "leg")),
    rows.EquityRow: ("equity", ("account", "ts_ns", "seq")),
}

# What goes with the journal's rows to number `seq`, the last of them of time `ts_ns`. What is open
# stays, and so do deployments and tokens, which are few.
PRUNED: dict[type[Any], str] = {
    rows.SignalRow: "id <= :seq",
    rows.PositionRow: "status = 'closed' AND closed_at < :ts_ns",
    rows.MetricRow: "id <= :seq",
    rows.DecisionRow: "id <= :seq AND expires_at < :ts_ns",
    rows.DecisionLogRow: "seq <= :seq",
    rows.OrderRow: f"updated_ns < :ts_ns AND status IN ({ENDED})",
    rows.ExecutionRow: "id < (:seq + 1) * 1000",
    rows.TradeRow: "closed_ns < :ts_ns",
    rows.TweetRow: "ts_ns < :ts_ns",
    rows.LedgerRow: "seq <= :seq",
    rows.BreakerRow: "seq <= :seq",
    rows.EquityRow: "seq <= :seq",
}


class Remove(NamedTuple):
    """Delete the row of a table that has this key (the columns of `TABLES`, in order)."""

    table: type[Any]
    key: tuple[str | int, ...]


Change = tuple[int, ViewRow | Remove]
Batch = tuple[type[Any], Collection[Sequence[Any]]]


def _upsert(row_type: type[Any], count: int = 1) -> str:
    table, key = TABLES[row_type]
    fields: tuple[str, ...] = row_type._fields
    sets = ", ".join(f"{name} = excluded.{name}" for name in fields if name not in key)
    marks = f"({', '.join('?' * len(fields))})"
    return (
        f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([marks] * count)}"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}"
    )


def _delete(row_type: type[Any]) -> str:
    table, key = TABLES[row_type]
    return f"DELETE FROM {table} WHERE " + " AND ".join(f"{name} = ?" for name in key)


def _prune(row_type: type[Any]) -> str:
    table, key = TABLES[row_type]
    keys = ", ".join(key)
    found = f"SELECT {keys} FROM {table} WHERE {PRUNED[row_type]} LIMIT {PRUNE_ROWS}"
    return f"DELETE FROM {table} WHERE ({keys}) IN ({found})"


STATEMENTS: dict[type[Any], str] = {
    **{row_type: _upsert(row_type) for row_type in TABLES},
    rows.OrderStatusRow: "UPDATE orders SET status = ?, filled = ?, updated_ns = ? WHERE id = ?",
    rows.OrderTermsRow: "UPDATE orders SET price = ?, quantity = ?, updated_ns = ? WHERE id = ?",
}
SEVERAL: dict[type[Any], str] = {row_type: _upsert(row_type, STEP_ROWS) for row_type in TABLES}
DELETES: dict[type[Any], str] = {row_type: _delete(row_type) for row_type in TABLES}
# Rows that change one table through different statements must keep their order among themselves.
SAME_TABLE: dict[type[Any], type[Any]] = {
    rows.OrderStatusRow: rows.OrderRow,
    rows.OrderTermsRow: rows.OrderRow,
}


class ViewsWriter:
    """Apply changes to a folder's views.db, each batch in one transaction.

    A batch belongs to a group (a projector's name) and carries the group's progress with it: a
    change of a journal row at or below the group's applied number is skipped, so that applying a
    batch again changes nothing. The file may lose its newest batches at a power loss and is then
    brought up to date from the journal. One thread writes; raises `JournalError`.

    With `scratch` the folder is thrown away if anything fails, and nobody reads before the end: a
    fresh file is then written without a log, and gets its indexes when it is closed.
    """

    def __init__(self, folder: Path, *, scratch: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / VIEWS_NAME
        self._scratch = scratch
        self._indexes: list[str] = []
        try:
            self._connection = sqlite3.connect(
                self.path, timeout=1.0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except (*DAMAGE, JournalError):
                self._connection.close()
                raise
        except DAMAGE as error:
            raise self._failure(error, "opening the views") from error

    def _failure(self, error: Exception, doing: str) -> JournalError:
        found = failure(error, self.path, doing)
        found.fix = f"delete {VIEWS_NAME} and run `cerberus journal rebuild-views`."
        return found

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute(f"PRAGMA journal_mode = {'MEMORY' if self._scratch else 'WAL'}")
        execute(f"PRAGMA synchronous = {'OFF' if self._scratch else 'NORMAL'}")
        execute("PRAGMA cache_size = -8192")
        execute("PRAGMA wal_autocheckpoint = 4000")
        execute(f"PRAGMA journal_size_limit = {32 * 2**20}")
        if not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._create()
        version = execute("PRAGMA user_version").fetchone()[0]
        if version != VIEWS_VERSION:
            raise JournalError(
                f"the views have version {version}; this release writes {VIEWS_VERSION}.",
                code="JOURNAL_NEWER",
                place=str(self.path),
                fix=f"delete {VIEWS_NAME} and run `cerberus journal rebuild-views`.",
            )

    def _create(self) -> None:
        script = Path(__file__).with_name("views.sql").read_text(encoding="utf-8")
        self._connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        if self._scratch:
            self._defer_indexes()

    def _defer_indexes(self) -> None:
        """Drop the indexes that only readers need; one that keeps a column unique stays."""
        found = self._connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE INDEX%'"
        ).fetchall()
        for name, sql in found:
            self._connection.execute(f"DROP INDEX {name}")
            self._indexes.append(sql)

    def finish(self) -> None:
        """Make the indexes that were put off, and sync."""
        if not self._indexes:
            return
        try:
            self._connection.executescript(
                f"PRAGMA synchronous = FULL;\nBEGIN IMMEDIATE;\n{';'.join(self._indexes)};\nCOMMIT;"
            )
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error, "indexing the views") from error
        self._indexes.clear()

    def applied_seq(self, group: str = DEFAULT_GROUP) -> int:
        """Give the number of the last journal row that the group has applied; 0 for none."""
        try:
            return self._applied(group)
        except DAMAGE as error:
            raise self._failure(error, "reading the views") from error

    def _applied(self, group: str) -> int:
        row = self._connection.execute(
            "SELECT applied_seq FROM view_progress WHERE name = ?", (group,)
        ).fetchone()
        return int(row[0]) if row else 0

    def apply(
        self, changes: Sequence[Change], *, through_seq: int, group: str = DEFAULT_GROUP
    ) -> int:
        """Apply changes in order and move the group's progress; return how many were applied.

        `changes` are (journal row number, row) up to `through_seq`, which may lie beyond the
        last change where rows concern no view.
        """

        def run(applied: int) -> int:
            return self._run(change for change in changes if change[0] > applied)

        return self._commit(run, through_seq, group)

    def write(
        self, tables: Iterable[Batch], *, through_seq: int, group: str = DEFAULT_GROUP
    ) -> int:
        """Write the last states that rows have after `through_seq`; return how many were written.

        `tables` are written in their order. All of it is left alone if the group is there already;
        states that are written again change nothing.
        """

        def run(applied: int) -> int:
            return sum(self._write_table(kind, values) for kind, values in tables)

        return self._commit(run, through_seq, group)

    def _write_table(self, kind: type[Any], rows: Collection[Sequence[Any]]) -> int:
        """Write rows of one kind, some at once: each statement has its price."""
        step = STEP_ROWS * len(kind._fields)
        flat = list(chain.from_iterable(rows))
        whole = len(flat) // step * step if kind in SEVERAL else 0
        for start in range(0, whole, step):
            self._connection.execute(SEVERAL[kind], flat[start : start + step])
        rest = islice(rows, whole // len(kind._fields), None)
        self._connection.executemany(STATEMENTS[kind], rest)
        return len(rows)

    def _commit(self, run: Callable[[int], int], through_seq: int, group: str) -> int:
        with self._transaction("writing the views") as execute:
            applied = self._applied(group)
            if through_seq <= applied:
                return 0
            count = run(applied)
            execute(
                "INSERT INTO view_progress (name, applied_seq) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET applied_seq = excluded.applied_seq",
                (group, through_seq),
            )
            return count

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Write what happens inside, whole or not at all."""
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            yield execute
            execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise self._failure(error, doing) from error

    def _run(self, changes: Iterable[Change]) -> int:
        """Run the statements: per table in order, tables among themselves in any order."""
        tables: dict[type[Any], list[tuple[type[Any], Any]]] = {}
        count = 0
        for _, change in changes:
            kind = type(change)
            table = change.table if isinstance(change, Remove) else SAME_TABLE.get(kind, kind)
            tables.setdefault(table, []).append((kind, change))
            count += 1
        for table, items in tables.items():
            self._run_table(table, items)
        return count

    def _run_table(self, table: type[Any], items: list[tuple[type[Any], Any]]) -> None:
        many = self._connection.executemany
        start = 0
        while start < len(items):
            kind = items[start][0]
            end = start
            while end < len(items) and items[end][0] is kind:
                end += 1
            run = [item for _, item in items[start:end]]
            if kind is Remove:
                many(DELETES[table], [item.key for item in run])
            else:
                # exact tuples bind faster than named ones
                many(STATEMENTS[kind], map(tuple, run))
            start = end

    def reset(self) -> None:
        """Empty every table, progress too, for a rebuild from the journal."""
        with self._transaction("emptying the views") as execute:
            for table in (*(table for table, _ in TABLES.values()), "view_progress"):
                execute(f"DELETE FROM {table}")

    def prune(self, through_seq: int, last_ts_ns: int) -> Iterator[int]:
        """Delete what shows journal rows to a number, a step of some rows at a time.

        `last_ts_ns` is the time of that row: of what has no number, what ended before it goes.
        Yields how many rows each step has deleted; each is a transaction.
        """
        gone = {"seq": through_seq, "ts_ns": last_ts_ns}
        for statement in map(_prune, PRUNED):
            count = PRUNE_ROWS
            while count == PRUNE_ROWS:
                with self._transaction("pruning the views") as execute:
                    count = execute(statement, gone).rowcount
                yield count

    def shrink(self) -> None:
        """Give the space of deleted rows back to the disk; takes as much of it for a while."""
        try:
            self._connection.execute("VACUUM")
        except sqlite3.Error as error:
            raise self._failure(error, "shrinking the views") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "ViewsWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
