"""A run checks what its head yields, keeps quiet while warming up, and bounds its state."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.heads.base import Bar, HeadRun, HeadSpec, View, on_bar
from cerberus_trader.heads.base.registry import Config
from cerberus_trader.heads.base.run import STATE_BYTES_MAX


class Always:
    """Yield what the test wants."""

    give: Any = staticmethod(lambda view: [view.buy(0.5)])
    blob = b"kept"

    def __init__(self, config: Any) -> None:
        self.loaded = b""

    def signals(self, view: View) -> Iterator[Any]:
        yield from self.give(view)

    def save(self) -> bytes:
        return self.blob

    def load(self, blob: bytes) -> None:
        self.loaded = blob


def run(warm_up: int = 0, name: str = "always", **changes: Any) -> HeadRun:
    made = type("Made", (Always,), {k: staticmethod(v) if callable(v) else v
                                    for k, v in changes.items()})  # fmt: skip
    spec = HeadSpec(name, made, Config, lambda _: on_bar(), lambda _: warm_up)
    return HeadRun(spec, Config(), "me", "XUSDT")


def wake(made: HeadRun, ts: int) -> list[Any]:
    made.add(Bar(ts, 1.0, 1.0, 1.0, 1.0, 1.0))
    return made.signals(ts, 1.0, 1.0)


def test_no_signal_during_warm_up() -> None:
    made = run(3)
    assert [len(wake(made, ts)) for ts in range(1, 6)] == [0, 0, 1, 1, 1]


@pytest.mark.req("E-7.1.2")
@pytest.mark.parametrize(
    "give",
    [
        lambda view: [1],
        lambda view: [msgspec.structs.replace(view.buy(0.5), ts_ns=view.now_ns + 1)],
        lambda view: [msgspec.structs.replace(view.buy(0.5), source="other")],
        lambda view: [view.buy(1.5)],
        lambda view: [view.buy(0.5, stop_loss=1, stop_loss_pct=1)],
    ],
)
def test_a_signal_that_is_none_is_refused(give: Any) -> None:
    with pytest.raises(DataError) as caught:
        wake(run(give=give), 5)
    assert caught.value.code == "HEAD_SIGNAL"
    assert caught.value.place == "head me on XUSDT at 5"


def test_a_head_that_fails_is_named() -> None:
    with pytest.raises(DataError) as caught:
        wake(run(give=lambda view: 1 / 0), 5)
    assert caught.value.code == "HEAD_FAULT"
    assert "ZeroDivisionError" in caught.value.message


def test_state_is_versioned_and_bounded() -> None:
    made = run(3)
    for ts in range(1, 4):
        wake(made, ts)
    data = made.save()
    again = run(3)
    again.load(data)
    assert again.head.loaded == b"kept"
    assert len(wake(again, 4)) == 1  # the warm-up counts what was seen before
    for wrong in (b"\xc1", data[:-1], msgspec.msgpack.encode((99, "always", 0, b""))):
        with pytest.raises(DataError, match="does not fit"):
            run().load(wrong)
    with pytest.raises(DataError, match="does not fit"):
        run(name="other").load(data)
    assert len(run(blob=b"x" * (STATE_BYTES_MAX - 64)).save()) <= STATE_BYTES_MAX
    with pytest.raises(DataError, match="keep it within"):
        run(blob=b"x" * STATE_BYTES_MAX).save()
