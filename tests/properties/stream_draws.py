"""What random order streams draw: settings, instruments, and the fields of signals."""

from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.settings import (
    Account,
    Breaker,
    Cache,
    Intake,
    Levels,
    Leverage,
    Orders,
    Paper,
    Reconcile,
    Risk,
    Settings,
    Sizing,
    Strategy,
)
from cerberus_trader.domain.settings_guard import KillSwitch
from cerberus_trader.domain.signal import Level
from tests.kit import ITEMS

D = Decimal
SIZERS: Any = ("risk", "volatility", "kelly", "balance", "confidence")
KINDS: Any = ("directional", "momentum", "mean_reversion", "arbitrage", "event")
ACTIONS: Any = ("block", "flatten")


def items_of(rng: Random) -> tuple[Instrument, ...]:
    """Draw what is traded: fine or coarse, perpetual or spot without tiers."""
    return tuple(item if rng.random() < 0.5 else other(rng, item) for item in ITEMS)


def other(rng: Random, item: Instrument) -> Instrument:
    """Draw a coarser instrument; most that have no tiers are spot."""
    drawn = msgspec.structs.replace(
        item, lot=D(rng.choice(("0.001", "1", "7"))), tick=D(rng.choice(("0.01", "0.5", "3"))),
        quantity_min=D(rng.choice(("0", "2"))), notional_min=D(rng.choice(("0", "5", "900"))),
        taker_fee=D(rng.choice(("0", "0.0005", "0.01"))),
        tiers=item.tiers if rng.random() < 0.7 else (),
    )  # fmt: skip
    spot = not drawn.tiers and drawn.lot < 7
    return msgspec.structs.replace(drawn, kind="spot") if spot else drawn


