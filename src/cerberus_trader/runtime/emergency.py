"""Stopping an engine that does not answer, and closing everything on a venue without it.

Halt: the marker is made durable, then the engine is asked, and a process that does not answer is
ended; its venue keeps the protective stops. One that answers that it cannot now (its journal has
failed, its disk stalls, too much waits) gets a moment to obey the marker or to end by itself.
Flatten without the journal: entries are cancelled,
positions closed by reduce-only orders, the largest first, until the venue says twice that nothing
is open, after the last entry under way may have arrived; only then the stops are cancelled. Every
deed is in the emergency log before it is done. The ids are derived, so that doing it again doubles
nothing and the engine knows its own.
"""

import asyncio
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cerberus_trader.domain.commands import CancelOrder
from cerberus_trader.domain.errors import DataError, SystemFailure, VenueLost
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.order import EMERGENCY, Order, emergency_id
from cerberus_trader.journal.lock import LOCK_NAME, holder
from cerberus_trader.runtime import client, frames
from cerberus_trader.runtime.marker import Deed, EmergencyLog, HaltMarker, Header, Mark
from cerberus_trader.venues.base import AccountView, VenueClient
from cerberus_trader.venues.remote.endpoint import parse_endpoint
from cerberus_trader.venues.remote.venue import RemoteVenue

ANSWER_S = 3.0
MOMENT_S = 2.0
LOOK_S = 0.1
TERM_S = 1.0
KILL_S = 10.0
REQUEST_S = 2.0
PAUSE_S = 0.25
FLAT_S = 60.0
TOLD_MAX = 4_000
"""So many characters of what was done stand in one row of the journal."""
HALTED = "halted"
CANNOT = ("TIMEOUT", "CLIENTS_MAX", "INBOX_FULL")
"""Refusals that say nothing of the command itself; those of the journal (JOURNAL_*) do neither."""

T = TypeVar("T")


# -- halt --------------------------------------------------------------------------------------


def halt(folder: Path, actor: str, reason: str, wait_s: float = ANSWER_S) -> dict[str, Any]:
    """Halt an engine, also one that does not answer; return what came of it.

    Raises `NotRunning` where there is nothing to halt.
    """
    marked, begun_s = mark(folder, Mark(actor, reason, time.time_ns())), time.monotonic()
    found: dict[str, Any] = {"command": "halt", "row": None, "trading": HALTED, "facts": []}
    found["marker"] = marked
    try:
        answer = client.ask(folder, frames.Operate("halt", actor, reason), wait_s)
        return {**answer, "engine": "answered", "marker": marked}
    except client.Refused as refusal:
        if refusal.code not in CANNOT and not refusal.code.startswith("JOURNAL_"):
            raise
        # it obeys the marker within half a second or so of a disk that answers
        end_s = max(begun_s + wait_s, time.monotonic() + MOMENT_S)
        return found | {"refusal": refusal.message} | _see_to_it(folder, end_s)
    except DataError:  # no answer, or none that can be read
        pid = holder(folder)
        if pid is None and not marked:
            raise
    if pid is None:
        return found | {"engine": "not running"}
    if not marked:
        return found | {"engine": _ended(folder, pid)}
    # one that is still starting will obey the marker: it has the time in which others answer
    return found | _see_to_it(folder, begun_s + wait_s)


def _see_to_it(folder: Path, end_s: float) -> dict[str, Any]:
    """Wait until an engine has halted or ended by itself, and end one that has done neither."""
    pid = holder(folder)
    while pid is not None and (left_s := end_s - time.monotonic()) > 0:
        with suppress(DataError):
            trading = client.ask(folder, frames.Status(), left_s)["trading"]
            if trading != "active":
                return {"engine": HALTED, "trading": trading}
        time.sleep(LOOK_S)
        if holder(folder) != pid:
            pid = None
    return {"engine": "gone by itself" if pid is None else _ended(folder, pid)}


def _ended(folder: Path, pid: int) -> str:
    end_process(folder, pid)
    return f"ended, it was process {pid}"


