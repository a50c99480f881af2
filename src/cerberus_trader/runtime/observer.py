"""The observer: a thread of its own that writes durable facts into the views.

It takes rows from a bounded queue; when the queue overflows, rows are left out of it, until it is
empty, and read from the journal instead, so that trading never waits for a view. Views that fail
are an alert and are opened again, after a pause that doubles; what they missed is read from the
journal. A damaged file is set aside, and the views are built anew. What retention deletes of the
journal goes from the views too, in small steps between what comes in.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cerberus_trader.domain.errors import CerberusError, JournalError
from cerberus_trader.domain.events import Event
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.money import install_context
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.engine.state import State, state_from
from cerberus_trader.journal.heads import last_deleted
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.store import DAMAGE, failure
from cerberus_trader.journal.views import VIEWS_NAME, ViewsWriter
from cerberus_trader.observe.projector import Projector
from cerberus_trader.runtime.log import Log

QUEUE_MAX = 2_000
"""Rows that wait take memory that the process keeps; the journal has them anyway."""
WAIT_S = 0.5
PAUSE_S = 0.5
PAUSE_S_MAX = 60.0
CHECK_S = 30.0
PRUNE_S = 0.05


class Observer:
    """Bring the views up to the journal, first at start and then row by row.

    `failure` says why the views are behind, None while they follow.
    """

    def __init__(self, folder: Path, log: Log, version: str) -> None:
        self.folder = folder
        self.log = log
        self.version = version
        self.writer: ViewsWriter | None = None
        self.projector: Projector | None = None
        self.failure: CerberusError | None = None
        self.applied = 0
        self._queue: deque[tuple[int, Event, tuple[Fact, ...]]] = deque()
        self._more = threading.Event()
        self._stop = threading.Event()
        self._newest = 0
        self._left_out = False
        self._pruned = 0
        self._pruning: Iterator[int] = iter(())
        self._pause_s = PAUSE_S
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        try:
            self._open()
        except JournalError as error:
            self._lost(error)

    # -- start: recovery shows its rows ----------------------------------------------------

    def visit(self, state: State, seq: int, row: Row | None) -> None:
        """See a row that recovery has folded; the views may lag behind it."""
        if self.writer is None:
            return
        try:
            if self.projector is not None and row is not None:
                self.projector.take(seq, row.event, row.facts)
            elif seq == self.applied:
                self.projector = Projector(self.writer, state, self.version)
        except JournalError as error:
            self._lost(error)

    def start(self, state: State) -> None:
        """Start from the recovered state; rebuild views that recovery could not catch up."""
        self._newest = state.seq
        self._thread.start()

    # -- running ---------------------------------------------------------------------------

    def take(self, seq: int, event: Event, facts: tuple[Fact, ...]) -> None:
        """Offer a durable row; never waits."""
        self._newest = seq
        if self.failure is None and not self._left_out and len(self._queue) < QUEUE_MAX:
            self._queue.append((seq, event, facts))
        else:
            self._left_out = True  # and all that follow: one reading for many, not one for each
        self._more.set()

    def health(self) -> dict[str, int | str]:
        """Say up to which row the views are, how many they lack, and what is wrong with them."""
        written = self.projector.written if self.projector is not None else self.applied
        failure = self.failure.message if self.failure is not None else ""
        return {"row": written, "behind": max(self._newest - written, 0), "failure": failure}

    def close(self, last_seq: int = 0) -> None:
        """Write what has gathered, and the journal's last rows that nobody was told of; end."""
        self._newest = max(self._newest, last_seq)
        self._stop.set()
        self._more.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        if self.writer is not None:
            self.writer.close()

    def _run(self) -> None:
        install_context()
        while True:
            try:
                return self._follow()
            except CerberusError as error:
                self._lost(error)
            if self._stop.wait(self._pause_s):
                return
            self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)

    def _follow(self) -> None:
        """Keep the views up to the journal until told to stop."""
        projector = self._resume(self.writer if self.writer is not None else self._open())
        self._pruned, self._pruning = 0, iter(())
        self._plan_pruning(projector)
        checked = time.monotonic()
        while True:
            stopping = self._stop.is_set()
            self._drain(projector)
            if stopping:
                self._catch_up(projector, self._newest)
            projector.flush()
            if time.monotonic() - checked >= CHECK_S:
                checked = time.monotonic()
                self._check(projector.written)
                self._plan_pruning(projector)
            if self.failure is not None:
                self.log.warning("the views follow the journal again", row=projector.seq)
                self._pause_s = PAUSE_S
                self.failure = None
            if stopping:
                return
            pruning = next(self._pruning, None) is not None
            self._more.wait(PRUNE_S if pruning else WAIT_S)
            self._more.clear()

    def _plan_pruning(self, projector: Projector) -> None:
        """Begin to delete what shows rows that the journal has no more."""
        gone = last_deleted(JournalReader(self.folder).heads())
        if gone is not None and self._pruned < gone.last_seq <= projector.written:
            self._pruned = gone.last_seq
            self._pruning = projector.writer.prune(gone.last_seq, gone.last_ts_ns)

    def _check(self, written: int) -> None:
        """Read back, over a new connection, how far the file is: the writer's own may be blind.

        SQLite goes on in its memory where the file was damaged, deleted or replaced.
        """
        try:
            with Views(self.folder) as views:
                found = views.applied_seq()
        except DAMAGE as error:
            raise failure(error, self.folder / VIEWS_NAME, "reading the views") from error
        if found != written:
            raise JournalError(
                f"the views say row {found} where {written} was written.", code="JOURNAL_DAMAGED",
                place=str(self.folder / VIEWS_NAME), fix="check the disk.",
            )  # fmt: skip

    def _drain(self, projector: Projector) -> None:
        while self._queue:
            seq, event, facts = self._queue.popleft()
            if seq > projector.seq + 1:
                self._catch_up(projector, seq - 1)
            projector.take(seq, event, facts)
        if self._left_out:
            self._left_out = False
            self._catch_up(projector, self._newest)

    def _catch_up(self, projector: Projector, through_seq: int) -> None:
        """Read from the journal what the queue left out."""
        for row in JournalReader(self.folder).rows(projector.seq, through_seq):
            body = decode_row(row.body, place=f"journal row {row.seq}")
            projector.take(row.seq, body.event, body.facts)

    # -- failing, and coming back ----------------------------------------------------------

    def _open(self) -> ViewsWriter:
        """Open the file; one that is damaged is set aside for a new one."""
        try:
            found = ViewsWriter(self.folder)
            self.applied = found.applied_seq()
        except JournalError as error:
            if error.code != "JOURNAL_DAMAGED":
                raise
            self.log.alert("the views are damaged; they are built again", error)
            set_aside(self.folder)
            found, self.applied = ViewsWriter(self.folder), 0
        self.writer = found
        return found

    def _resume(self, writer: ViewsWriter) -> Projector:
        """Go on with what had gathered, or build anew where the file is not what was written."""
        projector = self.projector
        if projector is None or projector.written != writer.applied_seq():
            writer.reset()
            projector = Projector(writer, self._first_state(), self.version)
        projector.writer = writer
        self.projector = projector
        self._catch_up(projector, self._newest)
        return projector

    def _first_state(self) -> State | None:
        """Return the state that the readable history begins with, where older rows are deleted."""
        start = JournalReader(self.folder).beginning().snapshot
        return state_from(start.state) if start is not None else None

    def _lost(self, error: CerberusError) -> None:
        """Let go of the file; tell a person what is new."""
        if self.failure is None or self.failure.message != error.message:
            self.log.alert("the views failed; they are opened again", error)
        self.failure = error
        self._queue.clear()
        if self.writer is None:
            return
        self.writer.close()
        self.writer = None
        if error.code == "JOURNAL_DAMAGED" and error.place == str(self.folder / VIEWS_NAME):
            set_aside(self.folder)


def set_aside(folder: Path) -> None:
    """Rename a damaged views.db, so that a new one is made; the last damaged one is kept.

    Where that fails, opening the file fails too, and says why.
    """
    path = folder / VIEWS_NAME
    with suppress(OSError):
        path.replace(path.with_name(f"{VIEWS_NAME}.damaged"))
        for end in ("-wal", "-shm"):
            path.with_name(VIEWS_NAME + end).unlink(missing_ok=True)
