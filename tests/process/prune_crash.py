"""Prune copies of a journal, each in a fork that ends without a word at another step.

Usage: python -m tests.process.prune_crash SOURCE WORK; prints how many forks ended early.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cerberus_trader.journal import segments
from cerberus_trader.journal.retention import Policy
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.runtime import prune as module

POLICY = Policy(days=3, disk_bytes=0, audit_days=0, segment_rows=12)
STEPS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (segments, "sync_folder"),
    (Path, "rename"),
    (Path, "unlink"),
    (module, "record"),
    (module, "sweep"),
    (module, "drop_prepared"),
    (SqliteJournal, "append"),
    (SqliteJournal, "wait_durable"),
)
ENDED = 9


def end_at(number: int, after: bool) -> None:
    """End this process before or after the numbered step."""
    count = 0

    def stepped(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            mine = count == number
            if mine and not after:
                os._exit(ENDED)
            found = call(*arguments, **named)
            if mine:
                os._exit(ENDED)
            return found

        return step

    for owner, name in STEPS:
        setattr(owner, name, stepped(getattr(owner, name)))


def main() -> None:
    """Fork for each step until one reaches the end."""
    source, work = Path(sys.argv[1]), Path(sys.argv[2])
    early = 0
    for after in (False, True):
        number = 0
        while True:
            number += 1
            folder = work / f"{'after' if after else 'before'}-{number}"
            shutil.copytree(source, folder)
            child = os.fork()
            if not child:
                end_at(number, after)
                module.prune(folder, POLICY, "ann")
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == 0:
                break
            assert code == ENDED, code
            early += 1
    print(early)


if __name__ == "__main__":
    main()
