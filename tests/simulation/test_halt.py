"""An operator's halt with many working orders: every cancel leaves at once, and nothing else."""

import asyncio
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.settings import Leverage, Risk, Settings, Sizing, Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.simulation import loop as virtual
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.life import Life, Wall
from cerberus_trader.simulation.store import Disk
from cerberus_trader.simulation.venue import SimVenue
from tests.kit import COIN, changed

D = Decimal
NAMES = ("A", "B", "C", "D", "E")
EACH = 4
EPOCH_NS = 1_700_000_000_000_000_000


async def scene() -> dict[str, Any]:
    """Let twenty limit entries rest on five instruments, halt, and watch the wire."""
    loop = asyncio.get_running_loop()
    items = {name: changed(COIN, name=name, group=name) for name in NAMES}
    chosen = Settings(
        risk=Risk(positions_max=50, gross_exposure_max=D(100), position_exposure_max=D(100)),
        sizing=Sizing(methods=("risk",), risk_fraction=D("0.0005")),
        leverage=Leverage(volatility_factor_min=1.0),
        strategies={"sim": Strategy(sources=("*",), positions_max=50, add=True)},
    )
    wall = Wall(EPOCH_NS)
    venue = SimVenue(items, chosen.account.balance, Random(1), wall.now_ns, loop.call_later)
    config = ConfigEvent(EPOCH_NS, chosen, "c", tuple(items.values()), "sim")
    life = Life(1, Disk("sim"), venue, wall, config, Faults(), Random(2), failures := [])
    left: list[tuple[float, str]] = []
    cancel = life.client.cancel

    async def watched(order: Any) -> None:
        left.append((loop.time(), order.order_id))
        await cancel(order)

    life.client.cancel = watched  # type: ignore[method-assign]
    life.start()
    for number in range(EACH * len(NAMES) + 10):
        for name in NAMES:
            venue.price(name, D(100), D("100.02"))
            life.price(name, D(100), D("100.02"), wall.now_ns())
        await asyncio.sleep(1.0)
        if 5 <= number < 5 + EACH * len(NAMES):
            life.signal(
                Signal(f"s{number}", wall.now_ns(), NAMES[number % 5], "buy", 0.7, "sim",
                       order="limit", limit=D(95), stop_loss_pct=D(2))
            )  # fmt: skip
    working = [o.id for o in life.state.orders.values() if o.status is Status.ACCEPTED]
    begun = loop.time()
    life.operate("halt")
    await asyncio.sleep(5.0)
    found = {
        "working": working, "left": left, "begun": begun, "failures": failures,
        "after": [live.state for live in venue.orders.values()], "state": life.state.trading,
        "held": dict(life.state.orders),
    }  # fmt: skip
    life.crash()
    return found


@pytest.mark.req("D-09.13", "C-17.4", "E-9.1.1")
def test_a_halt_puts_every_cancel_on_the_wire_within_a_quarter_of_a_second() -> None:
    found = virtual.run(scene(), Random(3))
    assert len(found["working"]) == EACH * len(NAMES)
    assert found["failures"] == [] and found["state"] == "halted"
    assert sorted(name for _, name in found["left"]) == sorted(found["working"])
    assert max(when for when, _ in found["left"]) - found["begun"] <= 0.25  # virtual seconds
    assert set(found["after"]) == {"canceled"} and found["held"] == {}
