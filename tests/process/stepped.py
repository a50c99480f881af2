"""The engine's process with a wall clock that a test steps, by nanoseconds in a file."""

import os
import sys
import time
from pathlib import Path

STEP = Path(os.environ["STEP_FILE"])
_time_ns = time.time_ns


def stepped_ns() -> int:
    """Return the wall's time, set forward or back by what the file says."""
    return _time_ns() + int(STEP.read_text() or 0)


time.time_ns = stepped_ns
time.time = lambda: stepped_ns() / 1e9

if __name__ == "__main__":
    from cerberus_trader.control.engine_process import reset_tokens
    from cerberus_trader.runtime.main import main

    sys.exit(main(tokens=reset_tokens))
