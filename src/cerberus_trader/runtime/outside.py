"""Venues outside of the engine's process: which one the configuration names, and its prices."""

import asyncio
from collections.abc import Callable

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.inbox import Inbox, Instant
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.prices import POINT, Tick
from cerberus_trader.venues.remote.endpoint import parse_endpoint
from cerberus_trader.venues.remote.venue import RemoteVenue
from cerberus_trader.venues.remote.wire import Prices

ACCOUNT = "main"


def client_of(settings: Settings, known: Callable[[str], bool]) -> RemoteVenue | None:
    """Return the line to the configured venue, None for the paper venue inside the process.

    Raises `DataError` for what this release does not trade on: real money before all.
    """
    for name, venue in settings.venues.items():
        place = f"venues.{name}"
        if venue.environment not in ("paper", "demo"):
            raise DataError(
                f"this release trades on paper and demo venues only, not {venue.environment}.",
                code="VENUE_LIVE", place=place, fix='set environment = "paper" or "demo".',
            )  # fmt: skip
        if venue.kind not in ("paper", "remote"):
            raise DataError(f"no venue of the kind {venue.kind[:40]!r}.", code="VENUE_UNKNOWN",
                            place=place, fix="choose paper or remote.")  # fmt: skip
    remote = {name: v for name, v in settings.venues.items() if v.kind == "remote"}
    if not remote:
        return None
    if len(settings.venues) > 1:
        raise DataError("one engine trades on one venue.", code="VENUE_COUNT", place="venues",
                        fix="name one, and start an engine for each.")  # fmt: skip
    for name, strategy in settings.strategies.items():
        if strategy.account != ACCOUNT:
            raise DataError(
                f"a venue outside has the one account {ACCOUNT}.", code="VENUE_ACCOUNT",
                place=f"strategies.{name}.account", fix=f'set account = "{ACCOUNT}".',
            )  # fmt: skip
    ((name, venue),) = remote.items()
    return RemoteVenue(parse_endpoint(venue.endpoint, f"venues.{name}.endpoint"), known=known)


def check_same_side(state: State, settings: Settings) -> None:
    """Refuse to take what is open at a venue outside for paper, or paper for a venue's.

    Raises `DataError`.
    """
    before, now = endpoint_of(state.settings), endpoint_of(settings)
    held = len(state.positions) + len(state.orders)
    if state.config and held and bool(before) != bool(now):
        raise DataError(
            f"{held} positions and orders are open {_where(before)}, not {_where(now)}.",
            code="VENUE_CHANGED", place="venues",
            fix="start with the former configuration and close them, or name another --state.",
        )  # fmt: skip


def tell_of_move(state: State, settings: Settings, log: Log) -> None:
    """Alert of another endpoint while something is open: it is taken for the same venue, moved."""
    before, now = endpoint_of(state.settings), endpoint_of(settings)
    if not (before and now) or before == now or not (state.positions or state.orders):
        return
    after = "freezes trading" if settings.reconcile.unexplained == "freeze" else "is an alert"
    log.alert(
        "the venue's endpoint changed while something is open: it is taken for the same venue,"
        f" moved; its account is compared, and what it lacks {after}",
        before=before, now=now, positions=len(state.positions), orders=len(state.orders),
    )  # fmt: skip


def _where(endpoint: str) -> str:
    return f"at the venue {endpoint}" if endpoint else "at the paper venue inside the engine"


def endpoint_of(settings: Settings) -> str:
    """Return where the configured venue listens, empty for the one inside the process."""
    return next((v.endpoint for v in settings.venues.values() if v.kind == "remote"), "")


class VenueFeed:
    """Bring a venue's prices to the inbox; of those that wait, the latest of each counts."""

    def __init__(self, client: RemoteVenue, inbox: Inbox, now_ns: Callable[[], int]) -> None:
        self.inbox = inbox
        self.now_ns = now_ns
        self.known = client.known
        self._latest: dict[str, Tick] = {}
        self._more = asyncio.Event()
        client.on_prices = self.take

    def take(self, prices: Prices) -> None:
        """Take prices as they come; those of unknown instruments are nothing to us."""
        now = self.now_ns()
        for quote in prices.quotes:
            if self.known(quote.instrument):
                known_ns = min(quote.ts_ns, now)
                tick = Tick(quote.instrument, POINT, quote.bid, quote.ask, known_ns)
                self._latest[quote.instrument] = tick
        self._more.set()

    async def run(self) -> None:
        """Hand the prices on, for ever."""
        while True:
            await self._more.wait()
            self._more.clear()
            latest, self._latest = self._latest, {}
            if latest:
                await self.inbox.put_price(Instant(0, tuple(latest.values())))
