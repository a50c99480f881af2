"""The commands journal backup and restore."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cerberus_trader.control.commands_replay import CODES, Json, reported
from cerberus_trader.control.commands_tools import Folder, echo, journal_app
from cerberus_trader.domain.errors import DataError

if TYPE_CHECKING:
    from cerberus_trader.journal.unpack import Manifest
    from cerberus_trader.security.passphrase import Passphrase

ENVIRONMENT = "CERBERUS_BACKUP_PASSPHRASE"

Words = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file whose first line is the passphrase; without it"
                 f" the environment's {ENVIRONMENT} is taken, or you are asked."),
]  # fmt: skip


def register() -> None:
    """Add the commands to `cerberus journal`."""
    journal_app.command("backup", epilog=CODES)(journal_backup)
    journal_app.command("restore", epilog=CODES)(journal_restore)


def journal_backup(
    target: Annotated[Path, typer.Argument(help="A new file, or a folder to name one in.")],
    state: Folder = Path("state"),
    passphrase_file: Words = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt.")] = False,
    as_json: Json = False,
) -> None:
    """Write an encrypted backup of the state folder, also while the engine runs."""
    with reported(as_json):
        from cerberus_trader.journal.backup import back_up

        words = None if plain else _passphrase(passphrase_file, confirm=True)
        made = back_up(state, target, words)
        found = {"path": made.path, "bytes": made.bytes, "encrypted": made.encrypted,
                 **_about(made.manifest)}  # fmt: skip
        how = "encrypted" if made.encrypted else "NOT ENCRYPTED"
        text = f"{made.path}: {made.bytes:,} bytes, {how}, {_ends(made.manifest)}"
        echo(found, as_json, text)


def journal_restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    into: Annotated[Path, typer.Option("--into", help="The state folder to make.")],
    passphrase_file: Words = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Restore a backup into a new state folder, and verify chain and anchor."""
    with reported(as_json):
        from cerberus_trader.journal.unpack import is_encrypted, restore

        words = _passphrase(passphrase_file, confirm=False) if is_encrypted(file) else None
        manifest = restore(file, into, words)
        text = f"restored into {into}: {_ends(manifest)}"
        echo({"into": str(into), **_about(manifest)}, as_json, text)


def is_terminal() -> bool:
    """Tell whether somebody can be asked."""
    return sys.stdin.isatty()


def _passphrase(file: Path | None, *, confirm: bool) -> "Passphrase":
    """Take the passphrase from a file, the environment or a person."""
    from cerberus_trader.security.passphrase import Passphrase, from_environment, from_file

    if file is not None:
        return from_file(file)
    found = from_environment(ENVIRONMENT)
    if found is None and is_terminal():
        text: str = typer.prompt("passphrase", hide_input=True, confirmation_prompt=confirm)
        found = Passphrase(text)
    if found is None:
        raise DataError(
            "there is no passphrase.", code="PASSPHRASE_MISSING", place=ENVIRONMENT,
            fix="set it, or name a file with --passphrase-file.",
        )  # fmt: skip
    return found


def _about(manifest: "Manifest") -> dict[str, Any]:
    return {"rows": manifest.rows, "last_seq": manifest.last_seq, "last_hash": manifest.last_hash,
            "last_ts_ns": manifest.last_ts_ns, "config": manifest.config,
            "engine_id": manifest.engine_id, "created_ns": manifest.created_ns}  # fmt: skip


def _ends(manifest: "Manifest") -> str:
    """Say where the journal of a backup ends."""
    when = datetime.fromtimestamp(manifest.last_ts_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{manifest.rows:,} rows to row {manifest.last_seq} of {when}, {manifest.last_hash[:16]}"
