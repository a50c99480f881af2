"""Position sizing: the worked example, each bound, and the invariants."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain.settings import Sizing, Strategy
from cerberus_trader.engine import sizing
from tests.kit import COIN, changed

ROOM = sizing.Room(None, None, None, None, None, None, D(10_000))


def ask(**fields: Any) -> sizing.Ask:
    values: dict[str, Any] = {
        "price": D(1), "quantity": None, "volume": None, "confidence": 0.7, "sigma": 0.0623,
        "success_low": 0.4538, "scale": D(1), **fields,
    }  # fmt: skip
    return sizing.Ask(**values)


def sized(
    methods: tuple[str, ...], leverage: str = "11", *, strategy: Strategy | None = None,
    limits: Sizing | None = None, room: sizing.Room = ROOM, equity: str = "10000",
    stop: str = "0.025", **fields: Any,
) -> sizing.SizingRecord:  # fmt: skip
    limits = limits or Sizing(methods=methods)  # type: ignore[arg-type]
    strategy = strategy or Strategy()
    asked = ask(**fields)
    unit = sizing.loss_per_unit(limits, COIN, D(stop))
    bounds = sizing.free_bounds(limits, strategy, asked, room, D(equity), unit)
    planned = sizing.least(bounds)
    return sizing.size(
        limits, strategy, COIN, asked, room, bounds, planned, D(equity), unit, D(leverage)
    )


def bound(record: sizing.SizingRecord, name: str) -> D | None:
    return record.bounds[sizing.BOUNDS.index(name)]


def near(value: D) -> Any:
    """Compare to the twelve digits that a record keeps."""
    return pytest.approx(value, rel=D("1e-11"))


@pytest.mark.req("C-05.3", "D-03.3", "E-3.3.2")
def test_the_worked_example() -> None:
    record = sized(("risk", "volatility", "kelly"))
    assert record.loss_per_unit == D("0.028")
    assert round(bound(record, "risk"), 2) == D("2678.57")
    assert round(bound(record, "volatility"), 2) == D("1605.14")
    assert bound(record, "kelly") == pytest.approx(D("16133.93"), rel=D("0.002"))
    assert sizing.BOUNDS[record.binding] == "volatility"
    assert record.quantity == D("1605.136") and record.notional == D("1605.136")


@pytest.mark.req("P-08.1", "P-24.3")
@pytest.mark.parametrize(
    ("p", "b", "full"),
    [(0.6, 1.0, 0.2), (0.5, 1.0, 0.0), (0.4, 1.0, 0.0), (0.4538, 2.0, 0.1807), (1.0, 3.0, 1.0),
     (0.0, 2.0, 0.0), (0.5, 0.0, 0.0), (1.5, 2.0, 0.0)],
)  # fmt: skip
def test_full_kelly(p: float, b: float, full: float) -> None:
    assert sizing.kelly(p, b) == pytest.approx(full, abs=1e-4)


@pytest.mark.req("P-08.1")
def test_kelly_is_fractional_and_capped() -> None:
    free = sized(("kelly",), success_low=0.9)
    quarter = D(10_000) * D("0.05") / D("0.028")  # 0.25 of the 20 % cap
    assert bound(free, "kelly") == pytest.approx(quarter, rel=D("1e-11"))
    assert bound(sized(("kelly",), success_low=0.2), "kelly") == 0


@pytest.mark.req("T-06.2")
def test_one_percent_of_balance_as_margin() -> None:
    record = sized(("balance",), "5")
    assert bound(record, "balance") == D(500)
    assert record.notional / 5 == D(100)


@pytest.mark.req("E-3.3.1", "E-3.3.3")
def test_confidence_tolerance_and_strategy_type_scale_the_risk() -> None:
    full = bound(sized(("risk",)), "risk")
    assert full is not None
    assert bound(sized(("confidence",)), "confidence") == near(full * D("0.7"))
    careful = Strategy(risk_tolerance=D("0.5"))
    assert bound(sized(("risk",), strategy=careful), "risk") == near(full / 2)
    event = Strategy(kind="event")
    assert bound(sized(("risk",), strategy=event), "risk") == near(full / 2)
    reverting = Strategy(kind="mean_reversion")
    assert bound(sized(("risk",), strategy=reverting), "risk") == near(full * D("0.75"))
    half = Strategy(budget=D("0.5"))
    assert bound(sized(("risk",), strategy=half), "risk") == near(full / 2)


def test_the_smallest_room_wins_and_is_named() -> None:
    for field, name in (("position", "position"), ("group", "group"), ("gross", "gross"),
                        ("strategy", "strategy"), ("order", "order")):  # fmt: skip
        room = changed(ROOM, **{field: D(123)})
        record = sized(("risk",), room=room)
        assert sizing.BOUNDS[record.binding] == name and record.notional == D(123)
    room = sizing.Room(None, None, None, D("2.8"), None, None, D(10_000))
    assert sized(("risk",), room=room).notional == D(100)
    room = sizing.Room(None, None, None, None, None, None, D(10))
    assert sized(("risk",), "2", room=room).notional == D(14)  # 10 x (1 - 0.3) x 2


def test_what_a_signal_asks_is_an_upper_bound() -> None:
    assert sized(("risk",), quantity=D(7)).quantity == D(7)
    assert sized(("risk",), quantity=D(10**9)).quantity < 2679
    assert sized(("risk",), volume=D(1000)).notional == D(10)  # 1 % of the volume


@pytest.mark.req("E-3.3.2")
def test_unknown_volatility_or_negative_room_is_no_trade() -> None:
    assert sized(("volatility",), sigma=-1.0).quantity == 0
    room = sizing.Room(None, None, D(-5), None, None, None, D(10_000))
    assert sized(("risk",), room=room).quantity == 0
    assert sized(("risk",), "0").quantity == 0


amounts = st.decimals("1", "1000000", places=2)


@given(amounts, st.decimals("0.002", "0.2", places=4), st.decimals("0.01", "500", places=2))
def test_loss_at_the_stop_stays_within_the_risk_fraction(equity: D, stop: D, price: D) -> None:
    record = sized(("risk",), "30", equity=str(equity), stop=stop, price=price,
                   room=changed(ROOM, free_margin=equity))  # fmt: skip
    loss = record.notional * (stop + 2 * COIN.taker_fee + Sizing().slippage_allowance)
    assert loss <= equity * Sizing().risk_fraction
    assert record.quantity % COIN.lot == 0


@given(amounts, amounts)
def test_more_equity_never_gives_less(one: D, two: D) -> None:
    low, high = sorted((one, two))
    room = changed(ROOM, free_margin=D(10**7))
    assert sized(("risk", "volatility"), equity=str(low), room=room).quantity <= (
        sized(("risk", "volatility"), equity=str(high), room=room).quantity
    )


def test_probation_scales_the_result_not_a_bound() -> None:
    whole, part = sized(("risk",)), sized(("risk",), scale=D("0.25"))
    assert part.bounds == whole.bounds
    assert part.notional == pytest.approx(whole.notional / 4, abs=D("0.001"))
