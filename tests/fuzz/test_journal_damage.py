"""Damage to every file of a journal: each flipped bit and each cut is reported, or changes nothing.

`make test` tries a sample; the tests marked slow try every byte of the last 64 KiB of database and
log as a cut, and every bit of them as a flip.
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.verify import verify

TAIL_BYTES = 64 * 1024
SAMPLES = 400
Damage = Callable[[bytes, int], bytes]
FILES = ("journal.db", "journal.db-wal", "anchor")


class Victim:
    """Hold the files of a journal as a crash left them, and put them back after each damage."""

    def __init__(self, folder: Path, history: list[Row]) -> None:
        self.folder, self.history = folder, history
        self.whole = {name: (folder / name).read_bytes() for name in FILES}
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
            if self.reported % 20 == 0:
                self.start(short=any("journal ends at row" in x for x in report.reasons))
        path.write_bytes(self.whole[name])

    def start(self, *, short: bool) -> None:
        """Start on it: refused if it is shorter than its anchor, else refused or right.

        Old rows may be damaged under a start that needs only the newest snapshot and what
        follows; checking the whole chain is the work of `verify`, which runs after each start.
        """
        copy = self.folder.with_name("copy")
        shutil.copytree(self.folder, copy)
        try:
            with SqliteJournal(copy) as journal:
                snapshot, rows, _ = journal.restore()
                found = list(rows)
            assert not short
            assert found == self.history[snapshot.seq if snapshot else 0 :]
        except JournalError as error:
            assert error.exit_code == 3 and error.fix
        shutil.rmtree(copy)


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    """The journal of a process that was killed: old rows in the database, new ones in the log."""
    options = JournalOptions(sync_interval_s=0.005)
    draw = random.Random(3)
    with SqliteJournal(tmp_path / "old", options=options) as journal:
        for number in range(1, 261):
            journal.append(number, "tick", draw.randbytes(250))
            if number % 100 == 0:
                journal.save_snapshot(number, "1", b"hash", draw.randbytes(500))
    with SqliteJournal(tmp_path / "old", options=options) as journal:
        for number in range(261, 361):
            journal.append(number, "tick", draw.randbytes(250))
            journal.wait_durable(number, 10.0)  # each in a transaction of its own
        while (verify(tmp_path / "old").anchor or ("", 0))[1] != 360:
            time.sleep(0.005)
        shutil.copytree(tmp_path / "old", tmp_path / "crashed")
    (tmp_path / "crashed" / "journal.db-shm").unlink()
    report = verify(tmp_path / "crashed")
    assert report.ok and report.rows == 360
    found = Victim(tmp_path / "crashed", list(JournalReader(tmp_path / "crashed").rows()))
    assert all(len(found.whole[name]) >= TAIL_BYTES for name in FILES[:2])
    return found


def flips(data: bytes, bits: Iterator[int]) -> Iterator[bytes]:
    """Flip one bit at a time."""
    for bit in bits:
        at = bit // 8
        yield data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def tail(data: bytes) -> range:
    """Return the places of the last 64 KiB."""
    return range(max(0, len(data) - TAIL_BYTES), len(data))


@pytest.mark.req("D-09.15")
@pytest.mark.parametrize("name", FILES)
def test_sampled_flips_and_cuts_are_reported_or_change_nothing(victim: Victim, name: str) -> None:
    draw, data = random.Random(name), victim.whole[name]
    places = tail(data)
    for _ in range(SAMPLES // 2):
        (damaged,) = flips(data, iter([draw.choice(places) * 8 + draw.randrange(8)]))
        victim.try_damage(name, damaged)
        victim.try_damage(name, data[: draw.choice(places)])
    # one slot of the anchor is enough, and much of it is empty
    assert victim.reported > (SAMPLES / 2 if name != "anchor" else 0)


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", FILES[:2])
def test_every_cut_of_the_last_64_kib(victim: Victim, name: str) -> None:
    data = victim.whole[name]
    for at in tail(data):
        victim.try_damage(name, data[:at])
    assert victim.reported + victim.unchanged == TAIL_BYTES


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", FILES[:2])
def test_every_flipped_bit_of_the_last_64_kib(victim: Victim, name: str) -> None:
    data = victim.whole[name]
    places = tail(data)
    for damaged in flips(data, iter(range(places.start * 8, places.stop * 8))):
        victim.try_damage(name, damaged)
    assert victim.reported + victim.unchanged == TAIL_BYTES * 8
