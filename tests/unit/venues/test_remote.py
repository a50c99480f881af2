"""A venue in another process: its line, its answers in any order, and lines that die."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder
from cerberus_trader.domain.errors import DataError, VenueGarbage, VenueLost
from cerberus_trader.domain.events import FillReport, OrderModified, OrderReport, TransferReport
from cerberus_trader.domain.framing import Decoder, encode
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import Bracket, Order
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.feed import Walk
from cerberus_trader.simulation.serve import VenueServer
from cerberus_trader.simulation.venue import SimVenue
from cerberus_trader.venues.remote import wire
from cerberus_trader.venues.remote.endpoint import Endpoint, parse_endpoint
from cerberus_trader.venues.remote.venue import RemoteVenue
from tests.kit import bookings_of

D = Decimal
ITEM = Instrument("ALFA", tick=D("0.01"), lot=D("0.001"), notional_min=D(5), taker_fee=D("0.0005"))
FAR = 2**61
Answerer = Callable[[wire.Request], list[bytes]]


def order(number: int = 1, **fields: Any) -> Order:
    given: dict[str, Any] = {
        "id": f"o{number}e", "account": "main", "strategy": "s", "instrument": "ALFA", "side": 1,
        "kind": "market", "reason": "entry", "quantity": D(1), "bracket": Bracket(stop=D(50)),
    }  # fmt: skip
    return Order(**{**given, **fields})


def socket_path() -> Endpoint:
    return Endpoint(path=f"{tempfile.mkdtemp(prefix='cbu')}/v.sock")


@asynccontextmanager
async def serving(faults: Faults | None = None) -> AsyncIterator[tuple[VenueServer, Endpoint]]:
    """Run a venue server in this loop."""
    loop, where = asyncio.get_running_loop(), socket_path()
    venue = SimVenue({"ALFA": ITEM}, D(10_000), Random(1), lambda: 1 + int(loop.time() * 1e9),
                     loop.call_later)  # fmt: skip
    walk = Walk({"ALFA": ITEM}, {"ALFA": D(100)}, Random(2))
    server = VenueServer(venue, walk, faults or Faults(latency_s=0.001), Random(3))
    ready = asyncio.Event()
    task = asyncio.ensure_future(server.run(where, ready.set))
    await ready.wait()
    try:
        yield server, where
    finally:
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.01)


@asynccontextmanager
async def scripted(answer: Answerer) -> AsyncIterator[Endpoint]:
    """Run a server that answers each request with the bytes of a script."""
    where = socket_path()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder: Decoder[wire.Request] = Decoder(wire.Request)
        with suppress(OSError):
            while data := await reader.read(65_536):
                for request in decoder.feed(data):
                    for block in answer(request):
                        writer.write(block)
        writer.transport.abort()

    server = await asyncio.start_unix_server(talk, where.path)
    async with server:
        yield where
    await asyncio.sleep(0.01)  # transports close in the loop's next turns


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not ready():
            await asyncio.sleep(0.005)


async def test_an_order_is_sent_filled_reported_and_asked_for() -> None:
    async with serving() as (server, where):
        line, words = RemoteVenue(where), []
        prices: list[wire.Prices] = []
        line.on_word, line.on_prices = words.append, prices.append
        await line.connect()
        assert (await line.submit(order(), FAR)).accepted
        assert (await line.submit(order(), FAR)).reason == "known already"
        await until(lambda: any(isinstance(word, FillReport) for word in words))
        (fill,) = [word for word in words if isinstance(word, FillReport)]
        assert (fill.order_id, fill.quantity, fill.stop) == ("o1e", D(1), D(50))
        view = await line.account("main")
        assert [(p.instrument, p.quantity) for p in view.positions] == [("ALFA", D(1))]
        assert [(o.order_id, o.reduce_only) for o in view.orders] == [("o1es", True)]
        known = await line.query(order())
        assert known.order is not None and known.order.state == "filled"
        assert (await line.query(order(9))).order is None
        assert await bookings_of(line) == [fill]
        sums = await line.ledger()
        assert sums.accepted == {"o1e": 1} and sum(sums.accounts.values()) == 0
        await until(lambda: prices)
        assert prices[0].quotes[0].instrument == "ALFA"
        await line.close()
        assert server.venue.positions


async def test_a_limit_order_is_cancelled_and_its_end_is_reported() -> None:
    async with serving() as (_, where):
        line, words = RemoteVenue(where), []
        line.on_word = words.append
        await line.connect()
        assert (await line.submit(order(kind="limit", price=D(1)), FAR)).accepted
        await line.modify(ModifyOrder("o1e", "main", "ALFA", D(1), D(2)), 1)  # too late
        await line.modify(ModifyOrder("o1e", "main", "ALFA", D(2), D(3)), FAR)
        await until(lambda: words)
        assert words.pop() == OrderModified(0, "o1e", D(2), D(3))
        await line.cancel(CancelOrder("o1e", "main", "ALFA"))
        await until(lambda: words)
        assert words[0] == OrderReport(0, "o1e", "canceled", filled=D(0))
        await line.close()


@pytest.mark.parametrize(
    "fields",
    [{"instrument": "NONE"}, {"quantity": D(0)}, {"quantity": D("NaN")}, {"side": 2},
     {"kind": "limit"}, {"kind": "limit", "price": D(-1)}, {"kind": "stop"}],
)  # fmt: skip
async def test_an_order_without_sense_is_refused_by_the_venue(fields: dict[str, Any]) -> None:
    async with serving() as (server, where):
        line = RemoteVenue(where)
        await line.connect()
        assert not (await line.submit(order(**fields), FAR)).accepted
        assert not server.venue.arrived
        await line.close()


async def test_long_lists_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BOOKINGS_MAX", 2)
    monkeypatch.setattr("cerberus_trader.simulation.serve.PAGE_NAMES", 2)
    async with serving() as (server, where):
        line = RemoteVenue(where)
        await line.connect()
        for number in range(5):
            await line.submit(order(number), FAR)
        await until(lambda: len(server.venue.bookings) == 5)
        found = await bookings_of(line)
        assert [booking.sequence for booking in found] == [1, 2, 3, 4, 5]
        assert len((await line.ledger()).accepted) == 5
        await line.close()


async def test_answers_in_another_order_find_their_requests() -> None:
    held: list[wire.Request] = []

    def answer(request: wire.Request) -> list[bytes]:
        if not isinstance(request, wire.Query):
            return [encode(wire.Done(request.number, 5))]
        held.append(request)
        if len(held) < 3:
            return []
        return [encode(wire.Told(r.number, r.number, None)) for r in reversed(held)]

    async with scripted(answer) as where:
        line = RemoteVenue(where)
        await line.connect()
        found = await asyncio.gather(*(line.query(order(n)) for n in range(3)))
        assert [answer.venue_ns for answer in found] == [r.number for r in held]
        await line.close()


def fill(**fields: Any) -> FillReport:
    given: dict[str, Any] = {
        "ts_ns": 0, "order_id": "o1e", "trade_id": "v1", "account": "main", "instrument": "ALFA",
        "side": 1, "quantity": D(1), "price": D(100), "fee": D("0.05"), "liquidity": "taker",
        "reason": "entry", "margin": D(100), "leaves": D(0), "sequence": 1,
    }  # fmt: skip
    return FillReport(**{**given, **fields})


BAD_FILLS = [
    {"quantity": D("NaN")}, {"quantity": D("Infinity")}, {"quantity": D("1e300")},
    {"quantity": D(-1)}, {"quantity": D(0)}, {"price": D(0)}, {"fee": D("sNaN")},
    {"margin": D(-1)}, {"leaves": D("-0.1")}, {"stop": D(0)}, {"side": 0}, {"order_id": ""},
    {"trade_id": "x" * 65}, {"ts_ns": 7}, {"instrument": "x" * 65}, {"sequence": -1},
    {"marks": (("ALFA", D(1)),)},
]  # fmt: skip
OVERFILLED = wire.VenueOrder("o1e", "ALFA", 1, D(1), "filled", D(2))
GARBAGE = [b"<html>502 Bad Gateway</html>", b"\xff" * 16, b"\x00\x00\x00\x02\xc1\xc1",
           encode(wire.Done(2, 0)), encode(wire.Acked(2, True, "x" * 501)),
           encode(wire.Told(2, 1, OVERFILLED))]  # fmt: skip


@pytest.mark.parametrize(
    "block", GARBAGE + [encode(wire.Spoken(fill(**bad))) for bad in BAD_FILLS], ids=str
)
async def test_garbage_breaks_the_line_and_leaves_what_was_asked_unanswered(block: bytes) -> None:
    def answer(request: wire.Request) -> list[bytes]:
        return [encode(wire.Done(1, 5))] if isinstance(request, wire.Hello) else [block]

    async with scripted(answer) as where:
        words, lost = [], []
        line = RemoteVenue(where, known=lambda name: name == "ALFA", heartbeat_s=60)
        line.on_word, line.on_lost = words.append, lost.append
        await line.connect()
        with pytest.raises(VenueGarbage):
            await line.query(order())
        assert len(lost) == 1 and not words
        with pytest.raises(VenueLost, match="not connected"):
            await line.query(order())


async def test_an_answer_of_another_kind_or_order_is_garbage_and_a_refusal_is_no_answer() -> None:
    other = wire.VenueOrder("o2e", "ALFA", 1, D(1), "working")

    def answer(request: wire.Request) -> list[bytes]:
        if isinstance(request, wire.Query):
            return [encode(wire.Told(request.number, 5, other))]
        if isinstance(request, wire.Account):
            return [encode(wire.Refused(request.number, "in maintenance"))]
        if isinstance(request, wire.Bookings):
            return [encode(wire.Booked(request.number, (), True))]
        return [encode(wire.Done(request.number, 5))]

    async with scripted(answer) as where:
        line = RemoteVenue(where)
        await line.connect()
        with pytest.raises(VenueGarbage, match="another order"):
            await line.query(order())
        with pytest.raises(VenueGarbage, match="does not go on"):
            await bookings_of(line)
        with pytest.raises(VenueLost, match="in maintenance"):
            await line.account("main")
        lost: list[str] = []
        line.on_lost = lost.append
        with pytest.raises(VenueGarbage, match="was not asked for"):
            await line.submit(order(), FAR)
        assert lost == ["an answer of the kind Done was not asked for"]
        with pytest.raises(VenueLost, match="not connected"):
            await line.account("main")
        await line.close()


WHOLE = wire.VenueOrder("o1s", "ALFA", -1, D(0), "working", price=D(90), reduce_only=True)


@pytest.mark.parametrize(
    ("theirs", "taken"),
    [
        (WHOLE, True),
        (msgspec.structs.replace(WHOLE, state="filled", filled=D(3)), True),
        (msgspec.structs.replace(WHOLE, reduce_only=False), False),
        (msgspec.structs.replace(WHOLE, quantity=D(-1)), False),
        (msgspec.structs.replace(WHOLE, quantity=D(1), filled=D(3)), False),
    ],
)
async def test_a_stop_of_quantity_0_closes_what_there_is_an_entry_of_0_is_garbage(
    theirs: wire.VenueOrder, taken: bool
) -> None:
    def answer(request: wire.Request) -> list[bytes]:
        if isinstance(request, wire.Account):
            return [encode(wire.Holds(request.number, 5, (theirs,), (), D(1)))]
        return [encode(wire.Done(request.number, 5))]

    async with scripted(answer) as where:
        line = RemoteVenue(where)
        await line.connect()
        if taken:
            assert (await line.account("main")).orders == (theirs,)
        else:
            with pytest.raises(VenueGarbage):
                await line.account("main")
        await line.close()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (wire.Refused(2, "no pings here"), "the venue refused: no pings here"),
        (wire.Acked(2, True), "an answer of the kind Acked was not asked for"),
    ],
)
async def test_a_heartbeat_that_is_not_answered_as_one_ends_the_line(
    reply: wire.Answer, words: str
) -> None:
    def answer(request: wire.Request) -> list[bytes]:
        pinged = isinstance(request, wire.Ping)
        return [encode(reply if pinged else wire.Done(request.number, 5))]

    async with scripted(answer) as where:
        line, lost = (
            RemoteVenue(where, heartbeat_s=0.05),
            asyncio.get_running_loop().create_future(),
        )
        line.on_lost = lost.set_result
        await line.connect()
        assert await asyncio.wait_for(lost, 5.0) == words
        await line.close()


async def test_a_half_open_line_is_found_by_its_heartbeat() -> None:
    async with serving() as (server, where):
        line, lost = RemoteVenue(where, heartbeat_s=0.5), []
        line.on_lost = lost.append
        await line.connect()
        await asyncio.sleep(1.2)
        assert not lost
        server.half_open_until = float("inf")
        waiting = asyncio.ensure_future(line.account("main"))
        await until(lambda: lost)
        assert lost == ["no answer to a heartbeat."]
        with pytest.raises(VenueLost):
            await waiting
        server.half_open_until = 0.0
        await line.connect()
        assert (await line.account("main")).balance == 10_000
        await line.close()
        assert len(lost) == 1


async def test_a_venue_that_does_not_read_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cerberus_trader.venues.remote.venue.UNSENT_BYTES_MAX", -1)
    async with serving() as (_, where):
        line = RemoteVenue(where)
        with pytest.raises(VenueLost, match="does not read"):
            await line.connect()


async def test_no_venue_another_account_and_a_dropped_line_are_said() -> None:
    line = RemoteVenue(Endpoint(path="/nowhere/v.sock"))
    with pytest.raises(VenueLost, match="no connection"):
        await line.connect()
    async with serving() as (server, where):
        other = RemoteVenue(where, "other")
        with pytest.raises(VenueLost, match="only the account main"):
            await other.connect()
        await other.close()
        line, lost = RemoteVenue(where), []
        line.on_lost = lost.append
        await line.connect()
        for found in list(server.lines):
            found.drop()
        await until(lambda: lost)
        assert len(lost) == 1


async def test_a_second_server_does_not_take_the_socket_of_the_first() -> None:
    async with serving() as (server, where):
        with pytest.raises(DataError, match="listens there already"):
            await server.run(where, lambda: None)


@pytest.mark.parametrize(
    ("text", "found"),
    [("unix:/tmp/v.sock", Endpoint("/tmp/v.sock")),
     ("tcp:localhost:99", Endpoint("", "localhost", 99)),
     ("tcp:::1:99", Endpoint("", "::1", 99))],
)  # fmt: skip
def test_endpoints(text: str, found: Endpoint) -> None:
    assert parse_endpoint(text) == found and str(found) == text


@pytest.mark.parametrize(
    "text", ["", "unix:", "unix:v.sock", "unix:/" + "x" * 100, "tcp:99", "tcp:h:0", "tcp:h:70000",
             "tcp:h:٣", "http://h"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="no endpoint"):
        parse_endpoint(text)


async def test_money_that_its_owner_moves_is_told_and_listed_or_refused() -> None:
    async with serving() as (server, where):
        engine, owner = RemoteVenue(where), RemoteVenue(where, words=False)
        told: list[Any] = []
        engine.on_word = told.append
        await engine.connect()
        await owner.connect()
        await owner.transfer(D("-400.5"))
        await owner.transfer(D(100))
        await until(lambda: len(told) == 2)
        assert sorted(word.amount for word in told) == [D("-400.5"), D(100)]
        listed = await bookings_of(engine)
        assert all(isinstance(word, TransferReport) for word in listed)
        assert [(x.amount, x.sequence) for x in listed] == [(D("-400.5"), 1), (D(100), 2)]
        assert (await owner.account("main")).balance == D("9699.5")
        for amount, words in (
            (D(-10_000), "only 9699.5"), (D(0), "nothing to move"), (D("NaN"), "not a finite"),
        ):  # fmt: skip
            with pytest.raises(VenueLost, match=words):
                await owner.transfer(amount)
        assert sum(server.venue.ledger.values()) == 0 and len(server.venue.bookings) == 2
        await engine.close()
        await owner.close()


Ask = Callable[[RemoteVenue], Awaitable[Any]]


@pytest.mark.parametrize("seed", range(3))
async def test_under_faults_every_request_has_an_answer_or_is_lost(seed: int) -> None:
    faults = Faults(request_lost=0.2, answer_lost=0.2, garbage=0.1, word_twice=0.3, word_lost=0.2,
                    latency_s=0.01, busy=0.2, refused=0.1, partial=0.5, late_list=0.3,
                    partitions_per_minute=300, half_open=0.0, feed_gaps_per_minute=60,
                    funding_per_minute=600, human_per_minute=600, venue_cancels=10.0,
                    transfers_per_minute=600)  # fmt: skip
    answered = lost = 0
    async with serving(faults) as (server, where):
        server.rng.seed(seed)
        line = RemoteVenue(where, heartbeat_s=0.1)
        for number in range(50):
            try:
                async with asyncio.timeout(0.03):
                    if line._writer is None:
                        await line.connect()
                    await line.submit(order(number), FAR)
                    answered += 1
            except (VenueLost, TimeoutError):
                lost += 1
        await line.close()
        assert sum(server.venue.ledger.values()) == 0
        assert all(count == 1 for count in server.venue.accepted.values())
    assert answered and lost
