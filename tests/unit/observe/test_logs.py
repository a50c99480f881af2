"""Logs: structured lines, one trace id per trade, errors as data, no secrets."""

import asyncio
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog

from cerberus_trader.domain.errors import DataError, JournalError
from cerberus_trader.domain.secret_names import HIDDEN, is_secret_name
from cerberus_trader.observe.logs import (
    Secret,
    bound,
    configure,
    context,
    error_fields,
    logger,
    redact,
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    target = io.StringIO()
    configure("info", "json", target)
    return target


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.req("C-18.4", "P-01.4", "T-11.4")
def test_a_line_is_one_json_object_with_time_level_and_fields(stream: io.StringIO) -> None:
    logger("runner").info("order sent", quantity=Decimal("1.50"), instrument="DOGEUSDT")
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "order sent",
        "level": "info",
        "logger": "runner",
        "quantity": "1.50",
        "instrument": "DOGEUSDT",
    }


@pytest.mark.req("C-18.4")
def test_the_level_is_configurable(stream: io.StringIO) -> None:
    logger("a").debug("unseen")
    assert stream.getvalue() == ""
    configure("error", "json", stream)
    logger("a").warning("unseen")
    logger("a").error("seen")
    assert [line["event"] for line in lines(stream)] == ["seen"]


def test_the_console_form_is_for_people() -> None:
    target = io.StringIO()
    configure("info", "console", target)
    logger("a").info("hello", count=3)
    assert "hello" in target.getvalue() and "count=3" in target.getvalue()
    assert not target.getvalue().startswith("{")


@pytest.mark.req("P-06.2", "T-11.4")
async def test_one_trace_id_stands_on_all_lines_of_a_trade_and_on_no_other(
    stream: io.StringIO,
) -> None:
    async def fill() -> None:
        await asyncio.sleep(0)
        logger("gate").info("fill")

    async def trade(trace_id: str) -> None:
        with bound(trace_id=trace_id, strategy="momentum"):
            logger("intake").info("signal")
            await asyncio.create_task(fill())

    await asyncio.gather(trade("t1"), trade("t2"))
    logger("x").info("outside")
    found = [(line["event"], line.get("trace_id")) for line in lines(stream)]
    assert sorted(found, key=str) == [
        ("fill", "t1"),
        ("fill", "t2"),
        ("outside", None),
        ("signal", "t1"),
        ("signal", "t2"),
    ]
    assert context() == {}


def test_inner_fields_join_outer_ones(stream: io.StringIO) -> None:
    with bound(trace_id="t1"), bound(order="o1"):
        logger("a").info("both")
    assert {"trace_id": "t1", "order": "o1"}.items() <= lines(stream)[0].items()


@pytest.mark.req("C-16.4")
def test_an_error_is_written_as_its_fields(stream: io.StringIO) -> None:
    error = DataError("too old.", code="DATA_STALE", place="signals.jsonl:3", fix="send sooner.")
    logger("a").error("refused", error=error)
    assert lines(stream)[0]["error"] == {
        "error": "DataError",
        "code": "DATA_STALE",
        "category": "data",
        "severity": "low",
        "message": "too old.",
        "place": "signals.jsonl:3",
        "fix": "send sooner.",
        "recovery": error.recovery,
        "should_alert": False,
    }


@pytest.mark.req("C-16.4")
def test_the_error_being_handled_is_written_too(stream: io.StringIO) -> None:
    try:
        raise JournalError("locked.")
    except JournalError:
        logger("a").error("no start", exc_info=True)
    assert lines(stream)[0]["error"]["should_alert"] is True
    assert error_fields(KeyError("k")) == {"error": "KeyError", "message": "'k'"}
    try:
        {}["k"]
    except KeyError as error:
        assert error_fields(error)["place"].startswith("test_logs.py:")


def test_a_secret_never_prints() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {[secret]} {secret!s}"
    assert "hunter2" not in shown and secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") and secret != Secret("other") and secret != "hunter2"
    for encode in (pickle.dumps, json.dumps, msgspec.json.encode, hash):
        with pytest.raises(TypeError):
            encode(secret)


class Keys(msgspec.Struct):
    api_key: str
    key_name: str


def test_secrets_are_hidden_by_type_and_by_name(stream: io.StringIO) -> None:
    logger("a").info(
        "start",
        password="hunter2",
        anything=Secret("hunter2"),
        deep={"list": [Secret("hunter2"), {"API-Key": "hunter2", "fine": 1}]},
        keys=Keys("hunter2", "futures"),
    )
    text = stream.getvalue()
    assert "hunter2" not in text and text.count(HIDDEN) == 5
    assert '"key_name":"futures"' in text and '"fine":1' in text


def test_names_of_secrets_are_not_secrets() -> None:
    assert is_secret_name("X-Auth-Token") and is_secret_name("privateKey")
    assert not is_secret_name("secret_name") and not is_secret_name("token_id")
    assert not is_secret_name("instrument")


def test_deep_values_end() -> None:
    value: Any = "end"
    for _ in range(20):
        value = [value]
    assert "…" in str(redact(value))


def test_structlog_is_not_imported_with_the_module() -> None:
    code = "import sys, cerberus_trader.observe.logs; print('structlog' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