class Draw:
    """Draw settings of which each bites now and then."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        # many that bite at once leave little to be held: half of the streams have few of them
        self.loose, self.usual = rng.choice(((0.75, 0.9), (0.93, 0.98)))

    def limit(self, loose: str, *tight: str) -> Decimal:
        return D(loose if self.rng.random() < self.loose else self.rng.choice(tight))

    def often(self, usual: Any, *others: Any) -> Any:
        return usual if self.rng.random() < self.usual else self.rng.choice(others)

    def sizers(self) -> Any:
        return tuple(self.rng.sample(SIZERS, self.rng.randint(1, 3)))

    def strategy(self, account: str) -> Strategy:
        rng, limit, often = self.rng, self.limit, self.often
        return Strategy(
            account=account, positions_max=int(limit("9", "1", "2")), add=rng.random() < 0.4,
            reverse=rng.random() < 0.4, budget=limit("1", "0.3", "0.6"),
            leverage_max=D(rng.choice(("30", "255", "255", "5"))), kind=often(*KINDS),
            risk_tolerance=limit("1", "0.2", "0.5"), sizing=often((), self.sizers()),
            day_loss=rng.choice((D("0.5"), D("0.001"), D("0.02"))),
            day_loss_action=rng.choice(("off", "off", *ACTIONS)),
            status=often("active", "paused", "stopped"),
            instruments=often((), ("COIN",), ("OTHER", "THIRD")),
        )  # fmt: skip

    def leverage(self) -> Leverage:
        rng, limit, often = self.rng, self.limit, self.often
        return Leverage(
            low=limit("5", "1", "0.5"), extreme=D(rng.choice(("30", "100"))),
            volatility_factor_min=1.0, success_factor_min=rng.choice((1.0, 0.5)),
            drawdown_start=0.5, drawdown_end=0.9,
            cap=D(rng.choice(("40", "255", "255", "3", "10"))),
            medium=limit("10", "2"), high=limit("20", "4"), break_even_rate=often(0.4, 0.0, 1.0),
            sigma_ref=rng.choice((0.05, 0.05, 0.01, 1.0)), wilson_z=often(1.2816, 0.1, 4.0),
            fractional=rng.random() < 0.3, stop_multiple=rng.choice((1.5, 1.0, 3.0)),
        )  # fmt: skip

    def sizing(self) -> Sizing:
        rng = self.rng
        return Sizing(
            methods=self.often(("risk",), self.sizers()), obey_quantity=rng.random() < 0.3,
            risk_fraction=rng.choice((D("0.002"), D("0.05"), D("0.3"))),
            balance_fraction=self.limit("0.05", "0.001"),
            volatility_target=rng.choice((0.01, 0.1, 1.0)), kelly_max=rng.choice((0.2, 0.01)),
            kelly_fraction=rng.choice((0.25, 1.0, 0.01)), reward_ratio=rng.choice((2.0, 0.5, 50.0)),
            margin_reserve=self.limit("0.3", "0", "0.9", "1"),
            slippage_allowance=self.limit("0.002", "0", "0.05"),
            volume_share_max=self.limit("0.01", "0", "0.2"),
        )  # fmt: skip

    def levels(self) -> Levels:
        rng = self.rng
        return Levels(
            stop_required=rng.random() < 0.5,
            stop_sigma=rng.choice((2.0, 0.1, 50.0)),
            stop_pct_min=self.limit("1", "0.05"),
            stop_pct_max=self.limit("8", "60"),
            holding_hours=rng.choice((4.0, 0.1, 500.0)),
            reward_multiple=self.limit("0", "2", "100"),
        )

    def risk(self) -> Risk:
        def limit(loose: str, *tight: str) -> Decimal:
            return D(loose if self.rng.random() < 0.7 else self.rng.choice(tight))

        return Risk(
            positions_max=int(limit("9", "0", "1", "2", "3")),
            position_exposure_max=limit("5", "0.2", "0.5"),
            group_exposure_max=limit("9", "0.3", "0.8"),
            gross_exposure_max=limit("9", "0.4", "1"),
            group_risk_max=limit("1", "0.005", "0.02"),
            order_notional_max=limit("0", "700", "1500"),
            volatility_halt=self.often(0.6, 0.1, 0.0),
            minute_volatility_halt=self.often(1.5, 0.1, 0.0),
        )

    def breaker(self) -> Breaker:
        rng, limit, often = self.rng, self.limit, self.often
        return Breaker(
            day_loss=limit("0.3", "0", "0.002", "0.02"),
            day_loss_action=rng.choice(("off", *ACTIONS)),
            drawdown_soft=rng.choice((D("0.5"), D("0.00001"), D("0.01"))),
            drawdown_hard=limit("0.6", "0.003", "0.03"),
            drawdown_action=rng.choice(("off", *ACTIONS)), cooldown_ms=often(0, 5_000),
            day_release=rng.random() < 0.5, half_open_trades=rng.choice((0, 1, 5)),
            half_open_size=limit("0.25", "0.01", "1"), scratch_r=rng.choice((0.1, 0.0, 1.0)),
            failures_max=rng.choice((0, 0, 1, 3)), losses_max=rng.choice((0, 0, 1, 2)),
            liquidation_trips=rng.choice((False, False, True)),
            failures_window_ms=often(600_000, 1_000),
        )  # fmt: skip

    def intake(self) -> Intake:
        often = self.often
        return Intake(
            remember_max=often(100_000, 1, 2),
            remember_ms=often(86_400_000, 10_000),
            signal_ahead_ms_max=often(1_000, 0, 60_000),
            confidence_min=often(0.0, 0.0, 0.5),
            volume_min=often(D(0), D(0), D(50)),
            spread_bps_max=self.limit("50", "5"),
            signal_age_ms_max=often(10_000, 1_000),
            data_age_ms_max=often(10_000, 1_000),
            confidence_levels=often((0.4, 0.6, 0.8), (0.1, 0.2, 0.3)),
        )

    def killswitch(self) -> KillSwitch:
        return KillSwitch(
            latency_action=self.often("block", "flatten", "off"),
            memory_hard_action=self.often("flatten", "block", "off"),
        )

    def settings(self) -> Settings:
        """Draw all of them: several strategies over two accounts."""
        rng, often = self.rng, self.often
        accounts = (("a", "main"), ("b", "main"), ("c", "second"))
        return Settings(
            account=Account(balance=D(rng.choice((10_000, 10_000, 2_000, 500)))),
            leverage=self.leverage(), sizing=self.sizing(), risk=self.risk(),
            breaker=self.breaker(), levels=self.levels(), intake=self.intake(),
            killswitch=self.killswitch(),
            cache=Cache(ttl_ms=often(60_000, 0, 1), entries_max=often(1_024, 1)),
            orders=Orders(retries_max=rng.choice((0, 2, 10)), backoff_ms=often(250, 1, 60_000),
                          fok_leftover=often("close", "keep")),
            reconcile=Reconcile(unexplained=often("accept", "freeze")),
            paper=Paper(take_profit_order=often("market", "limit")),
            strategies={name: self.strategy(account) for name, account in accounts},
            shutdown=rng.choice(("close", "cancel_orders_only", "leave")),
        )  # fmt: skip


def fields_of(rng: Random, side: str, price: Decimal) -> dict[str, Any]:
    """Draw what else a signal says."""
    if side == "close":
        return {"quantity": rng.choice((None, None, None, D("0.5"), D(5)))}
    sign = 1 if side == "buy" else -1
    fields: dict[str, Any] = {
        "quantity": rng.choice((None, D(1), D(10), D("33.333"), D(80))),
        "leverage": rng.choice((None, D(1), D(1), D("2.5"), D(50))),
        "volume": rng.choice((None, None, D(200), D(1_000), D(500_000))),
        "level": rng.choice((None, None, *Level)),
        "expires_ms": rng.choice((0, 0, 500, 30_000)),
    }
    if rng.random() < 0.7:
        fields["stop_loss_pct"] = rng.choice((D("0.5"), D(2), D(8), D(99)))
    elif rng.random() < 0.4:
        fields["stop_loss"] = price * (1 - sign * rng.choice((D("0.01"), D("0.3"))))
    if rng.random() < 0.3:
        fields[rng.choice(("trailing", "trailing_pct"))] = rng.choice((D("0.3"), D(3), D(40)))
    if rng.random() < 0.2:
        fields["take_profit_pct"] = rng.choice((D(1), D(150)))
    if rng.random() < 0.4:
        fields |= {"order": rng.choice(("limit", "fok")), "limit": price}
    return fields
