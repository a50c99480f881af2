"""What a second process left for this start: the halt marker and the deeds of an emergency.

Both are journalled as an operator's halt, with who and why, before anything is sent; the fills of
what was done are then the engine's own. A resume takes the marker back; deeds past an engine that
runs are journalled before it, and halt no later start.
"""

import asyncio
import time
from contextlib import suppress

import msgspec

from cerberus_trader.domain.errors import DataError, JournalError
from cerberus_trader.domain.events import ConfigEvent, Event, OperatorEvent
from cerberus_trader.domain.facts import CommandRefused, Fact
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.emergency import told
from cerberus_trader.runtime.inbox import Command
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.marker import Deed, EmergencyLog, HaltMarker, Header, Mark
from cerberus_trader.runtime.trading import Trading

LOOK_S = 0.25


class LeftBehind:
    """Read marker and log at the start, put both in force, and follow resumes: an observer."""

    def __init__(self, marker: HaltMarker, emergency: EmergencyLog, log: Log) -> None:
        self.marker = marker
        self.emergency = emergency
        self.log = log
        self._played = False
        self._deeds: list[Deed] = []
        self._header: Header | None = None

    def open(self) -> None:
        """Allocate the marker while there is room; raises `JournalError`."""
        try:
            self.marker.allocate()
        except OSError as error:
            raise JournalError(
                f"the halt marker cannot be allocated: {error.strerror}.", code="HALT_MARKER",
                place=str(self.marker.path), fix="make room, or mend the folder's rights.",
            ) from None  # fmt: skip

    async def begin(self, trading: Trading, header: Header) -> None:
        """Journal what was left, and begin the emergency log anew once that is durable."""
        runner = trading.runner
        trading.before_resume = self.before_resume
        self._played = runner.clock.virtual
        mark, deeds = self.marker.read(), self.emergency.all_deeds()
        for event in events_of(mark, deeds):
            stamped = msgspec.structs.replace(
                event, ts_ns=runner.clock.now_ns(), marks=trading.marks()
            )
            runner.commit(stamped)
            self.log.alert("left by a second process", command=event.command, actor=event.actor,
                           reason=event.reason)  # fmt: skip
        await runner.durable(runner.journal.last_seq)
        self._header = header
        try:
            self.emergency.allocate(header)
            now = time.time_ns()
            if mark is not None and (mark.flatten or mark.ts_ns > now):
                # one made under a clock that was set back since could not be taken back
                kept = msgspec.structs.replace(mark, flatten=False, ts_ns=min(mark.ts_ns, now))
                self.marker.set(kept)
        except OSError as error:
            self.log.alert("the emergency log cannot be written", reason=error.strerror)

    async def watch(self, trading: Trading) -> None:
        """Halt when another process sets the marker while we run: the gate has closed already.

        A mark counts when it is still there once all that was decided before is durable: a resume
        takes it back then.
        """
        runner = trading.runner
        while True:
            await asyncio.sleep(LOOK_S)
            before = self._mark(trading)
            if before is None:
                continue
            await runner.durable(runner.journal.last_seq)
            await asyncio.sleep(LOOK_S)
            mark = self._mark(trading)
            if mark is not None and mark == before:
                event = OperatorEvent(0, "halt", mark.actor, f"halt marker: {mark.reason}")
                with suppress(DataError):  # too many commands wait: the next look tries again
                    runner.inbox.put_command(Command(event))

    def _mark(self, trading: Trading) -> Mark | None:
        """Return the mark while trading goes on in spite of it."""
        if not self.marker.is_set() or trading.state.trading != "active":
            return None
        with suppress(OSError):
            return self.marker.read()
        return None

    def before_resume(self) -> list[OperatorEvent]:
        """Make the halt that was due to what a second process has done since the start."""
        try:
            self._deeds = self.emergency.all_deeds()
        except OSError as error:
            self.log.alert("the emergency log cannot be read", reason=error.strerror)
        found = events_of(None, self._deeds)
        for event in found:
            self.log.alert("done by a second process", actor=event.actor, reason=event.reason)
        return found

    def take(self, seq: int, event: Event, facts: tuple[Fact, ...]) -> None:
        """Take the marker back when a resume is durable; tell of a longer window for entries."""
        if type(event) is ConfigEvent:
            self._widen(event)
        if type(event) is not OperatorEvent or event.command != "resume":
            return
        if any(type(fact) is CommandRefused for fact in facts):
            return
        try:
            # marks tell the wall's time, which a played file's is not
            self.marker.clear(time.time_ns() if self._played else event.ts_ns)
        except OSError as error:
            self.log.alert("the halt marker cannot be cleared", reason=error.strerror)
        self._forget()

    def _forget(self) -> None:
        """Begin the emergency log anew, unless something was done that is not journalled yet."""
        if self._header is None or not self._deeds:
            return
        try:
            if self.emergency.all_deeds() == self._deeds:
                self.emergency.allocate(self._header)
                self._deeds = []
        except OSError as error:
            self.log.alert("the emergency log cannot be written", reason=error.strerror)

    def _widen(self, event: ConfigEvent) -> None:
        window_ms = _window_ms(event.settings)
        if self._header is None or window_ms <= self._header.entry_window_ms:
            return
        self._header = msgspec.structs.replace(self._header, entry_window_ms=window_ms)
        try:
            self.emergency.copy(self._header)
        except OSError as error:
            self.log.alert("the emergency log cannot be written", reason=error.strerror)


def entry_window_ms(state: State, now_ns: int) -> int:
    """Return how long after now the venue may take an entry, also one sent before this start."""
    before_ms = -((now_ns - state.window_end_ns) // 1_000_000)
    return max(_window_ms(state.settings), before_ms + state.settings.reconcile.skew_ms_max)


def _window_ms(settings: Settings) -> int:
    return settings.reconcile.submit_window_ms + settings.reconcile.skew_ms_max


def events_of(mark: Mark | None, deeds: list[Deed]) -> list[OperatorEvent]:
    """Make the operator's commands that marker and log stand for."""
    found = [
        OperatorEvent(0, "halt", f"{who} (without the engine)", what) for who, what in told(deeds)
    ]
    if mark is not None:
        found.append(OperatorEvent(0, "halt", mark.actor, f"halt marker: {mark.reason}"))
        if mark.flatten:
            found.append(OperatorEvent(0, "flatten", mark.actor, mark.reason))
    return found
