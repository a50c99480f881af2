"""The shell: what stands around one engine, whatever supplies time, prices and venue.

Live, paper and simulation build it alike: state folded from the journal, runner, market, desk,
the trading loop, and the link where the venue is not the one inside the process. The start-up
sequence is here: fold (before), configuration, venue, reconciliation; trading is open for new
exposure once the accounts agree.
"""

from collections.abc import Collection
from decimal import Decimal

from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.sessions import parse_session
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import State
from cerberus_trader.journal.rows import Journal
from cerberus_trader.runtime.clock import Clock
from cerberus_trader.runtime.desk import Desk
from cerberus_trader.runtime.link import Link
from cerberus_trader.runtime.prices import LiveMarket
from cerberus_trader.runtime.runner import Runner
from cerberus_trader.runtime.trading import Trading
from cerberus_trader.venues.base import VenueClient
from cerberus_trader.venues.paper.restore import canceling, restore
from cerberus_trader.venues.paper.venue import PaperVenue


class Shell:
    """Hold an engine with everything that it needs to trade; used from one event loop.

    `client` speaks with a venue outside; without one the paper venue inside the process works,
    rebuilt from the same journal, so that there is nothing to reconcile.
    """

    def __init__(
        self, state: State, journal: Journal, settings: Settings, clock: Clock, *,
        client: VenueClient | None = None, account: str = "main", version: str = "",
        health_timer: bool = True,
    ) -> None:  # fmt: skip
        engine = Engine(state)
        self.state = state
        self.journal = journal
        self.clock = clock
        self.market = LiveMarket()
        venue = PaperVenue(
            settings.paper, state.instruments,
            lambda ts, name: self.market.marks(state.exposures, name),
        )  # fmt: skip
        self.desk = Desk(venue, self.market)
        self.runner = Runner(engine, journal, self.desk, clock, version=version)
        self.trading = Trading(self.runner, self.market, self.desk, health_timer=health_timer)
        self.link: Link | None = None
        if client is not None:
            runner = self.runner
            self.link = Link(
                client,
                account,
                state,
                clock,
                runner.inbox.put_report,
                runner.gate.send_before,
                runner.gate.stopped,
                runner.gate.unchanging,
            )
            self.link.waiting = lambda: len(runner.inbox.reports)
            runner.venue = self.link

    async def begin(self, event: ConfigEvent, bests: dict[str, Decimal] | None = None) -> None:
        """Put the configuration in force where it is new, and wake what was left waiting."""
        state = self.state
        known = {item.name: item for item in event.instruments}
        if state.config != event.digest or state.instruments != known:
            self.runner.commit(event)
        self.trading.configure()
        if self.link is None:
            await self._wake_paper(bests or {})
        else:
            self.link.begin()
        await self.runner.durable(self.journal.last_seq)

    def forget(self) -> None:
        """Drop everything that is only remembered for convenience: memory is short."""
        self.desk.forget()
        parse_session.cache_clear()
        if self.link is not None:
            self.link.forget()

    async def _wake_paper(self, bests: dict[str, Decimal]) -> None:
        """Rebuild the paper venue's book, ask again for cancellations, let late orders lapse."""
        state, now = self.state, self.clock.now_ns()
        self.desk.venue.book = restore(
            state.positions, state.orders, state.instruments, state.settings.paper,
            state.trade_ids,
        )  # fmt: skip
        self.desk.bests = bests
        self.desk.forget()
        for order in canceling(state.orders):
            await self.runner.take_all([self.desk.cancel(order, now)])
        for waiting in list(self.desk.book.arriving.values()):
            order = waiting.order
            if not order.reduce_only and now > self.runner.gate.send_before(order):
                late = "found at start, too late to execute"
                await self.runner.take_all([self.desk.venue.expire(order.id, now, late)])


def check_covers(state: State, settings: Settings, names: Collection[str], place: str) -> None:
    """Refuse a configuration under which nobody could close what is still open.

    Raises:
        ConfigError: names each instrument that is left out, and each strategy whose account is
            another one, with an open position or a working order.
    """
    held: list[Position | Order] = [*state.positions.values(), *state.orders.values()]
    used = dict.fromkeys(x.instrument for x in held if x.instrument in state.instruments)
    faults = [
        f"instruments: {name} has an open position or order and is left out; keep its file until "
        "it is closed"
        for name in used
        if name not in names
    ]
    owned = dict.fromkeys((x.strategy, x.account) for x in held)
    faults += [
        f"strategies.{name}.account: has an open position or order on {account}; keep the account "
        "until it is closed"
        for name, account in owned
        if name in settings.strategies and settings.strategies[name].account != account
    ]
    if faults:
        raise ConfigError(faults, place=place)


def config_event(
    settings: Settings, digest: str, instruments: dict[str, Instrument], engine_id: str,
    now_ns: int, actor: str,
) -> ConfigEvent:  # fmt: skip
    """Make the event that puts a configuration in force."""
    return ConfigEvent(now_ns, settings, digest, tuple(instruments.values()), engine_id, actor)
