"""Run one head on one instrument: the same steps live and in a replay."""

from typing import Any

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base.registry import FAULTS, FunctionHead, HeadSpec
from cerberus_trader.heads.base.view import HISTORY_MIN, NOBODY, Account, Bar, Desk, View
from cerberus_trader.heads.base.wake import Wake

STATE_BYTES_MAX = 65_536
STATE_VERSION = 1


class HeadState(msgspec.Struct, frozen=True, array_like=True):
    """Hold what a head saves: one versioned blob, with the bars it had seen."""

    version: int
    head: str
    bar_count: int
    blob: bytes


class HeadRun:
    """Feed one head with bars and wakes, and check what it yields."""

    def __init__(
        self, spec: HeadSpec, config: msgspec.Struct, source: str, instrument: str
    ) -> None:
        self.spec = spec
        self.source = source
        self.wake: Wake = spec.wakes(config)
        self.warm_up: int = spec.warm_up(config)
        self.head: Any = spec.make(config)
        self.desk = Desk(source, instrument, max(HISTORY_MIN, 2 * self.warm_up))
        self.skipped = 0  # bars seen before the state was loaded

    def add(self, bar: Bar) -> None:
        """Take a bar that has closed."""
        self.desk.history.append(bar)

    @property
    def warm(self) -> bool:
        """Tell whether as many bars have closed as the head's warm-up asks for."""
        return self.skipped + self.desk.history.count >= self.warm_up

    def signals(
        self, now_ns: int, bid: float, ask: float, account: Account = NOBODY
    ) -> list[Signal]:
        """Wake the head; return its checked signals, none of them during the warm-up.

        A class is woken during the warm-up too, so that it can fill its averages; a function,
        which keeps nothing, is not.
        """
        desk, warm = self.desk, self.warm
        if not warm and isinstance(self.head, FunctionHead):
            return []
        desk.asked = 0
        view = View(now_ns, bid, ask, desk.history.count, account, desk)
        try:
            found: list[Any] = list(self.head.signals(view))
        except DataError:
            raise
        except FAULTS as error:
            raise DataError(
                f"the head failed: {type(error).__name__}: {error}.", code="HEAD_FAULT",
                place=f"head {self.source} on {desk.instrument} at {now_ns}",
                fix="correct the head.",
            ) from error  # fmt: skip
        if not found or not warm:
            return []
        for signal in found:
            self._check(signal, now_ns)
        return found

    def _check(self, signal: Any, now_ns: int) -> None:
        wrong = ""
        if not isinstance(signal, Signal):
            wrong = f"it yielded a {type(signal).__name__}"
        elif signal.ts_ns != now_ns:
            wrong = f"its signal is stamped {signal.ts_ns}"
        elif signal.source != self.source and self.wake.kind != "times":
            wrong = f"its signal names the source {signal.source}"
        elif faults := signal.faults():
            wrong = "; ".join(faults)
        if wrong:
            raise DataError(
                f"{wrong}.", code="HEAD_SIGNAL",
                place=f"head {self.source} on {self.desk.instrument} at {now_ns}",
                fix="make signals with view.buy, view.sell and view.close.",
            )  # fmt: skip

    def save(self) -> bytes:
        """Return the head's state as one blob of at most 64 KiB; empty where it keeps none."""
        if not hasattr(self.head, "save"):
            return b""
        count = self.skipped + self.desk.history.count
        blob = self.head.save()
        data = msgspec.msgpack.encode(HeadState(STATE_VERSION, self.spec.name, count, blob))
        if len(data) > STATE_BYTES_MAX:
            raise DataError(
                f"its state has {len(data)} bytes.", code="HEAD_STATE",
                place=f"head {self.source}", fix=f"keep it within {STATE_BYTES_MAX} bytes.",
            )  # fmt: skip
        return data

    def load(self, data: bytes) -> None:
        """Put a saved state back; bars seen then count for the warm-up."""
        if not data:
            return
        try:
            state = msgspec.msgpack.decode(data, type=HeadState)
        except UNREADABLE as error:
            self._refuse_state(str(error))
        if state.version != STATE_VERSION or state.head != self.spec.name:
            self._refuse_state(f"it is of {state.head}, version {state.version}")
        self.head.load(state.blob)
        self.skipped = max(0, state.bar_count - self.desk.history.count)

    def _refuse_state(self, what: str) -> None:
        raise DataError(
            f"the saved state does not fit: {what}.", code="HEAD_STATE",
            place=f"head {self.source}", fix="start the head without it.",
        )  # fmt: skip
