"""The commands of the practice venue: money that its owner moves."""

import asyncio

from typer.testing import CliRunner

from cerberus_trader.control.main import app
from tests.kit import D
from tests.unit.venues.test_remote import serving

runner = CliRunner()


async def call(*arguments: str) -> tuple[int, str]:
    """Run a command in a thread of its own: the venue lives in this loop."""
    done = await asyncio.to_thread(runner.invoke, app, list(arguments))
    return done.exit_code, done.output


async def test_money_is_moved_at_the_venue_or_the_refusal_is_said() -> None:
    async with serving() as (server, where):
        at = ("--endpoint", f"unix:{where.path}")
        assert await call("venue", "deposit", "500.5", *at) == (0, "500.5 put in\n")
        assert await call("venue", "withdraw", "4000", *at) == (0, "4000 taken out\n")
        code, said = await call("venue", "withdraw", "7000", *at)
        assert code == 1 and "only 6500.5 is free" in said
        for bad, words in (("0", "above 0"), ("-5", "above 0"), ("lots", "not a number")):
            code, said = await call("venue", "deposit", *at, "--", bad)
            assert code == 2 and words in said
        code, said = await call("venue", "show", *at)
        assert code == 0 and said.startswith("balance 6500.5") and "sums to 0" in said
        assert server.venue.balance == D("6500.5")


async def test_a_venue_that_is_not_there_is_said() -> None:
    code, said = await call("venue", "deposit", "1", "--endpoint", "unix:/nowhere/v.sock")
    assert code == 1 and "no connection" in said
