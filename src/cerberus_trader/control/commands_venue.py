"""The commands `venue serve`, `show`, `deposit`, `withdraw`: a practice venue of its own."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cerberus_trader.control.commands_replay import CODES, Json, reported
from cerberus_trader.control.listing import Commands
from cerberus_trader.domain.errors import DataError

Where = Annotated[str, typer.Option("--endpoint", help="unix:/path or tcp:host:port.")]
Amount = Annotated[str, typer.Argument(help="In the account's currency.")]
T = TypeVar("T")

venue = typer.Typer(
    cls=Commands, help="A practice venue outside of the engine.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(venue, name="venue")


@venue.command(epilog=CODES)
def serve(
    endpoint: Where,
    prices: Annotated[
        list[str] | None, typer.Option("--prices", help="synthetic, or price files; repeat it.")
    ] = None,
    instrument: Annotated[
        list[str] | None,
        typer.Option("--instrument", help="NAME or NAME=PRICE of the synthetic walk; repeat it."),
    ] = None,
    faults: Annotated[
        str, typer.Option("--faults", help="name=rate,… as for `cerberus sim`; none by default.")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Draws prices and faults.")] = 0,
    balance: Annotated[str, typer.Option("--balance", help="What the account holds.")] = "10000",
) -> None:
    """Hold a venue with its own ledger and moving prices, until stopped."""
    with reported(as_json=False):
        from cerberus_trader.venues.remote.endpoint import parse_endpoint

        where = parse_endpoint(endpoint, "--endpoint")
        chosen = prices or ["synthetic"]
        asyncio.run(_serve(where, chosen, instrument or ["DOGEUSDT"], faults, seed, balance))


async def _serve(
    where: Any, prices: list[str], named: list[str], faults: str, seed: int, balance: str
) -> None:
    from random import Random

    from cerberus_trader.domain.money import parse_amount
    from cerberus_trader.instruments import built_in
    from cerberus_trader.simulation.feed import Rows, Walk, named_prices
    from cerberus_trader.simulation.serve import OF_THE_ENGINE, VenueServer
    from cerberus_trader.simulation.swarm import parse_faults
    from cerberus_trader.simulation.venue import SimVenue

    loop, known = asyncio.get_running_loop(), built_in()
    chosen = parse_faults(faults)
    for part in faults.split(","):
        if part.partition("=")[0].strip() in OF_THE_ENGINE:
            raise DataError(f"{part!r} is no fault of a venue.", place="--faults",
                            fix="leave it to `cerberus sim`.")  # fmt: skip
    move: Any = Rows([Path(name) for name in prices], known) if prices != ["synthetic"] else None
    items = known
    if move is None:
        items, start = named_prices(named, known)
        move = Walk(items, start, Random(f"prices {seed}"))
    amount = parse_amount(balance, place="--balance")
    held = SimVenue(items, amount, Random(f"venue {seed}"), time.time_ns, loop.call_later)
    held.born = f"{time.time_ns():x}."
    server = VenueServer(held, move, chosen, Random(f"line {seed}"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.ensure_future(server.run(where, lambda: typer.echo("listening")))
    ended = asyncio.ensure_future(stop.wait())
    await asyncio.wait((work, ended), return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        typer.echo("stopped")


@venue.command(epilog=CODES)
def show(endpoint: Where, as_json: Json = False) -> None:
    """Show what a venue holds: orders, positions, cash, and the sums of its ledger."""
    with reported(as_json):
        from cerberus_trader.venues.remote.endpoint import parse_endpoint

        found = asyncio.run(_show(parse_endpoint(endpoint, "--endpoint")))
        typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(show_lines(found)))


@venue.command(epilog=CODES)
def deposit(endpoint: Where, amount: Amount) -> None:
    """Move money into a practice account, past the engine: as its owner does at a venue."""
    _move(endpoint, amount, 1)


@venue.command(epilog=CODES)
def withdraw(endpoint: Where, amount: Amount) -> None:
    """Move money out of a practice account, past the engine; at most what is free there."""
    _move(endpoint, amount, -1)


def _move(endpoint: str, text: str, sign: int) -> None:
    with reported(False, "the money may have moved: see `cerberus venue show`"):
        from cerberus_trader.domain.money import ZERO, parse_amount, plain
        from cerberus_trader.venues.remote.endpoint import parse_endpoint

        amount = parse_amount(text, place="AMOUNT")
        if amount <= ZERO:
            raise DataError("it must be above 0.", place="AMOUNT", fix="give what is to be moved.")
        where = parse_endpoint(endpoint, "--endpoint")
        asyncio.run(_ask(where, lambda line: line.transfer(sign * amount)))
        typer.echo(f"{plain(amount)} {'put in' if sign > 0 else 'taken out'}")


async def _ask(where: Any, what: Callable[[Any], Awaitable[T]]) -> T:
    """Ask a venue something on a line of its own; raise `DataError` where it does not answer."""
    from cerberus_trader.venues.remote.venue import RemoteVenue

    line = RemoteVenue(where, words=False)
    try:
        async with asyncio.timeout(10.0):
            await line.connect()
            return await what(line)
    except TimeoutError:
        raise DataError("the venue did not answer.", code="VENUE_LOST", place="--endpoint",
                        fix="see whether it runs.") from None  # fmt: skip
    finally:
        await line.close()


async def _show(where: Any) -> dict[str, Any]:
    import msgspec

    from cerberus_trader.domain.money import plain

    async def held(line: Any) -> tuple[Any, Any]:
        return await line.account("main"), await line.ledger()

    view, sums = await _ask(where, held)
    rows = {
        name: [{key: msgspec.to_builtins(getattr(item, key)) for key in item.__struct_fields__}
               for item in items]
        for name, items in (("orders", view.orders), ("positions", view.positions))
    }  # fmt: skip
    return {
        "venue_ns": view.venue_ns,
        "balance": plain(view.balance) if view.balance is not None else None,
        **rows,
        "ledger": {name: plain(amount) for name, amount in sums.accounts.items()},
        "ledger_sum": plain(sum(sums.accounts.values())),
        "accepted": len(sums.accepted),
        "accepted_twice": [name for name, count in sums.accepted.items() if count > 1],
    }


def show_lines(found: dict[str, Any]) -> list[str]:
    """Write what a venue holds for people."""
    lines = [f"balance {found['balance']}, {found['accepted']} orders accepted so far"]
    for item in found["positions"]:
        lines.append(f"position {item['instrument']} {item['sign'] * float(item['quantity']):g}")
    for item in found["orders"]:
        lines.append(f"order {item['order_id']} {item['instrument']} {item['quantity']}"
                     f" filled {item['filled']}")  # fmt: skip
    lines.append(f"ledger sums to {found['ledger_sum']}")
    return lines
