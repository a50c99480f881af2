"""The engine's log: one object a line, context on it, secrets out of it."""

import io
import json
from typing import Any

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.observe.logs import Secret, bound
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
