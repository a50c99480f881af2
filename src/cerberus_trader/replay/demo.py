"""The demonstration: a synthetic market, two strategies, one guard, and the same without it."""

from decimal import Decimal
from pathlib import Path

from cerberus_trader.config import Loaded, load_settings
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.settings import Settings
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State, equity
from cerberus_trader.instruments import built_in
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.replay.demo_market import crowd_calls, make_market
from cerberus_trader.replay.heads import ListSignals
from cerberus_trader.replay.inputs import head_signals
from cerberus_trader.replay.outputs import open_store, staged, write_outputs
from cerberus_trader.replay.session import (
    ENGINE_ID,
    Clock,
    Comparison,
    Progress,
    ReplayResult,
    simulate,
)
from cerberus_trader.replay.tape import Tape

SEED = 20  # chosen so that the crash finds positions open; results of other seeds vary widely
NAIVE_LEVERAGE = Decimal(30)
NAIVE_MARGIN = Decimal("0.1")
NAIVE_LABEL = "the same at 30x, unguarded"


def demo_settings() -> Loaded[Settings]:
    """Load the demonstration's configuration; the machine's own is left aside."""
    preset = Path(__file__).parent.parent / "presets" / "demo.toml"
    return load_settings(preset, environ={})


def demo_tapes(seed: int = SEED) -> list[Tape]:
    """Make the tapes of the synthetic market."""
    known = built_in()
    return [
        Tape(known[name], item.bars, item.marks, item.funding)
        for name, item in make_market(seed).items()
    ]


def run_demo(out: Path, progress: Progress | None = None, seed: int = SEED) -> ReplayResult:
    """Run the demonstration and write its folder; the page is out/report.html."""
    clock = Clock()
    loaded = demo_settings()
    known, market = built_in(), make_market(seed)
    tapes = [Tape(known[n], item.bars, item.marks, item.funding) for n, item in market.items()]
    sources = [
        *head_signals(None, loaded.settings, tapes),
        ListSignals(crowd_calls(market, seed)),
    ]
    with staged(out) as folder:
        with open_store(folder) as (journal, project):
            result = simulate(
                "Demonstration on a synthetic memecoin market", tapes, loaded, sources, journal,
                clock=clock, progress=progress, project=project,
            )  # fmt: skip
        result.synthetic = True
        result.naive = unguarded(result, tapes)
        result.summary["synthetic"] = True
        result.summary["naive_30x"] = {
            key: result.naive.summary[key]
            for key in ("trades", "liquidations", "fees", "final_equity", "max_drawdown")
        } | {"liquidations_avoided": result.naive.avoided}  # fmt: skip
        result.summary.update(clock.spent())
        write_outputs(folder, result)
    return result


class Unguarded:
    """Give the same signals at 30x: each puts a tenth of the equity up as margin.

    A signal for which no margin is left is let go, as its venue would refuse it.
    """

    def __init__(self, signals: list[Signal], tapes: list[Tape]) -> None:
        self.inner = ListSignals(signals)
        self.tapes = {tape.name: tape for tape in tapes}
        self.state: State | None = None

    def next_ns(self) -> int:
        """Return the time of the next signal."""
        return self.inner.next_ns()

    def take(self) -> list[Signal]:
        """Return the signals of that time, each with its leverage and quantity."""
        now = self.inner.next_ns()
        found = (self.sized(signal, now) for signal in self.inner.take())
        return [signal for signal in found if signal is not None]

    def sized(self, signal: Signal, now: int) -> Signal | None:
        """Return a signal with 30x and its quantity; None where no margin is left."""
        from msgspec.structs import replace

        tape, state = self.tapes[signal.instrument], self.state
        known = tape.known(now)
        if signal.side == "close" or known is None or state is None:
            return signal
        marks = tuple((name, self.tapes[name].mark(now) or ZERO) for name in state.exposures)
        own = equity(state, marks)
        margin = own * NAIVE_MARGIN
        if margin <= ZERO or own - state.margin < margin:
            return None
        quantity = tape.instrument.quantity_down(margin * NAIVE_LEVERAGE / known.ask)
        return replace(signal, quantity=quantity, leverage=NAIVE_LEVERAGE)


def unguarded(result: ReplayResult, tapes: list[Tape]) -> Comparison:
    """Trade the signals of a guarded run without its limits, on the same market."""
    loaded = load_settings(None, stage="research", environ={}, folder=Path(__file__).parent)
    source = Unguarded(list(result.collector.signals.values()), tapes)

    def attach(state: State) -> None:
        source.state = state

    other = simulate(
        NAIVE_LABEL, tapes, loaded, [source], MemoryJournal(engine_id=ENGINE_ID), attach=attach
    )
    liquidated = int(other.summary["liquidations"])
    own = int(result.summary["liquidations"])
    return Comparison(
        NAIVE_LABEL, other.summary, other.times, other.equity, liquidated,
        max(liquidated - own, 0),
    )  # fmt: skip
