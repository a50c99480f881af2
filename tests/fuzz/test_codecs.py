"""Hostile bytes into every parser: only the project's own errors come out, nothing absurd gets in.

`CERBERUS_FUZZ` sets how many inputs each parser gets; `scripts/reliability.py` gives a million.
"""

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import CerberusError, DataError
from cerberus_trader.runtime.frames import Authorise, Operate, encode
from tests.fuzz.codecs import Codec, Insane, attack, sane, workspace
from tests.fuzz.parsers import TOML, all_codecs

INPUTS = int(os.environ.get("CERBERUS_FUZZ", "1000"))
with workspace() as nowhere:
    NAMES = list(all_codecs(nowhere))

HUGE = b"1" * 400
ONCE = [
    ("price line", b'{"instrument":"COIN","price":100,"ts_s":"NaN"}'),
    ("price line", b'{"instrument":"COIN","price":100,"ts_ns":-' + HUGE + b"}"),
    ("price line", b'{"instrument":"COIN","price":100,"ts":"1111-11-11"}'),
    ("environment", b"CERBERUS_A\xa5B__C=1"),
    ("environment", b"CERBERUS_STRATEGIES__A\xa5__HEAD=x"),
    ("environment", b"CERBERUS_SIZING__METHODS=" + b"[" * 3000),
    ("config JSON", b'{"\\ud800": 1}'),
    ("config JSON", b'{"account": {"currency": "\\ud800"}}'),
    ("config TOML", TOML[0] + b"other = " + HUGE),
    ("config TOML", b"[risk]\nvolatility_halt = " + HUGE),
    ("control frames", encode(Operate("modify", "t", "r", "x", Decimal("NaN")))),
    ("control frames", encode(Authorise("deposit", "x", "t", "r", Decimal("Infinity")))),
    ("journal row", b'[1,["signal",1,["s\xff"]],[]]'),
    ("journal row", b'[1,["signal",1,' + b"[" * 3000 + b"]"),
    ("snapshot", b'{"engine_id":"\xff"}'),
    ("snapshot", b'{"instruments":{"A":{"name":"A","tick":"NaN"}}}'),
    ("tokens", b'[{"id":"\xff"}]'),
]


@pytest.fixture(scope="module")
def codecs() -> Iterator[dict[str, Codec]]:
    with workspace() as folder:
        yield all_codecs(folder)


@pytest.mark.parametrize("name", NAMES)
def test_only_errors_of_our_own_come_out(codecs: dict[str, Codec], name: str) -> None:
    _, broken = attack(codecs[name], 0, INPUTS)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_well_formed_is_taken(codecs: dict[str, Codec], name: str) -> None:
    codec = codecs[name]
    for data in codec.seeds:
        found = codec.read(codec.mend(data))
        if not codec.trusted:
            sane(found)


@pytest.mark.parametrize(("name", "data"), ONCE, ids=[name for name, _ in ONCE])
def test_what_once_escaped_is_refused(codecs: dict[str, Codec], name: str, data: bytes) -> None:
    with pytest.raises(CerberusError):
        codecs[name].read(codecs[name].mend(data))


@pytest.mark.parametrize("data", [b'{"p":"NaN"}', b'{"p\xff":"1"}', b'{"p":"1e-99"}', b"[" * 3000])
def test_best_prices_that_make_no_sense_are_none(codecs: dict[str, Codec], data: bytes) -> None:
    assert codecs["trailing stops"].read(data) == {}


def test_an_error_of_another_kind_and_an_absurd_value_are_noticed(tmp_path: Path) -> None:
    def careless(data: bytes) -> float:
        return float(data or b"x")

    _, broken = attack(Codec([b"1.5", b"NaN", b"1e9"], careless), 0, 300)
    assert any(words.startswith("ValueError") for words in broken)
    assert any(words.startswith("Insane") for words in broken)
    with pytest.raises(Insane):
        sane({"a": (1, 2**70)})
    with pytest.raises(DataError):
        all_codecs(tmp_path)["faults option"].read(b"nothing=1")
