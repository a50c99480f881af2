"""The commands replay, demo, diff and bench. Everything heavy is imported when one runs.

Exit codes: 0 ok, 1 failed, 2 bad input or configuration, 3 journal, 130 interrupted.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cerberus_trader.domain.errors import CerberusError, DataError, SystemFailure

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
NOTHING = "nothing was written"
CODES = "Exit codes: 0 ok, 1 failed, 2 bad input or configuration, 3 journal, 130 interrupted."

Json = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Files = Annotated[
    list[Path], typer.Option("--prices", help="Price file (CSV, CSV.gz, NPZ, Parquet); repeat it.")
]
Names = Annotated[
    list[str] | None,
    typer.Option("--instrument", help="Instrument of each price file, in order, where the file's"
                 " name does not tell."),
]  # fmt: skip
Marks = Annotated[
    list[str] | None, typer.Option("--marks", help="Mark prices: NAME=FILE, or FILE.")
]
Funding = Annotated[
    list[str] | None, typer.Option("--funding", help="Funding rates: NAME=FILE, or FILE.")
]
Head = Annotated[
    str | None, typer.Option("--head", help="Head by name, or a Python file that declares one.")
]
SignalFile = Annotated[
    Path | None, typer.Option("--signals", help="Signals, one JSON object per line.")
]
Config = Annotated[Path | None, typer.Option("--config", help="Configuration, TOML or JSON.")]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Profile: dev, test, prod or research.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for report, summary, fills, decisions, journal."),
]


def register(app: typer.Typer) -> None:
    """Add the four commands to the application."""
    for command in (replay, demo, diff, bench):
        app.command(epilog=CODES)(command)


def replay(
    prices: Files,
    signals: SignalFile = None,
    head: Head = None,
    instrument: Names = None,
    config: Config = None,
    profile: Profile = None,
    out: Out = None,
    as_json: Json = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Visit every row instead of searching columns.")
    ] = False,
    close_at_end: Annotated[
        bool, typer.Option("--close-at-end", help="Close what is open at the last price.")
    ] = False,
    check_lookahead: Annotated[
        bool, typer.Option("--check-lookahead", help="Prove that the head never looks ahead.")
    ] = False,
    marks: Marks = None,
    funding: Funding = None,
) -> None:
    """Replay recorded prices: judge every signal, trade it on the paper venue, explain it."""
    with reported(as_json, NOTHING):
        from cerberus_trader.control.replay_screen import progress_bar
        from cerberus_trader.replay.inputs import ReplayRequest
        from cerberus_trader.replay.session import run_replay

        request = ReplayRequest(
            tuple(prices), signals, head, tuple(instrument or ()), tuple(marks or ()),
            tuple(funding or ()), config, profile, out, reference, close_at_end,
            check_lookahead,
        )  # fmt: skip
        with progress_bar("replaying", quiet=as_json) as progress:
            result = run_replay(request, progress)
        show(result, out, as_json)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Show the engine on a synthetic market: two strategies, a crash, one guard."""
    with reported(as_json, NOTHING):
        from cerberus_trader.control.replay_screen import progress_bar
        from cerberus_trader.replay.demo import run_demo

        with progress_bar("trading the synthetic market", quiet=as_json) as progress:
            result = run_demo(out, progress)
        show(result, out, as_json)


def diff(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run.")],
    run_b: Annotated[Path, typer.Argument(help="Folder of another run.")],
    as_json: Json = False,
) -> None:
    """Say where two runs parted, and why. Exit code 1 where they differ."""
    with reported(as_json):
        from cerberus_trader.replay.diff import diff_runs, sentences, to_dict

        found = diff_runs(run_a, run_b)
        if as_json:
            typer.echo(json.dumps(to_dict(found), indent=2))
        else:
            typer.echo("\n".join(sentences(found, str(run_a), str(run_b))))
        if not found.same:
            raise typer.Exit(EXIT_FAILED)


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the rows.")] = False,
    live: Annotated[bool, typer.Option("--live", help="The live path instead.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: replay speed, the cost of a decision, its bytes."""
    with reported(as_json):
        from cerberus_trader.control.replay_screen import show_bench

        found: dict[str, Any]
        if live:
            from cerberus_trader.runtime.bench_live import run as run_live

            found = run_live()
        else:
            from cerberus_trader.replay.bench import run

            found = run(quick)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        else:
            show_bench(found)


def show(result: Any, out: Path | None, as_json: bool) -> None:
    """Print a result; a head that looks ahead, or a fault, ends in exit code 1.

    Signals of which not one could be read are bad input, exit code 2: all is written all the same.
    """
    unread = unread_signals(result) if result.unread else None
    if as_json:
        more = {"error": fields_of(unread)} if unread is not None else {}
        typer.echo(json.dumps(result.summary | more, indent=2))
    else:
        from cerberus_trader.control.replay_screen import show_result

        show_result(result, out)
    looked = result.summary.get("lookahead")
    if result.summary["faults"] or (looked and looked["faults"]):
        raise typer.Exit(EXIT_FAILED)
    if unread is not None:
        if not as_json:
            typer.echo(f"error: {unread}", err=True)
        raise typer.Exit(unread.exit_code)


def unread_signals(result: Any) -> DataError:
    """Make the error of a file of which not one line is a signal: how many, and the first one's."""
    from cerberus_trader.heads.lines.files import REFUSALS_MAX

    first: DataError = result.refusals[0]
    count, most = len(result.refusals), REFUSALS_MAX
    told = f"{count:,}" if count <= most else f"more than {most:,}"
    return DataError(
        f"not one signal could be read, {told} line(s) were refused. The first:"
        f" {first.message}", code=first.code, place=first.place, fix=first.fix,
    )  # fmt: skip


def fields_of(error: CerberusError) -> dict[str, str]:
    """Return an error as JSON has it."""
    return {"code": error.code, "message": error.message, "place": error.place, "fix": error.fix}


@contextmanager
def reported(as_json: bool, interrupted: str | Callable[[], str] = "") -> Iterator[None]:
    """Turn an error into one clear message and its exit code; Ctrl-C into 130.

    `interrupted` says what came of a command that was cut short, or finds it out then.
    """
    try:
        try:
            yield
        except BrokenPipeError:  # whoever read our words has heard enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(EXIT_FAILED) from None
        except OSError as failed:
            raise SystemFailure(
                f"{failed.strerror or failed}.", code="OS_ERROR", place=str(failed.filename or ""),
                fix="check the path, and the rights to it.",
            ) from None  # fmt: skip
    except CerberusError as error:
        if as_json:
            typer.echo(json.dumps({"error": fields_of(error)}, indent=2))
        else:
            typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        words = interrupted if isinstance(interrupted, str) else interrupted()
        typer.echo(f"interrupted; {words}" if words else "interrupted", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
