"""The start-up: its steps in order, each one a check that must pass before the next is begun.

What a step finds wrong ends the start with its error (configuration, journal, fold), or is waited
for (venue, reconciliation, prices); nothing new is opened before the last step. `cerberus status`
shows the step as `phase`, the log has a line for each. A running engine falls back to the step
whose check no longer holds.
"""

import asyncio

from cerberus_trader.runtime.link import Link
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.notify import notify
from cerberus_trader.runtime.trading import Trading

STEPS = {
    "config": "the configuration is read and valid",
    "journal": "the journal is locked, and not shorter than its anchor",
    "fold": "the snapshot and the rows after it are folded",
    "preflight": "the venue answers",
    "reconcile": "our books and the venue's agree",
    "prices": "a price is fresh enough to judge a signal on",
    "trade": "nothing stops new positions",
}
STOPPED, FAILED = "stopped", "failed"
LOOK_S = 0.1
MS = 1_000_000


def phase_of(trading: Trading) -> str:
    """Name the first step from the venue on whose check does not hold, or "trade".

    "stopped" says that a person or a limit stopped trading, "failed" that the journal failed.
    """
    runner, state = trading.runner, trading.state
    if runner.gate.poisoned:
        return FAILED
    if isinstance(runner.venue, Link) and not runner.venue.connected:
        return "preflight"
    if state.unreconciled:
        return "reconcile"
    if state.trading != "active" or any(not trip.scope for trip in state.trips.values()):
        return STOPPED
    return "trade" if fresh(trading) else "prices"


def fresh(trading: Trading) -> bool:
    """Tell whether any instrument has a price that is young enough, and a feed that speaks."""
    now, state = trading.runner.clock.now_ns(), trading.state
    for name, line in trading.market.lines.items():
        age_max = state.settings.intake.data_age_ms_max * MS + line.interval_ns
        if line.price is not None and now - line.price[0] <= age_max and name not in state.silent:
            return True
    return False


class Startup:
    """Follow the steps, and say each one as it begins."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.phase = ""

    def enter(self, phase: str) -> None:
        """Begin a step: every one before it has passed."""
        if phase == self.phase:
            return
        self.phase = phase
        number = [*STEPS].index(phase) + 1 if phase in STEPS else 0
        self.log.info("start-up step", phase=phase, step=number, of=len(STEPS),
                      check=STEPS.get(phase, ""))  # fmt: skip
        notify(f"STATUS=start-up: {phase}")

    async def follow(self, trading: Trading) -> None:
        """Wait for what is outside of us, until trading is open."""
        while self.phase != "trade":
            self.enter(phase_of(trading))
            await asyncio.sleep(LOOK_S)
