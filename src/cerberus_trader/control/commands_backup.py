"""The commands journal backup, restore, prune and migrate."""

import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cerberus_trader.control.commands_live import actor
from cerberus_trader.control.commands_replay import CODES, Config, Json, Profile, reported
from cerberus_trader.control.commands_tools import Folder, echo, journal_app
from cerberus_trader.domain.errors import DataError

if TYPE_CHECKING:
    from cerberus_trader.journal.manifest import Manifest
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
    journal_app.command("prune", epilog=CODES)(journal_prune)
    journal_app.command("migrate", epilog=CODES)(journal_migrate)


def journal_backup(
    target: Annotated[
        str, typer.Argument(help="A new file NAME.backup, or a folder to name one in.")
    ],
    state: Folder = Path("state"),
    passphrase_file: Words = None,
    plain: Annotated[bool, typer.Option("--plain", help="Do not encrypt.")] = False,
    as_json: Json = False,
) -> None:
    """Write an encrypted backup of the state folder, also while the engine runs."""
    with reported(as_json):
        from cerberus_trader.journal.backup import back_up

        path = _target(target)
        words = None if plain else _passphrase(passphrase_file, confirm=True)
        made = back_up(state, path, words)
        found = {"path": made.path, "bytes": made.bytes, "encrypted": made.encrypted,
                 **_about(made.manifest)}  # fmt: skip
        how = "encrypted" if made.encrypted else "NOT ENCRYPTED"
        text = f"{made.path}: {made.bytes:,} bytes, {how}, {_ends(made.manifest)}"
        echo(found, as_json, text)


def _target(text: str) -> Path:
    """Return where to write; a folder that is not there, as of an unmounted disk, is no file."""
    from cerberus_trader.journal.manifest import SUFFIX

    path = Path(text)
    if not path.exists() and (text.endswith("/") or path.suffix != SUFFIX):
        raise DataError(
            "there is no such folder.", code="BACKUP_FOLDER", place=text,
            fix=f"create it, or mount its disk; a new file is to be named NAME{SUFFIX}.",
        )  # fmt: skip
    return path


def journal_restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    into: Annotated[Path, typer.Option("--into", help="The state folder to make.")],
    passphrase_file: Words = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Restore a backup into a new state folder, and verify chain and anchor.

    The engine starts halted there until `cerberus resume`, and no token of the backup is valid:
    what was stopped or revoked since the backup is in none.
    """
    with reported(as_json):
        from cerberus_trader.journal.unpack import is_encrypted, restore

        words = _passphrase(passphrase_file, confirm=False) if is_encrypted(file) else None
        revoked: list[int] = []
        manifest = restore(file, into, words, lambda *found: revoked.append(_disarm(*found)))
        text = (
            f"restored into {into}: {_ends(manifest)}\nit starts halted, until `cerberus resume`;"
            f" tokens revoked: {revoked[0]}, new ones by `cerberus token create`"
        )
        found = {"into": str(into), "halted": True, "tokens_revoked": revoked[0]}
        echo(found | _about(manifest), as_json, text)


def _disarm(folder: Path, manifest: "Manifest") -> int:
    """Halt a restored folder and revoke its tokens; return how many those were."""
    from cerberus_trader.control.tokens import TokenStore
    from cerberus_trader.runtime.marker import HaltMarker, Mark

    now_ns = time.time_ns()
    reason = f"restored from a backup of {_told(manifest.created_ns)}"
    HaltMarker(folder).set(Mark(actor(), reason, now_ns))
    tokens = TokenStore(folder)
    try:
        return tokens.revoke_all(now_ns=now_ns)
    except DataError:  # damaged when it was backed up: a restore does not fail by that
        tokens.path.unlink()
        return 0


def journal_prune(
    state: Folder = Path("state"),
    days: Annotated[
        int | None, typer.Option("--days", min=0, help="Full days to keep; 0: by size alone.")
    ] = None,
    disk_bytes: Annotated[
        int | None, typer.Option("--disk-bytes", min=0, help="Bytes to keep; 0: no limit.")
    ] = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Seal finished days into segments and delete what the section `retention` does not keep.

    A running engine does it by its own settings; --days and --disk-bytes are for a stopped one.
    """
    with reported(as_json, "it may still be carried out, or be done in part"):
        from cerberus_trader.runtime.client import NotRunning, ask
        from cerberus_trader.runtime.frames import Prune

        if days is None and disk_bytes is None:
            with suppress(NotRunning):
                found = ask(state, Prune(actor()))
                echo(found, as_json, "the engine prunes now; its log and status tell what it did")
                return
        _prune_stopped(state, days, disk_bytes, config, profile, as_json)


def _prune_stopped(
    state: Path, days: int | None, disk_bytes: int | None, config: Path | None,
    profile: str | None, as_json: bool,
) -> None:  # fmt: skip
    import msgspec

    from cerberus_trader.config import load_settings
    from cerberus_trader.runtime.prune import prune
    from cerberus_trader.runtime.retention import policy_of

    policy = policy_of(load_settings(config, stage=profile).settings.retention)
    if days is not None:
        policy = policy._replace(days=days)
    if disk_bytes is not None:
        policy = policy._replace(disk_bytes=disk_bytes)
    found = msgspec.to_builtins(prune(state, policy, actor()))
    text = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in found.items())
    echo(found, as_json, text)


def journal_migrate(state: Folder = Path("state"), as_json: Json = False) -> None:
    """Bring the journal of an older release to this one's format; the old file is kept."""
    with reported(as_json):
        from cerberus_trader.journal.migrate import migrate_journal

        before, after = migrate_journal(state)
        text = f"migrated from format {before} to {after}; the former file is journal.db.v{before}"
        if before == after:
            text = f"format {after} already, nothing to do"
        echo({"before": before, "after": after}, as_json, text)


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
    when, head = _told(manifest.last_ts_ns), manifest.last_hash[:16]
    return f"{manifest.rows:,} rows to row {manifest.last_seq} of {when}, {head}"


def _told(ts_ns: int) -> str:
    return f"{datetime.fromtimestamp(ts_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"
