"""The configurations of a simulated run: what of the settings differs from world to world."""

from decimal import Decimal
from random import Random

import msgspec

from cerberus_trader.domain.settings import (
    Account,
    Breaker,
    Journal,
    Leverage,
    Orders,
    Reconcile,
    Risk,
    Settings,
    Sizing,
    Strategy,
)
from cerberus_trader.domain.signal import Signal

D = Decimal
NAMES = ("ALFA", "BRAVO", "CHARLIE", "DELTA")
HEADS = ("sim", "second", "third")


def settings_of(rng: Random, accepts: bool) -> Settings:
    """Draw a configuration: tight limits, quick looks at the account.

    Mostly the unexplained is accepted where there is any: one that freezes trades no more.
    """
    chosen = Settings(
        account=Account(balance=D(100_000)),
        leverage=Leverage(volatility_factor_min=1.0, drawdown_start=0.5, drawdown_end=0.9),
        sizing=Sizing(methods=("risk",), risk_fraction=D("0.0005")),
        risk=Risk(positions_max=rng.choice((1, 2, 3, 4))),
        breaker=Breaker(
            failures_max=rng.choice((0, 2, 5)), losses_max=rng.choice((0, 1, 5)), cooldown_ms=0,
        ),
        orders=Orders(retries_max=rng.choice((0, 3)), backoff_ms=100),
        reconcile=Reconcile(
            interval_ms=2_000, answer_ms_max=1_000, submit_window_ms=2_000,
            unexplained="accept" if accepts else "freeze",
        ),
        journal=Journal(snapshot_rows=rng.choice((100, 100_000))),
        strategies={
            "sim": Strategy(
                sources=("*",), positions_max=4, reverse=rng.random() < 0.3,
                add=rng.random() < 0.3,
            )
        },
    )  # fmt: skip
    return chosen if rng.random() < 0.7 else further(chosen, rng)


def further(chosen: Settings, rng: Random) -> Settings:
    """Draw what is rarely changed: how the breaker acts, levels, leftovers, the cache."""
    replace = msgspec.structs.replace
    return replace(
        chosen,
        breaker=replace(
            chosen.breaker, day_loss=rng.choice((D("0.04"), D("0.0005"))),
            drawdown_hard=rng.choice((D("0.25"), D("0.001"))),
            day_loss_action=rng.choice(("flatten", "block", "off")),
            drawdown_action=rng.choice(("flatten", "block", "off")),
            half_open_trades=rng.choice((0, 1, 5)),
        ),
        orders=replace(chosen.orders, fok_leftover=rng.choice(("close", "keep"))),
        cache=replace(chosen.cache, ttl_ms=rng.choice((0, 1_000)), entries_max=rng.choice((1, 99))),
        levels=replace(
            chosen.levels, stop_required=rng.random() < 0.5,
            reward_multiple=rng.choice((D(0), D("0.5"), D(3))),
        ),
    )  # fmt: skip


def several(chosen: Settings, rng: Random, heads: tuple[str, ...]) -> Settings:
    """Give each head a strategy of its own in the one account; at times one has none."""
    strategies = {}
    for name in heads:
        if name != heads[0] and rng.random() < 0.1:
            continue  # it has left the configuration, perhaps with a position
        strategies[name] = Strategy(
            status="paused" if rng.random() < 0.1 else "active",
            instruments=rng.choice(((), (), NAMES[:2], NAMES[1:])),
            budget=rng.choice((D(1), D("0.5"), D("0.05"))),
            day_loss=rng.choice((D("0.04"), D("0.001"), D("0.0002"))),
            day_loss_action=rng.choice(("flatten", "flatten", "block", "off")),
            positions_max=rng.choice((1, 2, 4)),
            reverse=rng.random() < 0.3, add=rng.random() < 0.3,
        )  # fmt: skip
    return msgspec.structs.replace(chosen, strategies=strategies)


def varied(chosen: Settings, rng: Random) -> Settings:
    """Draw memory, pauses, windows, and what trips the breaker and the kill switch."""
    replace = msgspec.structs.replace
    return replace(
        chosen,
        intake=replace(chosen.intake, remember_max=rng.choice((1, 20, 100_000))),
        orders=replace(chosen.orders, backoff_ms=rng.choice((1, 100, 3_000))),
        reconcile=replace(
            chosen.reconcile, interval_ms=rng.choice((500, 2_000, 7_000)),
            answer_ms_max=rng.choice((200, 1_000, 4_000)),
            submit_window_ms=rng.choice((300, 2_000, 8_000)),
        ),
        breaker=replace(
            chosen.breaker, cooldown_ms=rng.choice((0, 5_000, 30_000)),
            liquidation_trips=rng.random() < 0.5, day_release=rng.random() < 0.5,
            failures_window_ms=rng.choice((3_000, 600_000)),
        ),
        killswitch=replace(
            chosen.killswitch, latency_ms_max=rng.choice((0, 500, 2_000)),
            latency_action=rng.choice(("block", "flatten", "off")),
            clock_drift_ms_max=rng.choice((0, 1_000, 3_000)),
            clock_drift_action=rng.choice(("block", "flatten", "off")),
            feed_ms_max=rng.choice((3_000, 60_000)),
        ),
        shutdown=rng.choice(("close", "cancel_orders_only", "leave")),
    )  # fmt: skip


def wider(signal: Signal, rng: Random) -> Signal:
    """Let an entry trail its stop, or name none; let a close take a part."""
    replace = msgspec.structs.replace
    if rng.random() < 0.5:
        return signal
    if signal.side == "close":
        return replace(signal, quantity=D(rng.choice((1, 10, 50))))
    return replace(
        signal, trailing_pct=rng.choice((None, D("0.3"), D(2))),
        stop_loss_pct=rng.choice((None, signal.stop_loss_pct)),
    )  # fmt: skip


def hasty(chosen: Settings, rng: Random) -> Settings:
    """Let signals and prices age so fast, in a part of the runs, that a stalled disk is late."""
    if rng.random() < 0.7:
        return chosen
    intake = msgspec.structs.replace(
        chosen.intake, signal_age_ms_max=rng.choice((500, 2_000)),
        data_age_ms_max=rng.choice((1_000, 5_000)),
    )  # fmt: skip
    return msgspec.structs.replace(chosen, intake=intake)
