"""The settings of the kill switch: what is measured around the engine, and what it leads to."""

from typing import Annotated

from cerberus_trader.domain.settings_base import Action, Count, Meta, Millis, Section

NTP_PORT = 123
FILES_LEAST = 64
"""Journal, views, sockets, logs and the interpreter itself need about half of these."""


class KillSwitch(Section, frozen=True):
    """Set what stops new exposure although no money was lost yet; a limit of 0 is off.

    A condition is latched like the breaker's: only a reset with a token ends it, whatever the
    limit has become meanwhile. A silent feed alone ends by itself.
    """

    latency_ms_max: Annotated[
        Millis,
        Meta(description="answers of the venue, three in a row slower than this, or missing"),
    ] = 2_000
    latency_action: Action = "block"
    clock_drift_ms_max: Annotated[
        Millis, Meta(description="difference to the venue's clock, or to the time server's")
    ] = 1_000
    clock_drift_action: Action = "block"
    loop_lag_ms_max: Annotated[
        Millis, Meta(description="the engine's loop came so much too late to a timer")
    ] = 5_000
    loop_lag_action: Action = "block"
    memory_mb_max: Annotated[
        Count, Meta(description="resident memory; caches are cleared first, then it trips")
    ] = 256
    memory_action: Action = "block"
    memory_hard_mb_max: Annotated[
        Count, Meta(description="resident memory at which positions are not waited for any more")
    ] = 512
    memory_hard_action: Action = "flatten"
    feed_ms_max: Annotated[
        Millis,
        Meta(description="a price feed silent for so long in its market hours; bars add theirs"),
    ] = 60_000
    volatility_max: Annotated[
        float,
        Meta(
            ge=0, le=1_000,
            description="the most volatile priced instrument, a daily fraction by either estimate",
        ),
    ] = 5.0  # fmt: skip
    volatility_action: Action = "block"
    time_server: Annotated[
        str, Meta(description="host[:port] of an NTP server to hold the clock against; empty: none")
    ] = ""
    time_server_interval_ms: Annotated[
        int, Meta(ge=1_000, le=86_400_000, description="between two questions to it")
    ] = 64_000


class Resources(Section, frozen=True):
    """Bound what the engine's process may take (D-10.6)."""

    signals_max: Annotated[int, Meta(ge=1, description="signals that wait at once")] = 10_000
    prices_max: Annotated[int, Meta(ge=1, description="prices that wait at once")] = 1_024
    requests_max: Annotated[
        int, Meta(ge=1, le=10_000, description="requests to a venue under way at once")
    ] = 64
    files_max: Annotated[
        Count, Meta(description="open files, at least 64; 0 leaves the system's limit", cold=True)
    ] = 0


def time_server_address(name: str) -> tuple[str, int] | None:
    """Read host or host:port; None where it is neither."""
    host, colon, port = name.partition(":")
    if not colon:
        port = str(NTP_PORT)
    figures = port.isascii() and port.isdecimal() and len(port) <= 5
    if not host or any(c.isspace() for c in host) or not figures or not 0 < int(port) < 65_536:
        return None
    return host, int(port)
