"""Virtual time: waiting costs nothing, deadlocks say so, and ties are broken by the seed alone."""

import asyncio
from random import Random

import pytest

from cerberus_trader.simulation.loop import Deadlock, VirtualLoop, run


async def order_of(number: int) -> list[int]:
    """Return the order in which tasks that are ready at once came to run."""
    seen: list[int] = []

    async def note(name: int) -> None:
        await asyncio.sleep(1.0)
        seen.append(name)

    await asyncio.gather(*[note(name) for name in range(number)])
    return seen


def test_hours_pass_at_once_and_exactly() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        for pause in (3_600.0, 0.25, 0.0):
            await asyncio.sleep(pause)
            times.append(loop.time())
        return times

    assert run(main(), Random(0)) == [0.0, 3_600.0, 3_600.25, 3_600.25]


def test_a_loop_in_which_nothing_can_happen_any_more_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.sleep(7.0)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"7\.0"):
        run(main(), Random(0))


def test_ties_are_broken_by_the_seed_and_by_nothing_else() -> None:
    """Pins `_run_once` and `_ready`, which are private to asyncio."""
    first = [run(order_of(20), Random(seed)) for seed in range(5)]
    again = [run(order_of(20), Random(seed)) for seed in range(5)]
    assert first == again
    assert len({tuple(order) for order in first}) == 5
    assert all(sorted(order) == list(range(20)) for order in first)
    assert list(range(20)) not in first, "nothing is shuffled: asyncio has changed inside"


def test_what_is_left_is_cancelled_and_may_clean_up() -> None:
    seen: list[str] = []

    async def left() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            seen.append("cleaned")

    async def main() -> str:
        asyncio.get_running_loop().create_task(left())
        await asyncio.sleep(0.0)
        return "done"

    assert run(main(), Random(0)) == "done" and seen == ["cleaned"]


def test_a_mistake_in_the_main_task_comes_out() -> None:
    async def main() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        run(main(), Random(0))


def test_it_has_no_files_to_wait_for() -> None:
    loop = VirtualLoop(Random(0))
    try:
        assert loop._selector.get_map() == {}  # type: ignore[attr-defined]
        loop.run_until_complete(asyncio.sleep(5.0))
        assert loop.time() == 5.0
    finally:
        loop.close()
