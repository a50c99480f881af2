"""The settings: every limit and default of Cerberus, each with its range and meaning.

This is the one place that defines them. `config.py` validates files and environment against it,
docs/configuration.md is generated from it, and the journal carries it whole, as an event.
Fractions are of 1 (0.04 is 4 %), percentages say `_pct`; units come last in the names.
"""

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal

import msgspec

from cerberus_trader.domain.money import ONE, ZERO
from cerberus_trader.domain.settings_base import (
    Action,
    Count,
    Fraction,
    Meta,
    Millis,
    NonNegative,
    Positive,
    Ratio,
    Section,
)
from cerberus_trader.domain.settings_guard import KillSwitch, Resources
from cerberus_trader.domain.settings_keep import Backup, Retention

RETRIES_MAX = 10
Sizer = Literal["risk", "volatility", "kelly", "balance", "confidence"]


class Account(Section, frozen=True):
    """Say what the account starts with."""

    currency: Annotated[str, Meta(description="the one account currency", cold=True)] = "USDT"
    balance: Annotated[
        Decimal,
        Meta(gt=0, description="starting balance of a paper account", cold=True),
    ] = Decimal(10000)


class Intake(Section, frozen=True):
    """Bound what a signal may be before anything else looks at it."""

    signal_age_ms_max: Annotated[
        Millis, Meta(description="older signals are denied, and entries approved so long ago")
    ] = 10_000
    signal_ahead_ms_max: Annotated[
        Millis, Meta(description="signals stamped further in the future are denied")
    ] = 1_000
    data_age_ms_max: Annotated[
        Millis, Meta(description="older prices deny; for bars the interval is added")
    ] = 10_000
    spread_bps_max: Annotated[Decimal, Meta(gt=0, description="wider quotes deny")] = Decimal(50)
    confidence_min: Annotated[float, Meta(ge=0, le=1, description="weaker ones are denied")] = 0.0
    confidence_levels: Annotated[
        tuple[float, float, float],
        Meta(description="numbers from which confidence is medium, high, extreme"),
    ] = (0.4, 0.6, 0.8)
    volume_min: Annotated[
        NonNegative, Meta(description="signals that report less volume are denied; 0 is off")
    ] = ZERO
    metadata_bytes_max: Annotated[
        int, Meta(ge=0, le=65_536, description="longer metadata is refused")
    ] = 16_384
    line_bytes_max: Annotated[
        int, Meta(ge=256, le=1_048_576, description="longer signal lines are refused")
    ] = 65_536
    signals_per_second_max: Annotated[
        Count, Meta(description="more per source are refused, uncounted in the journal; 0 is off")
    ] = 0
    remember_ms: Annotated[
        Millis,
        Meta(
            description="how long signal ids are remembered; at least the oldest admissible "
            "signal, and one from before what is remembered is denied, exits too"
        ),
    ] = 86_400_000
    remember_max: Annotated[
        int, Meta(ge=1, description="how many ids are remembered at most; more than wait at once")
    ] = 100_000


class Cache(Section, frozen=True):
    """Bound the decision cache, which holds the analysis, never the verdict."""

    ttl_ms: Annotated[Millis, Meta(description="life of an entry; 0 switches the cache off")] = (
        60_000
    )
    entries_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="entries kept, the least recently used leaves first"),
    ] = 1_024
    price_bucket_sigma: Annotated[
        float,
        Meta(gt=0, le=10, description="width of a price bucket of the key, in one-minute sigma"),
    ] = 0.25


class Leverage(Section, frozen=True, gc=True, dict=True):
    """Set bases, factors and caps of the leverage calculator."""

    low: Annotated[Positive, Meta(description="base for low confidence")] = Decimal(5)
    medium: Annotated[Positive, Meta(description="base for medium confidence")] = Decimal(10)
    high: Annotated[Positive, Meta(description="base for high confidence")] = Decimal(20)
    extreme: Annotated[Positive, Meta(description="base for extreme confidence")] = Decimal(30)
    cap: Annotated[
        Decimal, Meta(ge=1, le=255, description="hard maximum of this configuration")
    ] = Decimal(10)
    sigma_ref: Annotated[
        float, Meta(gt=0, le=10, description="daily volatility at which the volatility factor is 1")
    ] = 0.05
    volatility_factor_min: Annotated[
        Ratio,
        Meta(description="the factor never falls below; also its value when volatility is unknown"),
    ] = 0.1
    wilson_z: Annotated[
        float, Meta(gt=0, le=5, description="one-sided z of the success rate's lower bound")
    ] = 1.2816
    break_even_rate: Annotated[
        Ratio, Meta(description="win rate at which the strategy breaks even")
    ] = 0.4
    success_factor_min: Annotated[Ratio, Meta(description="floor of the success factor")] = 0.5
    loss_factor_min: Annotated[Ratio, Meta(description="day-loss factor just before the limit")] = (
        0.25
    )
    drawdown_start: Annotated[Ratio, Meta(description="drawdown from which leverage falls")] = 0.10
    drawdown_end: Annotated[Ratio, Meta(description="drawdown at which leverage is 0")] = 0.25
    stop_multiple: Annotated[
        float,
        Meta(ge=1, le=10, description="the liquidation price stays this many stop distances away"),
    ] = 1.5
    liquidation_buffer: Annotated[Ratio, Meta(description="and this fraction more")] = 0.005
    fractional: Annotated[
        bool, Meta(description="grant leverage without flooring it to a whole number")
    ] = False

    @cached_property
    def cap_float(self) -> float:
        """Return the hard maximum as a float."""
        return float(self.cap)


