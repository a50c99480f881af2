"""The commands config, token, journal and doctor."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cerberus_trader.control.commands_replay import CODES, EXIT_FAILED, Config, Json, Profile
from cerberus_trader.control.commands_replay import reported as _reported
from cerberus_trader.control.listing import Commands
from cerberus_trader.domain.errors import DataError, JournalError

State = Annotated[Path, typer.Option("--state", help="The state folder of an engine.")]
Folder = Annotated[Path, typer.Option("--state", help="The folder of the journal.")]
Role = Annotated[str, typer.Option("--role", help="viewer, operator or admin.")]

config_app = typer.Typer(
    cls=Commands, help="Check and show the configuration.", no_args_is_help=True
)
token_app = typer.Typer(cls=Commands, help="Issue, list and revoke tokens.", no_args_is_help=True)
journal_app = typer.Typer(
    cls=Commands, help="Verify, export and project the journal.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(config_app, name="config")
    app.add_typer(token_app, name="token")
    app.add_typer(journal_app, name="journal")
    app.command(epilog=CODES)(doctor)


def echo(found: Any, as_json: bool, text: str) -> None:
    """Print what was found, for programs or for people."""
    typer.echo(json.dumps(found, indent=2, default=str) if as_json else text)


# -- config ---------------------------------------------------------------------------------


@config_app.command("check", epilog=CODES)
def config_check(
    file: Annotated[Path, typer.Argument(help="A TOML or JSON file.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Check a configuration file: every fault at once, with its key and what is allowed."""
    with _reported(as_json):
        from cerberus_trader.config import load_settings
        from cerberus_trader.instruments import load_instruments

        loaded = load_settings(file, stage=profile)
        known = load_instruments([Path(path) for path in loaded.settings.instruments])
        found = {"ok": True, "hash": loaded.hash, "instruments": len(known)}
        echo(found, as_json, f"ok: {file} ({loaded.hash[:12]}, {len(known)} instruments)")


@config_app.command("show", epilog=CODES)
def config_show(config: Config = None, profile: Profile = None, as_json: Json = False) -> None:
    """Show the configuration in force: defaults, profile, file and environment together."""
    with _reported(as_json):
        from cerberus_trader.config import load_settings

        loaded = load_settings(config, stage=profile)
        document = json.loads(loaded.document)
        if as_json:
            typer.echo(json.dumps({"hash": loaded.hash, "settings": document}, indent=2))
            return
        typer.echo(f"# hash {loaded.hash}\n# from {', '.join(loaded.sources) or 'defaults'}")
        for line in _lines(document):
            typer.echo(line)


def _lines(tree: dict[str, Any], prefix: str = "") -> list[str]:
    """Return one `dotted.key = value` line per setting."""
    found = []
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            found += _lines(value, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name} = {json.dumps(value)}")
    return found


# -- token ----------------------------------------------------------------------------------


@token_app.command("create", epilog=CODES)
def token_create(
    role: Role = "admin",
    scope: Annotated[str, typer.Option("--scope", help="all, or reset (breaker only).")] = "all",
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    state: State = Path("state"),
    as_json: Json = False,
) -> None:
    """Create a token. It is shown once and stored as a hash."""
    with _reported(as_json, "a token may have been made: see `cerberus token list`"):
        from cerberus_trader.control.tokens import TokenStore

        state.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        if role not in ("viewer", "operator", "admin") or scope not in ("all", "reset"):
            raise DataError("unknown role or scope.", code="TOKEN_REQUEST", place="token create",
                            fix="role: viewer, operator, admin; scope: all, reset.")  # fmt: skip
        text, token = TokenStore(state).create(
            role, now_ns=now, scope=scope, label=label  # type: ignore[arg-type]
        )  # fmt: skip
        found = {"token": text, "id": token.id, "role": role, "scope": scope,
                 "expires_ns": token.expires_ns}  # fmt: skip
        echo(found, as_json, f"{text}\nShown once; id {token.id}, {role}, scope {scope}.")


@token_app.command("list", epilog=CODES)
def token_list(state: State = Path("state"), as_json: Json = False) -> None:
    """List tokens: ids and status, never the tokens."""
    with _reported(as_json):
        from cerberus_trader.control.tokens import TokenStore

        now = time.time_ns()
        found = [
            {"id": one.id, "role": one.role, "scope": one.scope, "status": one.status(now),
             "label": one.label}
            for one in TokenStore(state).tokens()
        ]  # fmt: skip
        lines = [f"{t['id']}  {t['role']:8} {t['scope']:5} {t['status']:8} {t['label']}"
                 for t in found]  # fmt: skip
        echo(found, as_json, "\n".join(lines) or "no tokens")


