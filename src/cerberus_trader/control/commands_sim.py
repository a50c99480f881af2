"""The command sim: the whole engine against a world that misbehaves, in virtual time."""

import json
import shlex
from typing import Annotated, Any

import typer

from cerberus_trader.control.commands_replay import CODES, EXIT_FAILED, Json, reported

Seed = Annotated[int, typer.Option("--seed", help="Draws the faults and everything else.")]
Minutes = Annotated[
    float, typer.Option("--minutes", min=0.05, max=1440.0, help="Virtual minutes of chaos.")
]
Named = Annotated[
    str | None,
    typer.Option("--faults", help="name=rate,… instead of those that the seed draws."),
]
Runs = Annotated[
    int, typer.Option("--runs", min=1, max=10_000_000, help="As many seeds, from --seed on.")
]
UNTESTED = (
    "nothing was traded, so nothing was proved: no order reached the venue; take another --seed,"
    " more --minutes, or fewer --faults"
)
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=256, help="Processes.")]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=CODES)(sim)


def sim(
    seed: Seed = 0, minutes: Minutes = 2.0, faults: Named = None, runs: Runs = 1, jobs: Jobs = 1,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Crash, cut, stall and mislead the engine in virtual time, and check that nothing is lost.

    Exit code 1 where an invariant did not hold, the failing run is then made as small as it goes;
    and where no order reached the venue: nothing was proved.
    """
    with reported(as_json):
        found = _many(seed, minutes, faults, runs, jobs, as_json) if runs > 1 else None
        if found is None:
            found = _one(seed, minutes, faults, as_json)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
    if found["violations"] or not found["orders"]:
        raise typer.Exit(EXIT_FAILED)


def _one(seed: int, minutes: float, named: str | None, as_json: bool) -> dict[str, Any]:
    """Run one seed; shrink it where it fails."""
    from cerberus_trader.simulation import swarm
    from cerberus_trader.simulation.world import simulate

    chosen = swarm.faults_of(seed, named)
    result = simulate(seed, minutes=minutes, faults=chosen)
    say = _silent if as_json else typer.echo
    say(f"seed {seed}, {minutes:g} virtual minutes, then everything heals")
    for name, rate in result.faults.items():
        say(f"  fault {name} = {rate!r}")
    say(f"{result.crashes} crashes ({result.sync_crashes} at a write), {result.orders} orders and "
        f"{result.fills} bookings at the venue, {result.rows} journal rows")  # fmt: skip
    if not result.violations and not result.orders:
        say(f"  {UNTESTED}")
        return swarm.report(result)
    if not result.violations:
        for words in swarm.INVARIANTS:
            say(f"  held: {words}")
        for words in swarm.unasked(result.faults):
            say(f"  but not asked, as {words}")
        return swarm.report(result)
    for words in result.violations[:20]:
        say(f"  VIOLATED: {words}")
    small = swarm.shrink(seed, chosen, minutes, lambda words: say(f"  shrinking: {words}"))
    found = swarm.report(small)
    say(f"the smallest run that fails: {small.violations[0]}\n  {found['script']}")
    return found


def _many(
    seed: int, minutes: float, named: str | None, runs: int, jobs: int, as_json: bool
) -> dict[str, Any]:
    """Run a swarm with a line of progress; name the first failing seeds."""
    import msgspec

    from cerberus_trader.simulation import swarm

    idle = 0

    def seen(result: Any, tally: Any) -> None:
        nonlocal idle
        idle += not result.orders
        if result.violations:
            _echo_error(f"seed {result.seed}: {result.violations[0]}")
        if not as_json and (tally.runs % 50 == 0 or tally.runs == runs):
            rate = tally.runs / max(tally.seconds, 1e-9)
            left = (runs - tally.runs) / max(rate, 1e-9)
            _progress(f"{tally.runs}/{runs} runs, {tally.crashes} crashes, {tally.orders} orders, "
                      f"{tally.violations} violations, {left:.0f} s left")  # fmt: skip

    chosen = swarm.parse_faults(named) if named is not None else None
    tally = swarm.run_many(range(seed, seed + runs), minutes, jobs, seen, chosen)
    found: dict[str, Any] = {**msgspec.to_builtins(tally), "runs_without_orders": idle}
    if not as_json:
        _echo_error("")
        typer.echo(
            f"runs {tally.runs} ({idle} without an order), crashes {tally.crashes}"
            f" (of them {tally.sync_crashes} at a write), orders {tally.orders}, bookings"
            f" {tally.fills}, rows {tally.rows}, violations {tally.violations},"
            f" {tally.seconds:.1f} s"
        )
        if not tally.orders:
            typer.echo(UNTESTED)
        words = f" --faults {shlex.quote(named)}" if named is not None else ""
        for failing in tally.failing[:10]:
            typer.echo(f"  cerberus sim --seed {failing} --minutes {minutes:g}{words}")
    return found


def _silent(words: str) -> None:
    """Say nothing."""


def _progress(words: str) -> None:
    typer.echo(f"\r{words:<78}", nl=False, err=True)


def _echo_error(words: str) -> None:
    typer.echo(words, err=True)