class Sizing(Section, frozen=True):
    """Set the bounds of the position size; the smallest bound wins."""

    methods: Annotated[
        tuple[Sizer, ...],
        Meta(min_length=1, description="bounds that apply unless a strategy chooses its own"),
    ] = ("risk", "volatility")
    risk_fraction: Annotated[Fraction, Meta(description="equity lost at the stop, risk sizing")] = (
        Decimal("0.0075")
    )
    balance_fraction: Annotated[Fraction, Meta(description="margin per trade, balance sizing")] = (
        Decimal("0.01")
    )
    volatility_target: Annotated[
        Ratio, Meta(description="daily volatility of one position, as a fraction of equity")
    ] = 0.01
    kelly_fraction: Annotated[Ratio, Meta(description="share of the full Kelly bet")] = 0.25
    kelly_max: Annotated[Ratio, Meta(description="cap of the full Kelly bet")] = 0.2
    reward_ratio: Annotated[
        float, Meta(gt=0, le=100, description="average win over average loss, for Kelly")
    ] = 2.0
    margin_reserve: Annotated[Fraction, Meta(description="share of free margin never used")] = (
        Decimal("0.3")
    )
    slippage_allowance: Annotated[
        Fraction, Meta(description="slippage counted into the loss at the stop")
    ] = Decimal("0.002")
    volume_share_max: Annotated[
        Fraction, Meta(description="share of the signal's reported volume taken at most; 0 is off")
    ] = Decimal("0.01")
    obey_quantity: Annotated[
        bool, Meta(description="a signal's own quantity is the size, no bound applies")
    ] = False


class Levels(Section, frozen=True):
    """Set the protective levels of signals that bring none."""

    stop_required: Annotated[
        bool, Meta(description="a signal without a stop gets one, else may lose its margin")
    ] = True
    stop_sigma: Annotated[
        float, Meta(gt=0, le=100, description="stop distance in sigma of the holding time")
    ] = 2.0
    holding_hours: Annotated[float, Meta(gt=0, le=10_000, description="expected holding time")] = (
        4.0
    )
    stop_pct_min: Annotated[Decimal, Meta(gt=0, lt=100, description="nearest stop, percent")] = (
        Decimal(1)
    )
    stop_pct_max: Annotated[Decimal, Meta(gt=0, lt=100, description="furthest stop, percent")] = (
        Decimal(8)
    )
    reward_multiple: Annotated[
        Decimal,
        Meta(
            ge=0,
            le=100,
            description="take-profit in stop distances for signals without one; 0 is off",
        ),
    ] = ZERO


class Risk(Section, frozen=True):
    """Set the limits over the sum of all strategies; `1` and more count in equities."""

    positions_max: Annotated[Count, Meta(description="positions open or working at once")] = 3
    position_exposure_max: Annotated[NonNegative, Meta(description="notional of one position")] = (
        Decimal(1)
    )
    group_exposure_max: Annotated[
        NonNegative, Meta(description="notional of one group of correlated instruments")
    ] = Decimal("2.5")
    gross_exposure_max: Annotated[NonNegative, Meta(description="notional of everything")] = (
        Decimal(3)
    )
    group_risk_max: Annotated[
        Fraction,
        Meta(description="equity lost if every stop of a group is hit; all margin where none is"),
    ] = Decimal("0.02")
    order_notional_max: Annotated[
        NonNegative, Meta(description="largest order in account currency; 0 is off")
    ] = ZERO
    volatility_halt: Annotated[
        float,
        Meta(ge=0, le=100, description="daily volatility above which nothing is opened; 0 is off"),
    ] = 0.6
    minute_volatility_halt: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="the same for the rolling one-minute estimate, daily; 0 is off",
        ),
    ] = 1.5
    lift_all: Annotated[
        bool, Meta(description="research only: checks are recorded, none denies")
    ] = False


