"""Files find their instruments, companions their prices; what is unclear is refused."""

from pathlib import Path

import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.domain.errors import DataError
from cerberus_trader.instruments import built_in
from cerberus_trader.market.volatility import MinuteSeries, SigmaSeries
from cerberus_trader.replay import inputs
from cerberus_trader.replay.demo_market import make_market
from cerberus_trader.replay.inputs import ReplayRequest

KNOWN = built_in()


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("binance_perp_1000PEPEUSDT_1h_2025.csv.gz", "1000PEPEUSDT"),
        ("hyperliquid_perp_kPEPE_5m.csv", "kPEPE"),
        ("BTCUSDT.npz", "BTCUSDT"),
        ("hyperliquid_perp_BTC_1m.csv", "BTC"),
        ("myDOGEUSDTquotes.csv", "DOGEUSDT"),
    ],
)
def test_a_files_name_tells_its_instrument(name: str, instrument: str) -> None:
    assert inputs.named_by(Path(name), KNOWN) == instrument


def test_an_unknown_instrument_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(DataError, match="names no known instrument") as caught:
        inputs.named_by(Path("prices/apples.csv"), KNOWN)
    assert "no such file" in caught.value.message  # no name would have helped
    assert caught.value.place == "prices/apples.csv" and "DOGEUSDT" in caught.value.fix
    request = ReplayRequest((Path("a.csv"),), instruments=("APPLES",))
    with pytest.raises(DataError, match="'APPLES' names no known"):
        inputs.instrument_names(request, KNOWN)


def test_instruments_are_given_once_per_file_and_differ() -> None:
    files = (Path("a.csv"), Path("b.csv"))
    with pytest.raises(DataError, match="2 price file"):
        inputs.instrument_names(ReplayRequest(files, instruments=("DOGEUSDT",)), KNOWN)
    with pytest.raises(DataError, match="two price files are DOGEUSDT"):
        inputs.instrument_names(ReplayRequest(files, instruments=("DOGEUSDT",) * 2), KNOWN)
    names = inputs.instrument_names(ReplayRequest(files, instruments=("SPOT", "BTC")), KNOWN)
    assert names == ["SPOT", "BTC"]


def test_companions_name_their_instrument_unless_there_is_only_one(tmp_path: Path) -> None:
    assert inputs.companions(("BTC=m=1.csv",), ["BTC", "DOGE"], "--marks") == {
        "BTC": Path("m=1.csv")
    }
    assert inputs.companions(("marks.csv",), ["BTC"], "--marks") == {"BTC": Path("marks.csv")}
    odd = tmp_path / "a=b.csv"
    odd.touch()
    assert inputs.companions((str(odd),), ["BTC"], "--marks") == {"BTC": odd}
    for given, names in ((("m.csv",), ["BTC", "DOGE"]), (("ETH=m.csv",), ["BTC"])):
        with pytest.raises(DataError, match="names no instrument of this replay"):
            inputs.companions(given, names, "--marks")
    with pytest.raises(DataError, match="stands twice"):
        inputs.companions(("BTC=a", "BTC=b"), ["BTC"], "--marks")


def test_volatility_is_that_of_the_series() -> None:
    bars = make_market(1, days=3)["DOGEUSDT"].bars
    sigmas = inputs.Sigmas(bars)
    for row in (0, 20, 40, 800):
        t = int(bars.ts_open[row]) + bars.interval_ns
        assert sigmas.at(t) == (SigmaSeries(bars).at(t), MinuteSeries(bars).at(t))


def test_strategies_lend_their_heads_name_parameters_and_instruments(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[strategies.slow]\nhead = "mock"\nparams = { chance = 1.0 }\n'
        '[strategies.quick]\nhead = "mock"\ninstruments = ["WIFUSDT"]\n'
    )
    settings = load_settings(config, environ={}).settings
    tapes = [inputs.Tape(KNOWN[name], item.bars) for name, item in make_market(1, days=1).items()]
    runs = inputs.head_signals("mock", settings, tapes)
    names = [(run.run.source, run.tape.name) for run in runs]  # type: ignore[attr-defined]
    assert names == [("slow", tape.name) for tape in tapes] + [("quick", "WIFUSDT")]
    assert len(inputs.head_signals(None, settings, tapes)) == 5
    alone = inputs.head_signals("breakout", settings, tapes[:1])
    assert [run.run.source for run in alone] == ["breakout"]  # type: ignore[attr-defined]
