"""A journal as a crash left it, and what becomes of it when its files are damaged.

Each damage must be reported by `verify`, or change nothing that can be read.
"""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.verify import verify

TAIL_BYTES = 64 * 1024
FILES = ("journal.db", "journal.db-wal", "anchor")
START_EVERY = 20


class Victim:
    """Hold the files of a journal as a crash left them, and put them back after each damage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = {name: (folder / name).read_bytes() for name in FILES}
        self.history = list(JournalReader(folder).rows())
        self.reported = self.unchanged = 0

    def try_damage(self, name: str, data: bytes) -> None:
        """Damage a file, and hold the verdict of `verify` against what can be read."""
        path = self.folder / name
        (self.folder / "journal.db-shm").unlink(missing_ok=True)  # the index of the log as it was
        path.write_bytes(data)
        report = verify(self.folder)
        if report.ok:
            self.unchanged += 1
            assert list(JournalReader(self.folder).verified_rows()) == self.history
        else:
            self.reported += 1
            if self.reported % START_EVERY == 0:
                self.start(short=any("journal ends at row" in x for x in report.reasons))
        path.write_bytes(self.whole[name])

    def start(self, *, short: bool) -> None:
        """Start on it: refused if it is shorter than its anchor, else refused or right.

        Old rows may be damaged under a start that needs only the newest snapshot and what
        follows; checking the whole chain is the work of `verify`, which runs after each start.
        """
        copy = self.folder.with_name(f"{self.folder.name}-copy")
        shutil.copytree(self.folder, copy)
        try:
            with SqliteJournal(copy) as journal:
                snapshot, rows, _ = journal.restore()
                found = list(rows)
            assert not short
            assert found == self.history[snapshot.seq if snapshot else 0 :]
        except JournalError as error:
            assert error.exit_code == 3 and error.fix
        finally:
            shutil.rmtree(copy)


def make_victim(folder: Path, old: int, new: int, body_bytes: int) -> Victim:
    """Make the journal of a process that was killed: old rows in the database, new in the log.

    A snapshot lies behind the old rows; each new row is a transaction of its own.
    """
    options = JournalOptions(sync_interval_s=0.005)
    draw = random.Random(3)
    with SqliteJournal(folder / "old", options=options) as journal:
        for number in range(1, old + 1):
            journal.append(number, "tick", draw.randbytes(body_bytes))
            if number % max(old // 2 - 20, 3) == 0:
                journal.save_snapshot(number, "1", b"hash", draw.randbytes(2 * body_bytes))
    with SqliteJournal(folder / "old", options=options) as journal:
        for number in range(old + 1, old + new + 1):
            journal.append(number, "tick", draw.randbytes(body_bytes))
            journal.wait_durable(number, 10.0)
        while (verify(folder / "old").anchor or ("", 0))[1] != old + new:
            time.sleep(0.005)
        shutil.copytree(folder / "old", folder / "crashed")
    (folder / "crashed" / "journal.db-shm").unlink()
    report = verify(folder / "crashed")
    assert report.ok and report.rows == old + new
    return Victim(folder / "crashed")


def tail(data: bytes) -> range:
    """Return the places of the last 64 KiB."""
    return range(max(0, len(data) - TAIL_BYTES), len(data))


def flipped(data: bytes, bit: int) -> bytes:
    """Return the data with one bit flipped."""
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def every_damage(victim: Victim) -> Iterator[tuple[str, int, bool]]:
    """Name every damage of the last 64 KiB: the file, the place (a byte or a bit), cut or flip."""
    for name in FILES:
        places = tail(victim.whole[name])
        yield from ((name, at, True) for at in places)
        yield from ((name, bit, False) for bit in range(places.start * 8, places.stop * 8))
