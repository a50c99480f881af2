"""The settings of what is kept: backups, and how much of the journal's history."""

from typing import Annotated

from cerberus_trader.domain.settings_base import Meta, Section


class Backup(Section, frozen=True):
    """Set the backups that a running engine makes by itself."""

    enabled: Annotated[bool, Meta(description="back up while running; the first one at start")] = (
        False
    )
    folder: Annotated[str, Meta(description="where backups go; a folder, best on another disk")] = (
        ""
    )
    every_hours: Annotated[float, Meta(gt=0, le=8_760, description="time between backups")] = 24.0
    keep: Annotated[
        int, Meta(ge=1, le=100_000, description="backups kept; older ones are deleted")
    ] = 7
    encrypt: Annotated[
        bool, Meta(description="encrypt with the passphrase; without it nothing is written")
    ] = True
    passphrase_env: Annotated[
        str, Meta(description="environment variable that holds the passphrase, ..._PASSPHRASE")
    ] = "CERBERUS_BACKUP_PASSPHRASE"


class Retention(Section, frozen=True):
    """Set how much of the journal's history is kept; the rows of a UTC day go together."""

    enabled: Annotated[
        bool, Meta(description="seal finished days into segments while running, and delete them")
    ] = True
    days: Annotated[
        int, Meta(ge=0, le=100_000, description="full days kept; 0 keeps what the budget allows")
    ] = 0
    disk_bytes: Annotated[
        int,
        Meta(ge=0, description="journal and segments together; the oldest go first; 0 is off"),
    ] = 10_737_418_240
    audit_days: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="days the audit's rows of deleted ones are kept; 0 is for ever",
        ),
    ] = 0
    segment_rows: Annotated[
        int, Meta(ge=100, le=10_000_000, description="a segment holds at most so many rows")
    ] = 250_000
