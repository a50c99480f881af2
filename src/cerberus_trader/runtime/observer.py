"""The observer: a thread of its own that writes durable facts into the views.

It takes rows from a bounded queue; when the queue overflows, rows are left out of it and read
from the journal instead, so that trading never waits for a view. A failed view is reported and
given up: views can always be built again from the journal.
"""

import threading
from collections import deque
from pathlib import Path

from cerberus_trader.domain.errors import CerberusError
from cerberus_trader.domain.events import Event
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.money import install_context
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.engine.state import State, state_from
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.views import ViewsWriter
from cerberus_trader.observe.projector import Projector
from cerberus_trader.runtime.log import Log

QUEUE_MAX = 10_000
WAIT_S = 0.5


class Observer:
    """Bring the views up to the journal, first at start and then row by row."""

    def __init__(self, folder: Path, log: Log, version: str) -> None:
        self.folder = folder
        self.log = log
        self.version = version
        self.writer = ViewsWriter(folder)
        self.applied = self.writer.applied_seq()
        self.projector: Projector | None = None
        self.failure: CerberusError | None = None
        self._queue: deque[tuple[int, Event, tuple[Fact, ...]]] = deque()
        self._more = threading.Event()
        self._stopping = False
        self._recovered = 0
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    # -- start: recovery shows its rows ----------------------------------------------------

    def visit(self, state: State, seq: int, row: Row | None) -> None:
        """See a row that recovery has folded; the views may lag behind it."""
        if self.projector is not None and row is not None:
            self.projector.take(seq, row.event, row.facts)
        elif seq == self.applied:
            self.projector = Projector(self.writer, state, self.version)

    def start(self, state: State) -> None:
        """Start from the recovered state; rebuild views that recovery could not catch up."""
        self._recovered = state.seq
        self._thread.start()

    # -- running ---------------------------------------------------------------------------

    def take(self, seq: int, event: Event, facts: tuple[Fact, ...]) -> None:
        """Offer a durable row; never waits."""
        if len(self._queue) < QUEUE_MAX:
            self._queue.append((seq, event, facts))
        self._more.set()

    def close(self) -> None:
        """Write what has gathered, and end the thread."""
        self._stopping = True
        self._more.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self.writer.close()

    def _run(self) -> None:
        install_context()
        try:
            if self.projector is None:
                self.writer.reset()
                self.projector = Projector(self.writer, self._first_state(), self.version)
                self._catch_up(self.projector, self._recovered)
            while True:
                self._more.wait(WAIT_S)
                self._more.clear()
                stopping = self._stopping
                self._drain(self.projector)
                self.projector.flush()
                if stopping:
                    return
        except CerberusError as error:
            self.failure = error
            self._queue.clear()
            self.log.alert("the views are given up until the next start", error)

    def _first_state(self) -> State | None:
        """Return the state that the readable history begins with, where older rows are deleted."""
        start = JournalReader(self.folder).beginning().snapshot
        return state_from(start.state) if start is not None else None

    def _drain(self, projector: Projector) -> None:
        while self._queue:
            seq, event, facts = self._queue.popleft()
            if seq > projector.seq + 1:
                self._catch_up(projector, seq - 1)
            projector.take(seq, event, facts)

    def _catch_up(self, projector: Projector, through_seq: int) -> None:
        """Read from the journal what the queue left out."""
        for row in JournalReader(self.folder).rows(projector.seq, through_seq):
            body = decode_row(row.body, place=f"journal row {row.seq}")
            projector.take(row.seq, body.event, body.facts)
