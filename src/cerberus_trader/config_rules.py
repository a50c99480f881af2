"""The rules that hold between settings: what each value alone does not show."""

from collections.abc import Iterator

from cerberus_trader.domain.settings import Settings, Venue
from cerberus_trader.domain.settings_guard import FILES_LEAST, time_server_address


def check_settings(settings: Settings) -> list[str]:
    """Return every fault between settings: keys, their values, and what is allowed."""
    found = [*_orders(settings), *_strategies(settings), *_modes(settings)]
    return [*found, *_keeping(settings), *_guard(settings)]


def _orders(settings: Settings) -> Iterator[str]:
    """Find pairs that stand in the wrong order."""
    leverage, levels, breaker = settings.leverage, settings.levels, settings.breaker
    health, risk, intake = settings.health, settings.risk, settings.intake
    pairs = (
        ("leverage.drawdown_start", leverage.drawdown_start, "drawdown_end", leverage.drawdown_end),
        ("levels.stop_pct_min", levels.stop_pct_min, "stop_pct_max", levels.stop_pct_max),
        ("breaker.drawdown_soft", breaker.drawdown_soft, "drawdown_hard", breaker.drawdown_hard),
        ("health.watch", health.watch, "danger", health.danger),
        ("health.danger", health.danger, "critical", health.critical),
        (
            "risk.position_exposure_max",
            risk.position_exposure_max,
            "gross_exposure_max",
            risk.gross_exposure_max,
        ),
        (
            "risk.group_exposure_max",
            risk.group_exposure_max,
            "gross_exposure_max",
            risk.gross_exposure_max,
        ),
        ("intake.signal_age_ms_max", intake.signal_age_ms_max, "remember_ms", intake.remember_ms),
    )
    for key, low, name, high in pairs:
        if low > high:
            section = key.partition(".")[0]
            yield f"{key} = {low}: must be at most {section}.{name}, which is {high}"
    bases = [leverage.low, leverage.medium, leverage.high, leverage.extreme]
    if bases != sorted(bases):
        yield "leverage.low, medium, high, extreme: must not fall from one to the next"
    if list(intake.confidence_levels) != sorted(intake.confidence_levels):
        yield "intake.confidence_levels: must not fall from one to the next"


def _strategies(settings: Settings) -> Iterator[str]:
    """Find strategies that cannot work."""
    if not settings.strategies:
        yield "strategies: must name at least one strategy"
    for name, strategy in settings.strategies.items():
        key = f"strategies.{name}"
        if not name or not name.replace("-", "_").isidentifier():
            yield f"{key}: a name must be letters, digits, _ and -, and not start with a digit"
        if strategy.positions_max == 0 and strategy.status == "active":
            yield f"{key}.positions_max = 0: must be at least 1; to stop it set status = 'paused'"


def _modes(settings: Settings) -> Iterator[str]:
    """Find what only one stage may do."""
    if settings.risk.lift_all and settings.stage != "research":
        yield "risk.lift_all = true: must be false outside the stage research"
    if settings.sizing.obey_quantity and settings.stage != "research":
        yield "sizing.obey_quantity = true: must be false outside the stage research"
    for name, venue in settings.venues.items():
        if venue.environment == "live" and settings.stage != "prod":
            yield f"venues.{name}.environment = 'live': must wait for the stage prod"
        if venue.kind == "remote":
            yield from _remote(name, venue)
        elif (venue.kind == "paper") != (venue.environment == "paper"):
            yield f"venues.{name}: kind and environment must both be paper, or neither"


def _remote(name: str, venue: Venue) -> Iterator[str]:
    """Find what a venue in another process lacks; real money is not traded through one."""
    if venue.environment not in ("paper", "demo"):
        yield f"venues.{name}.environment = {venue.environment!r}: must be paper or demo"
    if not venue.endpoint.startswith(("unix:/", "tcp:")):
        yield f"venues.{name}.endpoint = {venue.endpoint!r}: must be unix:/path or tcp:host:port"


def _keeping(settings: Settings) -> Iterator[str]:
    """Find backups that cannot be made, and an audit that would go before what it is of."""
    backup, retention = settings.backup, settings.retention
    if backup.enabled and not backup.folder:
        yield "backup.folder = '': must name a folder while backup.enabled is true"
    if not backup.passphrase_env.endswith("_PASSPHRASE"):
        # what is given may be the passphrase itself: it is not shown
        yield (
            "backup.passphrase_env = ***: must be the name of an environment variable"
            " that ends with _PASSPHRASE"
        )
    if 0 < retention.audit_days < retention.days:
        yield (
            f"retention.audit_days = {retention.audit_days}: must be at least"
            f" retention.days, which is {retention.days}, or 0"
        )


def _guard(settings: Settings) -> Iterator[str]:
    """Find a time server that has no address, and limits of the process that cannot work."""
    guard, files = settings.killswitch, settings.resources.files_max
    if guard.time_server and time_server_address(guard.time_server) is None:
        yield f"killswitch.time_server = {guard.time_server!r}: must be host or host:port"
    if 0 < guard.memory_hard_mb_max < guard.memory_mb_max:
        yield (
            f"killswitch.memory_mb_max = {guard.memory_mb_max}: must be at most"
            f" killswitch.memory_hard_mb_max, which is {guard.memory_hard_mb_max}"
        )
    if 0 < files < FILES_LEAST:
        yield f"resources.files_max = {files}: must be at least {FILES_LEAST}, or 0"
