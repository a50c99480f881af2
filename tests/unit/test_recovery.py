"""What happens after each kind of error: every row of the table of recoveries is a mechanism."""

import asyncio
import configparser
import io
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.errors import (
    RECOVERY,
    CerberusError,
    ConfigError,
    DataError,
    JournalError,
    RiskViolation,
    SystemFailure,
    TradingFailure,
    VenueGarbage,
    VenueLost,
)
from cerberus_trader.domain.events import Anomaly, Measured, OperatorEvent, OrderReport
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.signal import Signal
from cerberus_trader.runtime.ingest import Ingest, Refusals
from cerberus_trader.runtime.load_config import load_apart
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.reload import ConfigReload
from cerberus_trader.runtime.service import Options, Service
from tests.kit import NOON, decision, of, submitted
from tests.unit.runtime.test_link_requests import Rig as LinkRig
from tests.unit.runtime.test_link_requests import settle
from tests.unit.runtime.test_runner import Rig

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "cerberus.service"


def stopped_by(error: Exception, folder: Path) -> tuple[Service, Rig, int]:
    """Let an error reach the service's boundary; return its exit code too."""
    rig, out = Rig(), io.StringIO()
    rig.signal()
    rig.sync()
    rig.fill()
    rig.sync()
    rig.desk.book.arriving.clear()
    rig.signal("buy", "s2")
    rig.signal("close", "s3")
    service = Service(Options(folder))
    service.runner = rig.runner
    service.log = Log(stream=out)
    service.fail(error)
    alert = json.loads(out.getvalue().splitlines()[-1])
    assert alert["alert"] is True and alert["event"] == "the engine stops"
    assert service.stop.is_set()
    return service, rig, error.exit_code if isinstance(error, CerberusError) else 1


async def stops_new_exposure_and_ends(kind: type[CerberusError], folder: Path) -> None:
    """Nothing that adds exposure leaves any more, what reduces does, a person is told."""
    service, rig, code = stopped_by(kind("it failed."), folder)
    assert [w.order.reduce_only for w in rig.desk.book.arriving.values()] == [True]
    rig.sync()
    assert all(w.order.reduce_only for w in rig.desk.book.arriving.values())
    assert service.failure is not None
    unit = configparser.ConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    unit.read_string(UNIT.read_text())
    never = unit["Service"]["RestartPreventExitStatus"].split()
    assert unit["Service"]["Restart"] == "on-failure"
    # a failed system is started again; a journal, like bad input, waits for a person
    assert (str(code) in never) is (kind is JournalError)


async def is_unknown_and_asked_about(kind: type[CerberusError], folder: Path) -> None:
    """The order stays in question, keeps its exposure, and is not sent again."""
    rig = LinkRig()
    one = rig.orders[0]
    await rig.submit(one)
    error = VenueLost if kind is TradingFailure else kind
    rig.venue.answers[one.id].set_exception(error("no answer."))
    await settle()
    (report,) = [event for event in rig.put if isinstance(event, OrderReport)]
    assert report.state == "unknown"
    step = rig.bench.take(report)
    assert not [c for c in step.commands if isinstance(c, SubmitOrder)]
    assert rig.bench.state.orders[one.id].status is Status.UNKNOWN
    notional, _, _ = rig.bench.state.reserved["COIN"]
    assert notional >= one.notional
    assert [order.id for order in rig.link._questions()] == [one.id]
    assert rig.venue.sent == [one.id] and rig.link.wake.is_set()
    told = [event for event in rig.put if isinstance(event, Anomaly)]
    assert [event.kind for event in told] == (["garbage"] if kind is VenueGarbage else [])
    rig.link.give_up()


async def denies_until_a_token(kind: type[CerberusError], folder: Path) -> None:
    """Entries are denied, exits approved, and only the token opens again."""
    rig = LinkRig()
    bench = rig.bench
    bench.fill(rig.orders[0])
    bench.take(Measured(NOON, "latency", 1e6))
    assert decision(bench.signal(instrument="THIRD")).code == "BREAKER_OPEN"
    assert submitted(bench.signal("close")).reduce_only
    bench.now += 3_600 * 1_000_000_000
    reset = OperatorEvent(bench.now, "reset_breaker", "ann", "looked")
    assert of(bench.take(reset), f.CommandRefused)
    bench.take(OperatorEvent(bench.now, "reset_breaker", "ann", "looked", authorised=True))
    assert bench.state.trips == {}


async def refuses_counts_and_goes_on(kind: type[CerberusError], folder: Path) -> None:
    """A bad line is refused, counted and kept; the next one is taken."""
    taken: list[Signal] = []
    metrics, out = Metrics(), io.StringIO()
    refusals = Refusals(folder, metrics, Log(stream=out))
    state = Rig().state
    ingest = Ingest(state, lambda: NOON, taken.append, refusals, live=True)
    good = {"id": "a", "ts_ns": NOON, "instrument": "COIN", "side": "buy", "confidence": 0.5,
            "source": "head"}  # fmt: skip
    ingest.line(b"{broken", "stdin:1")
    ingest.line(json.dumps(good).encode(), "stdin:2")
    assert [signal.id for signal in taken] == ["a"]
    assert sum(metrics.refused.values()) == 1
    assert "stdin:1" in (folder / "refused.jsonl").read_text()


async def keeps_what_is_in_force(kind: type[CerberusError], folder: Path) -> None:
    """A faulty file changes nothing, and each fault is named."""
    path = folder / "c.toml"
    path.write_text("[risk]\npositions_max = 3\n")
    current = load_apart(path, None)
    found: asyncio.Queue[Any] = asyncio.Queue()

    def load() -> Any:
        return load_apart(path, None)

    ConfigReload(path, current, load, found.put_nowait, found.put_nowait).start()
    error = None
    for number in range(20):  # until the watch, which starts on a thread of its own, has seen one
        path.write_text(f"[risk]\npositions_max = -3\nnonsense = {number}\n")
        with suppress(TimeoutError):
            error = await asyncio.wait_for(found.get(), 2.0)
            break
    assert isinstance(error, ConfigError) and len(error.faults) == 2
    assert current.loaded.settings.risk.positions_max == 3


Mechanism = Callable[[type[CerberusError], Path], Awaitable[None]]
MECHANISMS: dict[type[CerberusError], Mechanism] = {
    CerberusError: stops_new_exposure_and_ends,
    SystemFailure: stops_new_exposure_and_ends,
    JournalError: stops_new_exposure_and_ends,
    TradingFailure: is_unknown_and_asked_about,
    VenueLost: is_unknown_and_asked_about,
    VenueGarbage: is_unknown_and_asked_about,
    RiskViolation: denies_until_a_token,
    DataError: refuses_counts_and_goes_on,
    ConfigError: keeps_what_is_in_force,
}


@pytest.mark.req("C-16.3")
@pytest.mark.parametrize("kind", RECOVERY)
async def test_each_kind_of_error_has_a_mechanism_that_works(
    kind: type[CerberusError], tmp_path: Path
) -> None:
    await MECHANISMS[kind](kind, tmp_path)
    assert kind("x").recovery if kind is not ConfigError else ConfigError(["x"]).recovery