class Breaker(Section, frozen=True, gc=True, dict=True):
    """Set what trips the circuit breaker and what the trip does."""

    day_loss: Annotated[
        Fraction, Meta(description="loss of the day, open positions included, of day-start equity")
    ] = Decimal("0.04")
    day_loss_action: Action = "flatten"
    drawdown_soft: Annotated[
        Fraction, Meta(description="fall from the equity peak that halves new sizes; 0 is off")
    ] = Decimal("0.15")
    drawdown_hard: Annotated[Fraction, Meta(description="fall from the equity peak")] = Decimal(
        "0.25"
    )
    drawdown_action: Action = "flatten"
    losses_max: Annotated[Count, Meta(description="consecutive losing trades; 0 is off")] = 5
    scratch_r: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="a result within this share of the risk taken counts neither way",
        ),
    ] = 0.1
    failures_max: Annotated[
        Count, Meta(description="consecutive order failures within the window; 0 is off")
    ] = 5
    failures_window_ms: Millis = 600_000
    liquidation_trips: Annotated[
        bool,
        Meta(description="a position that the venue closes by itself trips (liquidation, ADL)"),
    ] = True
    cooldown_ms: Annotated[Millis, Meta(description="no reset sooner after a trip")] = 900_000
    day_release: Annotated[
        bool, Meta(description="a day-loss trip ends with the day; else only by a reset")
    ] = False
    half_open_trades: Annotated[Count, Meta(description="trades on probation after a reset")] = 5
    half_open_size: Annotated[Fraction, Meta(description="size on probation")] = Decimal("0.25")

    @cached_property
    def day_loss_float(self) -> float:
        """Return the loss of the day as a float."""
        return float(self.day_loss)


class Health(Section, frozen=True):
    """Set the margin ratios and ages at which a position is watched, reduced, closed."""

    interval_ms: Annotated[int, Meta(ge=100, le=600_000, description="live check interval")] = 5_000
    watch: Annotated[Fraction, Meta(description="maintenance over equity: watch")] = Decimal("0.5")
    danger: Annotated[Fraction, Meta(description="reduce by half; 1 is off")] = Decimal("0.65")
    critical: Annotated[Fraction, Meta(description="close; 1 is off")] = Decimal("0.8")
    silence_ms_max: Annotated[
        Millis,
        Meta(
            description="a held instrument without a price for so "
            "long is stale; bars add their interval; 0 is "
            "off"
        ),
    ] = 30_000


class Strategy(Section, frozen=True, gc=True, dict=True):
    """Configure one strategy: an instance of a head with its budget."""

    head: Annotated[str, Meta(description="the head that feeds it")] = "file"
    kind: Annotated[
        Literal["directional", "momentum", "mean_reversion", "arbitrage", "event"],
        Meta(description="strategy type; scales the risk fraction"),
    ] = "directional"
    sources: Annotated[
        tuple[str, ...],
        Meta(description="signal sources it accepts, * is any; its own name always"),
    ] = ()
    account: Annotated[
        str,
        Meta(description="position book; strategies in one account share its one-way positions"),
    ] = "main"
    status: Annotated[
        Literal["active", "paused", "stopped"], Meta(description="only active ones open")
    ] = "active"
    instruments: Annotated[
        tuple[str, ...], Meta(description="what it may trade; empty is all")
    ] = ()
    budget: Annotated[Decimal, Meta(gt=0, le=1, description="share of equity it may use")] = ONE
    day_loss: Annotated[
        Fraction, Meta(description="loss of its own day, of its budget, that blocks it")
    ] = Decimal("0.04")
    day_loss_action: Action = "block"
    positions_max: Annotated[Count, Meta(description="its own positions at once")] = 3
    risk_tolerance: Annotated[Decimal, Meta(gt=0, le=1, description="scales its risk fraction")] = (
        ONE
    )
    sizing: Annotated[
        tuple[Sizer, ...], Meta(description="sizing bounds; empty takes the general ones")
    ] = ()
    leverage_max: Annotated[Decimal, Meta(ge=1, le=255, description="its own cap")] = Decimal(30)
    add: Annotated[
        bool, Meta(description="a same-side signal adds; changed entries may only risk less")
    ] = False
    reverse: Annotated[bool, Meta(description="an opposite signal also opens the other side")] = (
        False
    )
    params: Annotated[
        dict[str, bool | int | float | str], Meta(description="parameters of the head")
    ] = msgspec.field(default_factory=dict)

    @cached_property
    def leverage_float(self) -> float:
        """Return its own cap as a float."""
        return float(self.leverage_max)


class Paper(Section, frozen=True):
    """Set the simulated market."""

    latency_ms: Annotated[Millis, Meta(description="signal to execution")] = 50
    slippage_bps: Annotated[
        Decimal, Meta(ge=0, le=1000, description="worsens market, stop and take-profit fills")
    ] = Decimal(2)
    participation_max: Annotated[
        Fraction, Meta(description="share of a row's size that fills; 0 is off")
    ] = ZERO
    take_profit_order: Literal["market", "limit"] = "market"


