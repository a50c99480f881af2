"""Measure a start on a long journal: from its last snapshot, and folding every row.

`python -m scripts.restart [--events 1000000]`: a real process is fed signals until its journal
holds so many rows, killed with SIGKILL, and started again on the same folder. Then the whole
journal is folded without a snapshot, and its state compared with the process's own.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cerberus_trader.domain.errors import DataError
from cerberus_trader.engine.state import state_hash
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.observe.redecide import redecide
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import ask
from cerberus_trader.runtime.recover import recover
from scripts.soak import CONFIG, Soak

RATE = 10_000
WAIT_S = 60.0


def status(state: Path) -> dict[str, Any]:
    """Wait for the engine's answer."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        try:
            return ask(state, frames.Status())
        except DataError:
            time.sleep(0.01)
    raise SystemExit("the engine does not answer")


def measure(folder: Path, events: int) -> dict[str, Any]:
    """Grow the journal, kill, start, fold; return what each took."""
    kept = CONFIG.replace("[retention]\nenabled = true", "[retention]\nenabled = false")
    first = Soak(folder, events / RATE / 60 * 1.15, RATE, config=kept)
    first.run(lambda: status(first.state)["row"] >= events)
    first.process.kill()
    first.process.wait()
    begun = time.monotonic()
    again = Soak(folder, 1, RATE, config=kept)
    found = status(again.state)
    ready_s = time.monotonic() - begun
    again.process.kill()
    again.process.wait()
    reader = JournalReader(folder / "state")
    restored = reader.restore()
    snapshot = restored.snapshot.seq if restored.snapshot is not None else 0
    quick = state_hash(recover(restored))
    begun = time.monotonic()
    whole = recover(reader.restore()._replace(snapshot=None, rows=reader.verified_rows()))
    fold_s = time.monotonic() - begun
    begun = time.monotonic()
    again_decided = redecide(folder / "state")
    return {
        "rows": found["row"], "rows_after_snapshot": found["row"] - snapshot,
        "ready_s": round(ready_s, 2), "full_fold_s": round(fold_s, 2),
        "same_state": state_hash(whole) == quick == again_decided["state_hash"],
        "redecided_differences": again_decided["differences"],
        "redecide_s": round(time.monotonic() - begun, 2),
    }  # fmt: skip


def main() -> int:
    """Measure and print."""
    given = argparse.ArgumentParser(prog="restart")
    given.add_argument("--events", type=int, default=1_000_000)
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), given.parse_args().events)
    print("\n" + json.dumps(found, indent=2))
    return 0 if found["same_state"] and not found["redecided_differences"] else 1


if __name__ == "__main__":
    sys.exit(main())
