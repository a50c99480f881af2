"""The simulated store: whole transactions, a crash that keeps a prefix, a disk that fails."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.chain import Chain, genesis
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.store import Disk, SimJournal


class Store:
    """Hold a journal whose syncs take a second."""

    def __init__(self, disk: Disk | None = None, seed: int = 0) -> None:
        self.disk = disk or Disk("engine")
        self.reached: list[int] = []
        self.errors: list[BaseException] = []
        self.delay: Callable[[], float] = lambda: 1.0
        self.journal = SimJournal(
            self.disk, Random(seed), lambda: self.delay(), self.reached.append, self.errors.append
        )

    def put(self, count: int) -> None:
        for _ in range(count):
            self.journal.append(self.journal.last_seq, "kind", b"body%d" % self.journal.last_seq)


def virtually(main: Coroutine[Any, Any, None]) -> None:
    run(main, Random(0))


def chained(disk: Disk) -> bool:
    """Tell whether the durable rows chain from the engine's beginning."""
    chain = Chain("main", genesis(disk.engine_id))
    return all(
        row.seq == number and row.hash == chain.link(number, row.ts_ns, row.kind, row.body)
        for number, row in enumerate(disk.rows, 1)
    )


def test_rows_become_durable_in_transactions_and_in_order() -> None:
    async def main() -> None:
        store = Store()
        store.put(3)
        assert (store.journal.last_seq, store.journal.durable_seq) == (3, 0)
        assert not store.journal.wait_durable(1, 0.0)
        await asyncio.sleep(0.5)
        store.put(2)  # behind the transaction that is under way
        await asyncio.sleep(0.6)
        assert (store.reached, store.journal.durable_seq) == ([3], 3)
        await asyncio.sleep(1.0)
        assert store.reached == [3, 5] and store.disk.times == [1.0, 1.0, 1.0, 2.0, 2.0]
        assert store.journal.wait_durable(5, 0.0) and chained(store.disk)
        assert store.journal.last_hash == store.disk.rows[-1].hash

    virtually(main())


def test_a_crash_keeps_what_was_durable_and_any_prefix_of_the_rest() -> None:
    kept: set[int] = set()

    async def main(seed: int) -> None:
        store = Store(seed=seed)
        store.put(2)
        await asyncio.sleep(1.1)
        store.put(4)
        store.journal.crash()
        store.journal.crash()
        kept.add(len(store.disk.rows))
        assert [row.body for row in store.disk.rows] == [
            b"body%d" % number for number in range(len(store.disk.rows))
        ]
        assert chained(store.disk)
        await asyncio.sleep(5.0)
        assert store.reached == [2], "a dead process is told nothing"
        with pytest.raises(JournalError):
            store.put(1)

    for seed in range(40):
        run(main(seed), Random(seed))
    assert kept == {2, 3, 4, 5, 6}


def test_the_next_life_goes_on_behind_what_was_kept() -> None:
    async def main() -> None:
        first = Store(seed=3)
        first.put(5)
        first.journal.crash()
        found = len(first.disk.rows)
        second = Store(first.disk)
        second.put(2)
        await asyncio.sleep(1.1)
        assert len(first.disk.rows) == found + 2 and chained(first.disk)
        assert [row.seq for row in second.journal.restore().rows] == list(range(1, found + 3))

    virtually(main())


def test_a_snapshot_is_kept_only_of_what_is_durable() -> None:
    async def main() -> None:
        store = Store()
        store.put(2)
        store.journal.save_snapshot(9, "v", b"h", b"state")
        assert store.disk.snapshot is None
        await asyncio.sleep(1.1)
        store.journal.save_snapshot(9, "v", b"h", b"state")
        assert store.disk.snapshot is not None
        store.put(1)
        await asyncio.sleep(1.1)
        restored = store.journal.restore()
        assert restored.snapshot is not None and restored.snapshot.seq == 2
        assert [row.seq for row in restored.rows] == [3]

    virtually(main())


def test_a_disk_that_fails_ends_the_journal_and_keeps_nothing_more() -> None:
    def full() -> float:
        raise JournalError("no space left.", code="JOURNAL_WRITE")

    async def main() -> None:
        store = Store()
        store.put(1)
        await asyncio.sleep(1.1)
        store.delay = full
        store.put(2)
        await asyncio.sleep(5.0)
        assert len(store.errors) == 1 and len(store.disk.rows) == 1
        with pytest.raises(JournalError):
            store.put(1)

    virtually(main())


@pytest.mark.parametrize("place", ["before_sync", "after_sync"])
def test_a_crash_around_a_sync_tells_nobody(place: str) -> None:
    async def main() -> None:
        store = Store()
        setattr(store.journal, place, store.journal.crash)
        store.put(3)
        await asyncio.sleep(5.0)
        assert store.reached == []
        assert len(store.disk.rows) == 3 or place == "before_sync"

    virtually(main())


def test_closing_makes_everything_durable() -> None:
    async def main() -> None:
        store = Store()
        store.put(3)
        store.journal.close()
        assert len(store.disk.rows) == 3 == store.journal.last_seq
        await asyncio.sleep(5.0)
        assert len(store.disk.rows) == 3

    virtually(main())