class Journal(Section, frozen=True):
    """Set how the journal is kept."""

    durability: Annotated[
        Literal["power", "process"],
        Meta(
            description="what an order waits for: synced to disk, or handed to the system",
            cold=True,
        ),
    ] = "power"
    snapshot_rows: Annotated[int, Meta(ge=100, description="rows between snapshots", cold=True)] = (
        10_000
    )
    pages_max: Annotated[
        Count, Meta(description="size limit in pages of 4 KiB; 0 is off", cold=True)
    ] = 0


class Orders(Section, frozen=True):
    """Set how orders that failed are tried again: only those proven rejected (K-20)."""

    retries_max: Annotated[
        int,
        Meta(ge=0, le=RETRIES_MAX, description="further attempts after a rejection that will pass"),
    ] = 3
    backoff_ms: Annotated[
        int,
        Meta(ge=1, le=60_000, description="pause before the first; each further one doubles it"),
    ] = 250
    fok_leftover: Annotated[
        Literal["close", "keep"],
        Meta(description="what is done with the part that a killed fill-or-kill order had filled"),
    ] = "close"


class Reconcile(Section, frozen=True):
    """Set how our books are held against the venue's."""

    interval_ms: Annotated[
        int, Meta(ge=100, le=3_600_000, description="between two looks at a venue's account")
    ] = 30_000
    answer_ms_max: Annotated[
        int, Meta(ge=10, le=600_000, description="a request without an answer is UNKNOWN then")
    ] = 2_000
    submit_window_ms: Annotated[
        int,
        Meta(ge=10, le=600_000, description="the venue is told to refuse an order older than this"),
    ] = 5_000
    skew_ms_max: Annotated[
        Millis, Meta(description="how far the venue's clock may differ, for proofs of absence")
    ] = 1_000
    suspect_ms_min: Annotated[
        int, Meta(ge=0, le=60_000, description="a difference stands so long before it is acted on")
    ] = 1_000
    unexplained: Annotated[
        Literal["freeze", "accept"],
        Meta(description="what an order, fill or position that is not ours leads to"),
    ] = "freeze"
    balance_tolerance: Annotated[
        NonNegative, Meta(description="a smaller difference of balances is left alone")
    ] = Decimal("0.01")


class Venue(Section, frozen=True):
    """Name a venue account: addresses and the NAMES of its keys, never the keys."""

    kind: Annotated[
        str,
        Meta(description="paper works inside the engine, remote is another process", cold=True),
    ] = "paper"
    environment: Annotated[
        Literal["paper", "demo", "testnet", "live"],
        Meta(description="whose money it is", cold=True),
    ] = "paper"
    endpoint: Annotated[
        str, Meta(description="unix:/path or tcp:host:port of a remote one", cold=True)
    ] = ""
    key_name: Annotated[str, Meta(description="name of the API key in the vault")] = ""
    secret_name: Annotated[str, Meta(description="name of the secret in the vault")] = ""


class Logging(Section, frozen=True):
    """Set the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    form: Literal["json", "console"] = "json"


def _any_source() -> dict[str, Strategy]:
    return {"default": Strategy(sources=("*",))}


def _paper_venue() -> dict[str, Venue]:
    return {"paper": Venue()}


class Settings(Section, frozen=True):
    """Hold the whole configuration."""

    stage: Annotated[
        Literal["dev", "test", "prod", "research"],
        Meta(description="stage profile", cold=True),
    ] = "dev"
    account: Account = Account()
    intake: Intake = Intake()
    cache: Cache = Cache()
    leverage: Leverage = Leverage()
    sizing: Sizing = Sizing()
    levels: Levels = Levels()
    risk: Risk = Risk()
    breaker: Breaker = Breaker()
    health: Health = Health()
    paper: Paper = Paper()
    journal: Journal = Journal()
    backup: Backup = Backup()
    retention: Retention = Retention()
    orders: Orders = Orders()
    reconcile: Reconcile = Reconcile()
    killswitch: KillSwitch = KillSwitch()
    resources: Resources = Resources()
    logging: Logging = Logging()
    shutdown: Annotated[
        Literal["close", "cancel_orders_only", "leave"],
        Meta(description="what a stop does with positions and orders"),
    ] = "cancel_orders_only"
    instruments: Annotated[tuple[str, ...], Meta(description="files with further instruments")] = ()
    strategies: dict[str, Strategy] = msgspec.field(default_factory=_any_source)
    venues: Annotated[dict[str, Venue], Meta(description="where orders go, by name", cold=True)] = (
        msgspec.field(default_factory=_paper_venue)
    )
