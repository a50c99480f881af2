"""What the process tests share: nothing that one of them started outlives it."""

from collections.abc import Iterator

import pytest

from tests.process.live import Live
from tests.process.outside import Outside


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Kill what a test that failed has left running, also a stopped process, and reap it.

    Else its open files and its process would fail another test of the same worker.
    """
    yield
    for started in (*Live.started, *Outside.started):
        started.kill()
    Live.started.clear()
    Outside.started.clear()
