"""The engine's process with a task that fails in a way nobody foresaw."""

import asyncio
import sys

from cerberus_trader.control.engine_process import reset_tokens
from cerberus_trader.runtime.main import main
from cerberus_trader.runtime.service import Service


async def broken(self: Service) -> None:
    """Fail soon, inside a group of its own."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.3))
    raise ExceptionGroup("one of several", [RuntimeError("nobody foresaw this")])


Service._keep_bests = broken  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main(tokens=reset_tokens))
