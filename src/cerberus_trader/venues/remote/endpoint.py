"""Where a venue in another process listens: unix:/path, or tcp:host:port."""

import asyncio
import os
from typing import NamedTuple

from cerberus_trader.domain.errors import DataError

PATH_BYTES_MAX = 100
READ_LIMIT = 2**16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Endpoint(NamedTuple):
    """Hold a path, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"

    async def open(self) -> Streams:
        """Connect; raises `OSError`."""
        if self.path:
            return await asyncio.open_unix_connection(self.path, limit=READ_LIMIT)
        return await asyncio.open_connection(self.host, self.port, limit=READ_LIMIT)


def parse_endpoint(text: str, place: str = "endpoint") -> Endpoint:
    """Read an endpoint; raise `DataError` for anything else."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/") and len(os.fsencode(rest)) <= PATH_BYTES_MAX:
        return Endpoint(path=rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536:
        return Endpoint(host=host, port=int(port))
    raise DataError(
        f"{text[:200]!r} is no endpoint.", code="ENDPOINT", place=place,
        fix=f"write unix:/path (at most {PATH_BYTES_MAX} bytes) or tcp:host:port.",
    )  # fmt: skip
