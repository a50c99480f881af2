"""The engine's log: one object a line, context on it, secrets out of it."""

import io
import json
import os
from contextlib import suppress
from typing import Any

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.observe.logs import Secret, bound
from cerberus_trader.runtime import log as module
from cerberus_trader.runtime.log import Log


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.req("P-06.2")
def test_a_line_carries_context_and_no_secret() -> None:
    stream = io.StringIO()
    log = Log("info", "json", stream)
    with bound(trace_id="t1"):
        log.info("sent", api_key="k", key=Secret("s"), token_id="visible")
    log.debug("hidden")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["trace_id"]) == ("sent", "info", "t1")
    assert (line["api_key"], line["key"], line["token_id"]) == ("***", "***", "visible")
    assert line["time"].endswith("Z")


def test_an_alert_says_code_place_and_fix() -> None:
    stream = io.StringIO()
    log = Log("error", "json", stream)
    log.warning("not shown")
    log.alert("stop", JournalError("full.", code="JOURNAL_DISK", place="p", fix="free space."))
    (line,) = lines(stream)
    assert line["alert"] is True and line["code"] == "JOURNAL_DISK" and line["fix"] == "free space."
    assert log.counts == {"warning": 1, "error": 1}


def test_a_stream_that_is_gone_loses_lines_not_the_engine() -> None:
    stream = io.StringIO()
    log = Log("info", "console", stream)
    log.info("here", a=1)
    assert stream.getvalue().rstrip().endswith("info    here a=1")
    stream.close()
    log.info("lost")
    assert log.counts["lost"] == 1


def test_a_pipe_that_nobody_reads_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cerberus run 2>&1 | less` stood still for ever once the pipe was full."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"\n")  # it is full before the first line
    os.set_blocking(write, True)
    with os.fdopen(write, "w") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        patch.setattr(module, "LINES_MAX", 100)
        patch.setattr(module, "CLOSE_S", 0.05)
        log = Log("info", "json")
        log.behind()
        behind = log._behind
        assert behind is not None
        for number in range(2_000):
            log.info("line", number=number, text="x" * 100)
        assert log.counts["lost"] > 0
        behind.close()  # does not wait for ever either
        assert behind._thread.is_alive()
        found, running = b"", True
        os.set_blocking(read, False)
        while running:
            running = behind._thread.is_alive()  # before: what it wrote last is read as well
            behind._thread.join(0.01)
            with suppress(BlockingIOError):
                found += os.read(read, 2**24)
    os.close(read)
    numbers = [json.loads(line)["number"] for line in found.split()]
    assert numbers == sorted(numbers) and len(numbers) + log.counts["lost"] == 2_000


def test_a_pipe_that_is_closed_loses_lines_and_no_stream_at_all_is_written_to_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        log = Log("info", "json")
        log.behind()
        log.info("gone")
        assert log._behind is not None
        log._behind.close()
        assert log.counts["lost"] == 1
        text = io.StringIO()
        patch.setattr("sys.stderr", text)
        other = Log("info", "json")
        other.behind()
        other.info("here")
        assert "here" in text.getvalue()
