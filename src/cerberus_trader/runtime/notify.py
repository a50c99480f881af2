"""Tell the service manager that we are up and alive (systemd's sd_notify, without a library).

The heartbeat runs in the engine's loop: a loop that hangs stops it, and the manager restarts us.
"""

import asyncio
import socket

from cerberus_trader.config import service_manager

BEATS = 3
"""Heartbeats per watchdog interval."""


def notify(text: str) -> bool:
    """Send a line to the manager's socket; tell whether there is one."""
    address, _ = service_manager()
    if not address:
        return False
    if address.startswith("@"):  # an abstract address
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(text.encode(), address)
    except OSError:
        return False
    return True


async def heartbeat() -> None:
    """Say that the loop is alive, for as long as it is."""
    while interval := service_manager()[1]:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval / BEATS)
