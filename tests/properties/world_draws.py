"""What a random world draws beyond its markets: more settings, coarse instruments, odd signals.

They come from a generator of their own, so that a seed keeps its prices.
"""

import random
from decimal import Decimal
from typing import Any

import msgspec

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.settings import Settings
from cerberus_trader.domain.signal import Level, Signal

D = Decimal
replace = msgspec.structs.replace
SIZERS = ("risk", "volatility", "kelly", "balance", "confidence")


def more(chosen: Settings, r: random.Random) -> Settings:
    """Draw further settings over those given, in half of the worlds."""
    if r.random() < 0.5:
        return chosen
    methods: Any = tuple(r.sample(SIZERS, r.randint(1, 3)))
    return replace(
        chosen,
        sizing=replace(
            chosen.sizing, methods=methods, margin_reserve=D(r.choice(["0.3", "0", "0.9"])),
            volume_share_max=D(r.choice(["0", "0.01"])),
        ),
        leverage=replace(
            chosen.leverage, fractional=r.random() < 0.5, cap=D(r.choice([3, 60, 255]))
        ),
        levels=replace(chosen.levels, reward_multiple=D(r.choice(["0", "0.5", "100"]))),
        risk=replace(
            chosen.risk, positions_max=r.choice([1, 2, 9]),
            group_risk_max=D(r.choice(["1", "0.02", "0.005"])),
            order_notional_max=D(r.choice([0, 0, 500])),
        ),
        breaker=replace(
            chosen.breaker, drawdown_soft=D(r.choice(["0.15", "0.0001"])),
            drawdown_hard=D(r.choice(["0.25", "0.005"])), losses_max=r.choice([0, 2, 5]),
            drawdown_action=r.choice(["off", "block", "flatten"]),
            day_loss_action=r.choice(["off", "block", "flatten"]),
        ),
        intake=replace(chosen.intake, remember_max=r.choice([1, 100_000])),
        cache=replace(chosen.cache, ttl_ms=r.choice([0, 1, 60_000]), entries_max=r.choice([1, 99])),
        paper=replace(chosen.paper, participation_max=D(r.choice(["0", "0", "0.01", "0.5"]))),
        orders=replace(chosen.orders, fok_leftover=r.choice(["close", "keep"])),
        health=replace(chosen.health, silence_ms_max=r.choice([0, 1_000, 30_000])),
        strategies={
            name: replace(
                strategy, risk_tolerance=D(r.choice(["1", "0.3"])),
                budget=D(r.choice(["1", "0.4"])), kind=r.choice(["directional", "event"]),
                positions_max=r.choice([1, 3]),
            )
            for name, strategy in chosen.strategies.items()
        },
    )  # fmt: skip


def coarse(item: Instrument, r: random.Random) -> Instrument:
    """Draw a coarse lot, tick, significant figures or market hours now and then."""
    if r.random() < 0.6:
        return item
    return replace(
        item, lot=r.choice([item.lot, D(1), D(3)]), tick=r.choice([item.tick, D("0.5"), D(3)]),
        significant_figures=r.choice([0, 0, 4]), quantity_min=r.choice([D(0), D(2)]),
        notional_min=r.choice([D(0), D(400)]), funding_interval_hours=r.choice([1, 8]),
        sessions=r.choice([(), (), ("mon-fri 00:00-22:13",)]),
    )  # fmt: skip


def odd(signal: Signal, r: random.Random) -> Signal:
    """Let a signal be fill-or-kill, report a volume, name a level, or repeat an id."""
    if r.random() < 0.5 or signal.side == "close":
        return signal
    fields: dict[str, Any] = {"volume": r.choice([None, D(100), D(50_000)])}
    if signal.order == "limit" and r.random() < 0.5:
        fields["order"] = "fok"
    if r.random() < 0.3:
        fields["level"] = r.choice(list(Level))
    if r.random() < 0.1:
        fields["id"] = "s0"
    if r.random() < 0.2:
        fields["take_profit_pct"], fields["take_profit"] = D(150), None
    return replace(signal, **fields)
