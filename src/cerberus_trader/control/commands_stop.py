"""The commands that stop and start trading: halt, resume, cancel-all, flatten.

Halt and `flatten --without-journal` work also when the engine does not.
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from cerberus_trader.control.commands_live import (
    CODES,
    SENT,
    Reason,
    State,
    actor,
    operate,
    show,
)
from cerberus_trader.control.commands_replay import Json, reported


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (halt, resume, flatten):
        app.command(epilog=CODES)(command)
    app.command("cancel-all", epilog=CODES)(cancel_all)


def halt(
    reason: Reason = "",
    state: State = Path("state"),
    wait: Annotated[
        float, typer.Option("--wait", min=0.1, max=60, help="Seconds until the engine is ended.")
    ] = 3.0,
    as_json: Json = False,
) -> None:
    """Stop opening anything and cancel working entries; protection and exits go on.

    A durable marker is set first; an engine that does not answer in time is ended, and one that
    cannot carry it out (its journal failed, too much waits) unless it halts or ends by itself.
    """
    with reported(as_json, "the halt marker may be set"):
        from cerberus_trader.runtime import emergency

        found = emergency.halt(state, actor(), reason, wait)
        if as_json or found["row"] is not None:
            return show("halt", found, as_json)
        if "refusal" in found:
            typer.echo(f"the engine could not: {found['refusal']}")
        if found["engine"] == emergency.HALTED:
            return typer.echo(f"halt: it runs, and trading is {found['trading']} all the same")
        after = "it starts halted" if found["marker"] else "THE MARKER COULD NOT BE WRITTEN"
        typer.echo(f"halt: the engine was {found['engine']}; {after}")
        typer.echo("entries resting at the venue stay live until the next start,"
                   " or `cerberus flatten --without-journal`")  # fmt: skip


def resume(reason: Reason = "", state: State = Path("state"), as_json: Json = False) -> None:
    """Trade again after a halt; without an engine, take the halt marker alone back."""
    with reported(as_json, SENT):
        from cerberus_trader.journal.lock import holder
        from cerberus_trader.runtime import client, frames
        from cerberus_trader.runtime.marker import EmergencyLog, HaltMarker

        try:
            show("resume", client.ask(state, frames.Operate("resume", actor(), reason)), as_json)
        except client.NotRunning:
            marker = HaltMarker(state)
            mark = marker.read()
            if mark is None or holder(state) is not None:
                raise
            marker.clear(max(mark.ts_ns, time.time_ns()))
            deeds = len(EmergencyLog(state).all_deeds())
            stays = ("a halt in its journal stays", "what was done without it halts the next start")
            words = "resume: no engine runs; the halt marker is taken back, "
            words += f"but {stays[bool(deeds)]}: resume again once it runs"
            found: dict[str, Any] = {"command": "resume", "marker": False, "deeds": deeds,
                                     "engine": "not running"}  # fmt: skip
            typer.echo(json.dumps(found, indent=2) if as_json else words)


def cancel_all(reason: Reason = "", state: State = Path("state"), as_json: Json = False) -> None:
    """Cancel every working entry; protective orders stay."""
    operate("cancel_all", state, reason, as_json)


def flatten(
    reason: Reason = "",
    state: State = Path("state"),
    without_journal: Annotated[
        bool,
        typer.Option("--without-journal", help="Act on the venue itself, without the engine."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Cancel working entries, close every position at market, and open nothing until `resume`."""
    if not without_journal:
        return operate("flatten", state, reason, as_json)
    with reported(as_json, lambda: _cut_short(state)):
        from cerberus_trader.runtime import emergency

        found = emergency.flatten(state, actor(), reason, _say)
        if as_json:
            typer.echo(json.dumps(found, indent=2))


def _cut_short(state: Path) -> str:
    """Say where a flatten was left: whether trading is halted is looked up, not supposed."""
    from cerberus_trader.runtime.marker import HaltMarker

    marked = False
    with suppress(OSError):
        marked = HaltMarker(state).read() is not None
    halted = "trading is halted by the marker" if marked else "THE HALT MARKER IS NOT SET"
    return f"not verified flat; {halted}; run it again, nothing is doubled"


def _say(text: str) -> None:
    typer.echo(text, err=True)
