"""The engine's process: `python -m cerberus_trader.runtime.main`, started by `cerberus run`.

It imports what the engine needs and nothing of the command line, the reports or the databases'
tools. Exit codes: 0 stopped, 1 failed, 2 bad input or configuration, 3 journal.
"""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cerberus_trader.domain.errors import CerberusError, DataError
from cerberus_trader.runtime.server import CheckToken
from cerberus_trader.runtime.service import Options, Service

Tokens = Callable[[Path], CheckToken]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the process's own options."""
    found = argparse.ArgumentParser(prog="cerberus run")
    found.add_argument("--state", type=Path, default=Path("state"))
    found.add_argument("--config", type=Path)
    found.add_argument("--profile")
    found.add_argument("--prices", type=Path, action="append", default=[])
    found.add_argument("--instrument", action="append", default=[])
    found.add_argument("--speed", default="1")
    found.add_argument("--signals", type=Path)
    found.add_argument("--stdin", action="store_true")
    found.add_argument("--exit-at-end", action="store_true")
    found.add_argument("--json", action="store_true")
    return found


def speed_of(text: str) -> float:
    """Read a speed: a positive number, or `max`."""
    try:
        speed = 0.0 if text == "max" else float(text)
    except ValueError:
        speed = -1.0
    if not 0.0 <= speed < 1e9 or (speed == 0.0 and text != "max"):
        raise DataError(f"{text!r} is no speed.", place="--speed", fix="give a number, or max.")
    return speed


def options_of(given: argparse.Namespace) -> Options:
    """Turn arguments into options."""
    piped = not sys.stdin.isatty() if sys.stdin is not None else False
    return Options(
        given.state, given.config, given.profile, tuple(given.prices), tuple(given.instrument),
        speed_of(given.speed), given.signals, given.stdin or piped, given.exit_at_end,
    )  # fmt: skip


async def serve(options: Options, tokens: Tokens | None, as_json: bool) -> int:
    """Open, run, close; print what it came to where asked; return the exit code."""
    service = Service(options, tokens and tokens(options.state))
    service.open()
    gc.collect()
    gc.freeze()  # what start-up made stays; the collector need not look at it again
    code = await service.run()
    if as_json:
        sys.stdout.write(json.dumps(service.last, indent=2) + "\n")
    return code


def main(arguments: list[str] | None = None, tokens: Tokens | None = None) -> int:
    """Run the engine's process; print one sentence for what went wrong.

    `tokens` makes the check of tokens for a state folder; without it nothing can be reset.
    """
    given = parser().parse_args(arguments)
    tame_allocator()
    try:
        return run_loop(options_of(given), tokens, given.json)
    except CerberusError as error:
        if given.json:
            found = {"code": error.code, "message": error.message, "place": error.place,
                     "fix": error.fix}  # fmt: skip
            sys.stdout.write(json.dumps({"error": found}, indent=2) + "\n")
        else:
            sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def tame_allocator() -> None:
    """Keep the C library from hoarding: one heap for all threads, large blocks given back.

    glibc keeps a heap for each thread, and after the first large block (a snapshot) takes the
    next ones from them: a process that runs for months grows by what each has once held.
    """
    import ctypes

    arena_max, mmap_threshold = -8, -3  # M_ARENA_MAX and M_MMAP_THRESHOLD of malloc.h
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(arena_max, 1)
        mallopt(mmap_threshold, 256 * 1024)


def run_loop(options: Options, tokens: Tokens | None, as_json: bool) -> int:
    """Run on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serve(options, tokens, as_json))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(options, tokens, as_json))


if __name__ == "__main__":
    sys.exit(main())
