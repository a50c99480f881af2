"""Clocks: stamps never run backwards, and a file's time stands until it is moved."""

import time

import pytest

from cerberus_trader.runtime.clock import FileClock, WallClock


def test_the_wall_never_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = WallClock(50)
    monkeypatch.setattr(time, "time_ns", lambda: 40)
    assert clock.now_ns() == 50
    monkeypatch.setattr(time, "time_ns", lambda: 60)
    assert clock.now_ns() == 60
    assert clock.advance(55) == 60 and clock.advance(99) == 99 == clock.now_ns()


def test_a_files_time_moves_with_the_file_only() -> None:
    clock = FileClock(10)
    assert clock.now_ns() == 10
    assert clock.advance(20) == 20 and clock.advance(5) == 20 == clock.now_ns()
