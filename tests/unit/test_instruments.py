"""Instruments: the built-in tables are sound, and files are refused with every fault at once."""

from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.instrument import Instrument, check_tiers
from cerberus_trader.instruments import built_in, load_instruments

BINANCE = (
    "DOGEUSDT 1000SHIBUSDT 1000PEPEUSDT 1000BONKUSDT WIFUSDT 1000FLOKIUSDT FARTCOINUSDT PUMPUSDT "
    "PENGUUSDT TRUMPUSDT POPCATUSDT BTCUSDT ETHUSDT"
).split()
HYPERLIQUID = "DOGE kPEPE kSHIB kBONK WIF FARTCOIN BTC".split()


def write(folder: Path, text: str, name: str = "i.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults(*paths: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_instruments(paths)
    return caught.value.faults


def test_the_built_in_instruments_stand_under_the_symbols_of_their_venues() -> None:
    found = built_in()
    by_venue = {
        venue: [name for name, item in found.items() if item.venue == venue]
        for venue in ("binance_usdm", "hyperliquid", "paper")
    }
    assert by_venue == {"binance_usdm": BINANCE, "hyperliquid": HYPERLIQUID, "paper": ["SPOT"]}
    assert all(item.name == name for name, item in found.items())


@pytest.mark.parametrize("instrument", built_in().values(), ids=lambda item: item.name)
def test_each_built_in_instrument_is_sound(instrument: Instrument) -> None:
    check_tiers(instrument.tiers, place=instrument.name)
    assert bool(instrument.tiers) == (instrument.kind == "perpetual")
    assert instrument.quantity_min >= instrument.lot
    assert Decimal(0) < instrument.maker_fee <= instrument.taker_fee
    for before, tier in zip(instrument.tiers, instrument.tiers[1:], strict=False):
        assert tier.rate > before.rate and tier.leverage_max < before.leverage_max
        at = tier.floor
        assert at * before.rate - before.cum == at * tier.rate - tier.cum


def test_fees_and_price_rules_are_those_of_the_venues() -> None:
    found = built_in()
    fees = {i.venue: (i.maker_fee, i.taker_fee) for i in found.values()}
    assert fees["binance_usdm"] == (Decimal("0.0002"), Decimal("0.0005"))
    assert fees["hyperliquid"] == (Decimal("0.00015"), Decimal("0.00045"))
    assert fees["paper"] == (Decimal("0.001"), Decimal("0.001"))
    assert found["kPEPE"].tick_at(Decimal("0.0123456")) == Decimal("0.000001")
    assert found["BTC"].tick_at(Decimal("115008")) == 1
    assert found["FARTCOIN"].tick_at(Decimal("1.2506")) == Decimal("0.0001")
    assert found["DOGEUSDT"].tiers[0].leverage_max == 75
    assert found["1000PEPEUSDT"].tiers[2].cum == Decimal(1070)


def test_a_file_adds_and_replaces_instruments(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[common]\ntaker_fee = 0.0004\n[instruments.DOGEUSDT]\ntick = 0.1\n"
        "[instruments.MYUSDT]\nlot = 0.5\ntaker_fee = 0.0003\n"
        "tiers = [[0, 1000, 0.01, 50, 0], [1000, 5000, 0.02, 25, 10]]\n",
    )
    found = load_instruments([path])
    assert found["DOGEUSDT"].tick == Decimal("0.1") and found["DOGEUSDT"].tiers == ()
    assert found["MYUSDT"].taker_fee == Decimal("0.0003")
    assert found["DOGEUSDT"].taker_fee == Decimal("0.0004")
    assert found["MYUSDT"].tiers[1].cum == 10
    assert found["BTCUSDT"] == built_in()["BTCUSDT"]


def test_market_hours_are_read_from_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[common]\nsessions = ["mon-fri 14:30-21:00"]\n[instruments.X]\nlot = 1\n'
        '[instruments.Y]\nsessions = ["sun 22:00-24:00", "mon 00:00-01:00"]\n',
    )
    found = load_instruments([path])
    assert found["X"].sessions == ("mon-fri 14:30-21:00",)
    assert found["Y"].sessions == ("sun 22:00-24:00", "mon 00:00-01:00")
    assert found["DOGEUSDT"].sessions == ()


def test_every_fault_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    one = write(
        tmp_path,
        '[instruments.X]\ntiks = 1\ntiers = [[0, 10, "a", 5, 0], [1, 2]]\n'
        '[instruments.W]\nkind = "option"\n',
        "one.toml",
    )
    found = faults(one, tmp_path / "none.toml")
    assert (
        found[0] == f"{one}: instruments.X.tiers[1]: must be [floor, cap, rate, leverage_max, cum]"
    )
    text = "\n".join(found)
    assert "instruments.X.tiers.0.rate = 'a': must be a number" in text
    assert "instruments.X.tiks: there is no such key; did you mean instruments.X.tick?" in text
    assert "instruments.W.kind = 'option': must be one of perpetual, spot" in text
    assert "none.toml: cannot be read" in text
    assert len(found) == 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("tiers = [[0, 10, 0.01, 50, 0], [10, 20, 0.02, 25, 5]]", "does not continue"),
        ("tiers = [[0, 10, 0.01, 50, 0], [11, 20, 0.02, 25, 0.11]]", "does not continue"),
        ("tiers = [[5, 10, 0.01, 50, 0]]", "does not continue"),
        ("tiers = [[0, 10, 1.5, 50, 0]]", "out of range"),
        ("tick = 0", "tick and lot must be above 0"),
        ('sessions = ["mon 9-17"]', "'mon 9-17' is no session. write it like mon-fri 14:30-21:00"),
        ('sessions = ["sun 22:00-02:00"]', "is no session"),
        ('sessions = "mon 09:00-17:00"', "sessions = 'mon 09:00-17:00'"),
        ("sessions = [5]", "sessions[0] = 5: must be text"),
        ("taker_fee = 5", "must be a fraction"),
        ("quantity_min = -1", "must be at least 0"),
        ("funding_interval_hours = 0", "must be at least 1"),
        ('kind = "spot"\ntiers = [[0, 10, 0.01, 50, 0]]', "must be empty for spot"),
    ],
)
def test_what_no_venue_has_is_refused(tmp_path: Path, body: str, said: str) -> None:
    found = faults(write(tmp_path, f"[instruments.X]\n{body}\n"))
    assert len(found) == 1 and said in found[0] and "instruments.X" in found[0]


def test_two_files_may_not_name_the_same_instrument(tmp_path: Path) -> None:
    text = "[instruments.X]\nlot = 1\n"
    one, two = write(tmp_path, text, "one.toml"), write(tmp_path, text, "two.toml")
    assert faults(one, two) == [f"{two}: instruments.X: stands in {one} too"]


def test_tables_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    assert "must be a table" in faults(write(tmp_path, "instruments = 5\n"))[0]
    assert "must be a table" in faults(write(tmp_path, "[instruments]\nX = 5\n"))[0]
    assert "no such key" in faults(write(tmp_path, "[instrument.X]\nlot = 1\n"))[0]