def mark(folder: Path, found: Mark) -> bool:
    """Set the marker of a folder in which an engine has run; tell whether it is durable."""
    if not (folder / LOCK_NAME).exists():
        return False
    marker = HaltMarker(folder)
    with suppress(OSError):  # a halt does not take back that everything is to be closed
        before = marker.read()
        if before is not None and before.flatten:
            found = msgspec.structs.replace(found, flatten=True)
    try:
        marker.set(found)
    except OSError:
        return False  # the engine is asked, and ended, all the same
    return True


def end_process(folder: Path, pid: int) -> None:
    """End the process that holds a folder: asked first, killed after a second."""
    for number, wait_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if holder(folder) != pid:
                return
            time.sleep(0.02)
    raise SystemFailure(f"process {pid} does not end.", code="HALT_FAILED", place=str(folder),
                        fix="end it by hand; the halt marker is set.")  # fmt: skip


# -- flatten without the engine ----------------------------------------------------------------


def flatten(folder: Path, actor: str, reason: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Close everything at the venue without asking the engine or its journal.

    Raises `DataError` where no engine has ever run, `SystemFailure` where it did not get flat.
    """
    log, header, torn = EmergencyLog(folder).whole()
    if header is None and not (folder / LOCK_NAME).exists():
        EmergencyLog(folder).read()  # a folder that cannot be read says so
        raise DataError("there is no emergency log.", code="EMERGENCY_LOG", place=str(folder),
                        fix="name the folder of an engine that has run.")  # fmt: skip
    for path in torn:
        say(f"The emergency log {path} is torn; it is kept, and the next start reads it too.")
    inside = header is None or not header.endpoint
    marked = mark(folder, Mark(actor, reason or "flatten", time.time_ns(), flatten=inside))
    begun_s = time.monotonic()
    if not marked:
        say("THE HALT MARKER COULD NOT BE WRITTEN: an engine that still runs may go on trading;"
            " end it, and run this again.")  # fmt: skip
    if header is None:
        raise SystemFailure("no file tells where the venue is: nothing was sent.", code="NOT_FLAT",
                            place=str(folder), fix="start the engine, which closes everything"
                            " first; or close it by hand at the venue.")  # fmt: skip
    found = {"command": "flatten", "marker": marked, "torn": [str(path) for path in torn]}
    if inside:
        say("The paper venue lives in the engine's own process: nothing was sent; trading is"
            " halted by the marker, and the next start closes every position.")  # fmt: skip
        return found | {"flat": False, "done": []}
    line = RemoteVenue(parse_endpoint(header.endpoint), header.account)
    done = Flattener(line, header, log, actor, say)
    flat = asyncio.run(done.run(begun_s))
    if not flat:
        raise SystemFailure("not everything is closed.", code="NOT_FLAT", place=header.endpoint,
                            fix="see to the venue, and run it again.")  # fmt: skip
    return found | {"flat": True, "done": done.done}


class Flattener:
    """Cancel, close, verify, cancel the stops: in this order."""

    def __init__(
        self, line: VenueClient, header: Header, log: EmergencyLog, actor: str,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.line = line
        self.header = header
        self.log = log
        self.actor = actor
        self.say = say
        self.now_s = time.monotonic
        self.done: list[str] = []
        self._connected = False
        self._left_s = 0
        self._closing: dict[str, Order] = {}
        self._attempts: dict[str, int] = {}
        line.on_lost = self._on_lost

    async def run(self, begun_s: float) -> bool:
        """Tell whether the account is flat in the end; no entry was sent after `begun_s`."""
        self._note("begins to close everything at the venue")
        window_s = self.header.entry_window_ms / 1_000
        flats = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(FLAT_S + window_s):
                while flats < 2:
                    over = self._over(begun_s + window_s)
                    view = await self._ask(self._account)
                    flats = flats + 1 if await self._closer(view) and over else 0
                    await asyncio.sleep(PAUSE_S)
                await self._cancel_all(lambda order: order.reduce_only, "protective order")
                self._note("verified flat")
        await self.line.close()
        return flats == 2

    def _over(self, end_s: float) -> bool:
        """Tell whether no entry that was under way may arrive any more; say each second left."""
        left_s = math.ceil(end_s - self.now_s())
        if 0 < left_s != self._left_s:
            self._left_s = left_s
            self.say(f"an entry under way may still arrive: {left_s} s until flat can be verified")
        return left_s <= 0

    async def _closer(self, view: AccountView) -> bool:
        """Cancel what adds, close what is open; tell whether neither was there."""
        entries = [order for order in view.orders if not order.reduce_only]
        for order in entries:
            await self._cancel(order, "entry")
        for position in sorted(view.positions, key=lambda found: -found.cost):
            await self._close(position)
        return not entries and not view.positions

    async def _close(self, position: VenuePosition) -> None:
        """Send one close at a time of a position; another one once that has ended."""
        name = position.position_id or position.instrument
        before = self._closing.get(name)
        if before is not None:
            answer = await self._ask(lambda: self.line.query(before))
            if answer.order is not None and answer.order.state == "working":
                return
            if answer.order is not None:
                self._attempts[name] = self._attempts.get(name, 0) + 1
        attempt = self._attempts.get(name, 0)
        account = self.header.account
        order = Order(
            emergency_id(self.header.engine_id, account, name, attempt), account, EMERGENCY,
            position.instrument, -position.sign, "market", "operator", position.quantity,
            reduce_only=True, closes=position.position_id, created_ns=time.time_ns(),
        )  # fmt: skip
        self._note(f"close {plain(position.quantity)} {position.instrument} by order {order.id}")
        self._closing[name] = order
        # a venue takes an id once: sent again after no answer, or by a second run, it is the same
        ack = await self._ask(lambda: self.line.submit(order, 2**62 - 1))
        if not ack.accepted:
            self._attempts[name] = attempt + 1
            del self._closing[name]

    async def _cancel_all(self, wanted: Callable[[VenueOrder], bool], kind: str) -> None:
        while True:
            found = [o for o in (await self._ask(self._account)).orders if wanted(o)]
            if not found:
                return
            for order in found:
                await self._cancel(order, kind)
            await asyncio.sleep(PAUSE_S)

    async def _cancel(self, order: VenueOrder, kind: str) -> None:
        self._note(f"cancel {kind} {order.order_id} of {order.instrument}")
        command = CancelOrder(order.order_id, self.header.account, order.instrument)
        await self._ask(lambda: self.line.cancel(command))

    async def _account(self) -> AccountView:
        return await self.line.account(self.header.account)

    async def _ask(self, what: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, saying each reason once; the whole has its own end."""
        said = ""
        while True:
            try:
                async with asyncio.timeout(REQUEST_S):
                    if not self._connected:
                        await self.line.connect()
                        self._connected = True
                    return await what()
            except VenueLost as error:
                self._connected = False
                silence = f"no answer: {error.message}"
            except TimeoutError:
                silence = "no answer in time"
            if silence != said:
                self.say(f"{silence}; it is asked again")
            said = silence
            await asyncio.sleep(PAUSE_S)

    def _on_lost(self, reason: str) -> None:
        self._connected = False

    def _note(self, text: str) -> None:
        """Write a deed before it is done; a log that fails stops nothing."""
        self.say(text)
        self.done.append(text)
        try:
            self.log.add(Deed(time.time_ns(), self.actor, text))
        except (OSError, DataError) as error:
            self.say(f"the emergency log: {error}")


def told(deeds: list[Deed]) -> list[tuple[str, str]]:
    """Write what was done past the engine for the journal: by whom, and what, a line at a time."""
    found: list[tuple[str, str]] = []
    for deed in deeds:
        text = f"{found[-1][1]}; {deed.text}" if found and found[-1][0] == deed.actor else ""
        if 0 < len(text) <= TOLD_MAX:
            found[-1] = deed.actor, text
        else:
            found.append((deed.actor, deed.text))
    return found
