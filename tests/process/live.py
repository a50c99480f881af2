"""A running engine of a test: started, spoken to, killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from typing import Any, ClassVar

from cerberus_trader.domain.errors import DataError
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import ask

WAIT_S = 45.0
PROGRAM = ("-m", "cerberus_trader.control.engine_process")
BASE = {"confidence": 0.7, "source": "test", "stop_loss_pct": 2}


def until(ready: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait until something holds; fail loudly where it never does."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {WAIT_S:g} s for {what}")


class Live:
    """Start the engine on a folder with standard input as its market."""

    started: ClassVar[list["Live"]] = []

    def __init__(
        self, folder: Path, *words: str, preexec: Callable[[], None] | None = None,
        measured: bool = True, program: Sequence[str] = PROGRAM,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self.log = folder / "log.jsonl"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("CERBERUS")}
        if not measured:  # measuring coverage takes memory and disk of the engine's limits
            environ = {k: v for k, v in environ.items() if not k.startswith("COVERAGE")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "--state", str(self.state), *words],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder,
                env=environ, preexec_fn=preexec,
            )  # fmt: skip
        self.started.append(self)
        assert self.process.stdin is not None

    def up(self) -> "Live":
        """Wait until it answers."""
        until(lambda: self.status() is not None or self.process.poll() is not None, "a start")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def send(self, *lines: dict[str, Any] | str) -> None:
        """Write lines to its standard input."""
        assert self.process.stdin is not None
        text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def quote(self, bid: str, ask: str | None = None, name: str = "DOGEUSDT") -> None:
        """Send a quote."""
        self.send({"instrument": name, "bid": bid, "ask": ask or bid})

    def signal(self, number: int, side: str = "buy", **fields: Any) -> None:
        """Send a signal of this very moment."""
        self.send({"id": f"s{number}", "ts_ns": time.time_ns(), "instrument": "DOGEUSDT",
                   "side": side, **BASE, **fields})  # fmt: skip

    def status(self) -> dict[str, Any] | None:
        """Ask for the status; None while nobody answers."""
        try:
            return ask(self.state, frames.Status())
        except DataError:
            return None

    def wait(
        self, ready: Callable[[dict[str, Any]], Any], what: str = "a status"
    ) -> dict[str, Any]:
        """Wait until the status shows something; return it."""

        def look() -> dict[str, Any] | None:
            found = self.status()
            return found if found is not None and ready(found) else None

        found: dict[str, Any] = until(look, f"{what}; log: {self.log.read_text()[-2000:]}")
        return found

    def open(self, number: int, price: str = "0.2", **fields: Any) -> dict[str, Any]:
        """Open a position at a price; return the status that shows it."""
        name = fields.get("instrument", "DOGEUSDT")
        self.quote(price, name=name)
        self.wait(lambda s: name in s["prices"])
        self.signal(number, **fields)
        self.wait(lambda s: s["metrics"]["signals"] >= number)

        def opened(status: dict[str, Any]) -> bool:
            self.quote(price, name=name)
            return bool(status["positions"])

        return self.wait(opened, "a position")

    def enter(
        self, number: int, there: Callable[[dict[str, Any]], Any], **fields: Any
    ) -> dict[str, Any]:
        """Give an entry until something is there; one that went lost for good is given again."""
        status = self.wait(lambda s: True)
        judged, working, given = status["metrics"]["signals"], len(status["orders"]), 0

        def held(status: dict[str, Any]) -> bool:
            nonlocal given
            if there(status):
                return True
            if status["metrics"]["signals"] == judged + given and len(status["orders"]) == working:
                self.signal(number, **({"id": f"s{number}-{given}"} if given else {}), **fields)
                given += 1
            return False

        return self.wait(held, f"what signal {number} was to bring")

    def end(self, number: int = SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.finish()

    def kill(self) -> None:
        """End it in whatever state it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.finish()

    def finish(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(WAIT_S)
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        return code

    def lines(self) -> list[dict[str, Any]]:
        """Return the log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]
