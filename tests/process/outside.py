"""A venue server of a test, in a process of its own, and what it is asked past the engine."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from typing import ClassVar, TypeVar

from cerberus_trader.venues.base import AccountView, Booking
from cerberus_trader.venues.remote.endpoint import parse_endpoint
from cerberus_trader.venues.remote.venue import RemoteVenue
from cerberus_trader.venues.remote.wire import Sums

T = TypeVar("T")
ASK_S = 10.0

REMOTE = """
shutdown = "leave"
[venues.practice]
kind = "remote"
endpoint = "{endpoint}"
[reconcile]
interval_ms = 300
answer_ms_max = 400
submit_window_ms = 500
skew_ms_max = 100
[sizing]
methods = ["risk"]
risk_fraction = 0.0005
[leverage]
volatility_factor_min = 1.0
success_factor_min = 1.0
[breaker]
losses_max = 0
failures_max = 0
cooldown_ms = 0
[logging]
form = "json"
"""


class Outside:
    """Start a venue server; `ask` speaks with it on a line of its own."""

    started: ClassVar[list["Outside"]] = []

    def __init__(self, faults: str = "", seed: int = 1, *words: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cbv"))  # a socket's path must be short
        self.endpoint = f"unix:{self.folder / 'venue.sock'}"
        self.words = ["--faults", faults, "--seed", str(seed), *words]
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("CERBERUS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cerberus_trader.control.main", "venue", "serve",
             "--endpoint", self.endpoint, "--instrument", "DOGEUSDT=0.2",
             "--instrument", "1000PEPEUSDT=0.01", *self.words],
            stdout=subprocess.PIPE, env=environ,
        )  # fmt: skip
        if self not in self.started:
            self.started.append(self)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"listening\n"

    def config(self, folder: Path, more: str = "") -> Path:
        """Write a configuration that trades on this venue."""
        path = folder / "remote.toml"
        path.write_text(REMOTE.format(endpoint=self.endpoint) + more)
        return path

    def ask(self, what: Callable[[RemoteVenue], Awaitable[T]]) -> T:
        """Ask the venue something."""

        async def run() -> T:
            line = RemoteVenue(parse_endpoint(self.endpoint), words=False)
            async with asyncio.timeout(ASK_S):
                await line.connect()
                try:
                    return await what(line)
                finally:
                    await line.close()

        return asyncio.run(run())

    def held(self) -> tuple[AccountView, list[Booking], Sums]:
        """Return what the venue holds, all of its bookings, and its ledger."""

        async def all_of_it(line: RemoteVenue) -> tuple[AccountView, list[Booking], Sums]:
            booked = [b async for page in line.bookings("main", 0) for b in page]
            return await line.account("main"), booked, await line.ledger()

        return self.ask(all_of_it)

    def kill(self) -> None:
        """End it in whatever state it is."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Stop the server and return its exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(SIGTERM)
        code = self.process.wait(ASK_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code