@token_app.command("revoke", epilog=CODES)
def token_revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id.")],
    state: State = Path("state"),
    as_json: Json = False,
) -> None:
    """Revoke a token by its id."""
    with _reported(as_json, "it may be revoked: see `cerberus token list`"):
        from cerberus_trader.control.tokens import TokenStore

        TokenStore(state).revoke(token_id, now_ns=time.time_ns())
        echo({"revoked": token_id}, as_json, f"revoked {token_id}")


# -- journal --------------------------------------------------------------------------------


@journal_app.command("verify", epilog=CODES)
def journal_verify(
    state: Folder = Path("state"),
    replay: Annotated[
        bool, typer.Option("--replay", help="Decide every row again and compare.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept a shorter history: move the anchor.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Verify the whole chain, the anchor and the snapshots."""
    with _reported(as_json):
        from cerberus_trader.journal import verify as check
        from cerberus_trader.journal.anchor import ANCHOR_NAME
        from cerberus_trader.journal.store import JOURNAL_NAME

        if not (state / JOURNAL_NAME).exists() and not (state / ANCHOR_NAME).exists():
            raise JournalError("there is no journal.", code="JOURNAL_NONE", place=str(state),
                               fix="name the folder with --state.")  # fmt: skip
        check.refuse_newer(state)
        report = check.accept(state) if accept else check.verify(state)
        found: dict[str, Any] = {
            "ok": report.ok, "rows": report.rows, "last_seq": report.last_seq,
            "last_hash": report.last_hash.hex(), "first_bad_seq": report.first_bad_seq,
            "reasons": report.reasons, "notes": report.notes, "snapshots": report.snapshots,
            "segments": report.segments, "deleted_seq": report.deleted_seq,
        }  # fmt: skip
        text = f"{'ok' if report.ok else 'DAMAGED'}: {report.rows} rows"
        if report.deleted_seq:
            text += f" (those to row {report.deleted_seq} are deleted by retention)"
        text += "".join(f"\n  {reason}" for reason in report.reasons)
        if replay and report.ok:
            from cerberus_trader.observe.redecide import redecide

            again = redecide(state)
            found["replay"] = again
            found["ok"] = not again["differences"]
            text += f"\ndecided {again['rows']} rows again: {again['differences']} differ"
            if again["first"]:
                text += f"\n  first: row {again['first']}"
        echo(found, as_json, text)
        if not found["ok"]:
            raise typer.Exit(3)


@journal_app.command("export", epilog=CODES)
def journal_export(
    state: Folder = Path("state"),
    out: Annotated[
        Path | None, typer.Option("--out", help="File; standard output if none.")
    ] = None,
) -> None:
    """Export the journal as JSON lines."""
    with _reported(False):
        import sys

        from cerberus_trader.journal.export import export_rows
        from cerberus_trader.journal.reader import JournalReader

        rows = JournalReader(state).rows()
        if out is None:
            export_rows(rows, sys.stdout.buffer)
            return
        with out.open("wb") as file:
            count = export_rows(rows, file)
        typer.echo(f"{count} rows to {out}")


@journal_app.command("rebuild-views", epilog=CODES)
def journal_rebuild(state: Folder = Path("state"), as_json: Json = False) -> None:
    """Build views.db again from the journal."""
    with _reported(as_json):
        from cerberus_trader import __version__
        from cerberus_trader.engine.state import state_from
        from cerberus_trader.journal.reader import JournalReader
        from cerberus_trader.journal.views import ViewsWriter
        from cerberus_trader.observe.projector import rebuild

        with ViewsWriter(state) as writer:
            start = JournalReader(state).beginning()
            first = state_from(start.snapshot.state) if start.snapshot is not None else None
            count = rebuild(start.rows, writer, __version__, first)
        echo({"rows": count}, as_json, f"rebuilt the views from {count} rows")


# -- doctor ---------------------------------------------------------------------------------


def doctor(
    state: State = Path("state"), config: Config = None, profile: Profile = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say what is installed and missing, and how configuration, disk, clock and journal are."""
    with _reported(as_json):
        from cerberus_trader.control.doctor import examine, lines

        found = examine(state, config, profile)
        echo(found, as_json, "\n".join(lines(found)))
        if found["problems"]:
            raise typer.Exit(EXIT_FAILED)
