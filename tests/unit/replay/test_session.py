"""Whole replays from files: predefined prices and signals give fills known by hand."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.replay.inputs import ReplayRequest
from cerberus_trader.replay.session import ReplayResult, run_replay
from tests.unit.replay.runs import BARS, LONG, SHORT, ns, signal, write_prices, write_signals

D = Decimal


def request(folder: Path, signals: list, **more: object) -> ReplayRequest:
    prices, lines = write_prices(folder), write_signals(folder, signals)
    return ReplayRequest((prices,), lines, profile="research", **more)  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> tuple[ReplayResult, Path]:
    out = tmp_path / "run"
    return run_replay(request(tmp_path, [LONG, SHORT], out=out)), out


@pytest.mark.req("P-25.1", "E-2.2.1", "E-8.2.3", "E-13.2.1", "C-19.2", "D-09.5", "C-17.2")
def test_a_predefined_csv_of_prices_and_signals_gives_the_fills_known_by_hand(
    run: tuple[ReplayResult, Path],
) -> None:
    result, _ = run
    entry, profit, short = [fill.report for fill in result.collector.fills]
    # judged on the close at 00:05, filled at the next open 50 ms later: 0.10080 + 2 bps, up
    assert (entry.ts_ns, entry.price, entry.reason) == (ns(10), D("0.10083"), "entry")
    # 4 % above the fill, rounded away; the bar's high passes it; 2 bps and the tick against us
    assert (profit.price, profit.reason) == (D("0.10484"), "take_profit")
    assert profit.ts_ns == ns(15) - 1
    # 0.10320 - 2 bps, down
    assert (short.ts_ns, short.price, short.side) == (ns(20), D("0.10317"), -1)
    assert result.trades[0].trade.pnl == D("4.01") - D("0.0504150") - D("0.0524200")


@pytest.mark.req("C-10.3")
def test_results_of_trades_update_positions_and_equity(run: tuple[ReplayResult, Path]) -> None:
    result, _ = run
    found, state = result.summary, result.state
    assert (found["fills"], found["trades"], found["wins"], found["open_positions"]) == (3, 1, 1, 1)
    position = next(iter(state.positions.values()))
    assert (position.quantity, position.sign) == (D(1000), -1)
    assert D(found["unrealised_pnl"]) == 1000 * (D("0.10317") - D("0.09890"))
    assert D(found["final_equity"]) == (
        10000 + D(found["realised_pnl"]) - D(found["fees"]) - D(found["funding"])
        + D(found["unrealised_pnl"])
    )  # fmt: skip
    assert result.equity[-1] == pytest.approx(float(found["final_equity"]))
    assert result.equity[0] == 10000


@pytest.mark.req("E-7.1.3")
def test_every_order_names_the_signal_that_caused_it(run: tuple[ReplayResult, Path]) -> None:
    result, out = run
    lines = [json.loads(line) for line in (out / "decisions.jsonl").read_text().splitlines()]
    caused = {line["decision"]["order_id"]: line["signal"]["id"] for line in lines}
    entries = [fill.report for fill in result.collector.fills if fill.report.reason == "entry"]
    assert [caused[fill.order_id] for fill in entries] == ["s1", "s2"]
    assert result.trades[0].trade.signal_id == "s1"
    assert result.trades[0].decision_id == lines[0]["decision"]["id"]


def test_the_folder_holds_every_file_and_fills_are_exact(run: tuple[ReplayResult, Path]) -> None:
    result, out = run
    names = {path.name for path in out.iterdir()}
    assert {
        "summary.json",
        "fills.csv",
        "decisions.jsonl",
        "report.html",
        "journal.db",
        "views.db",
    } <= names
    assert json.loads((out / "summary.json").read_text()) == result.summary
    rows = list(csv.DictReader((out / "fills.csv").read_text().splitlines()))
    assert [row["reason"] for row in rows] == ["entry", "take_profit", "entry"]
    assert rows[1] == {
        "ts_ns": str(ns(15) - 1), "instrument": "DOGEUSDT",
        "order_id": rows[0]["order_id"][:-1] + "t", "position_id": rows[0]["order_id"],
        "side": "sell", "quantity": "1000", "price": "0.10484", "fee": "0.05242",
        "liquidity": "taker", "reason": "take_profit",
    }  # fmt: skip


def test_searching_visiting_and_repeating_agree(tmp_path: Path) -> None:
    hashes = {
        run_replay(request(tmp_path, [LONG, SHORT], reference=reference)).summary["state_hash"]
        for reference in (False, True, False)
    }
    assert len(hashes) == 1


def test_what_is_open_is_closed_at_the_end_where_asked(tmp_path: Path) -> None:
    result = run_replay(request(tmp_path, [LONG, SHORT], close_at_end=True))
    last = result.collector.fills[-1].report
    assert (last.reason, last.ts_ns) == ("end_of_data", ns(30))
    assert last.price == D("0.09892")  # the last close, 2 bps and the tick against us
    assert result.summary["open_positions"] == 0 and result.summary["trades"] == 2


def test_a_broken_line_is_refused_and_the_rest_runs(tmp_path: Path) -> None:
    result = run_replay(request(tmp_path, [LONG, '{"id": broken', SHORT, LONG]))
    assert result.summary["refused"] == 1 and result.summary["repeated"] == 1
    assert "signals.jsonl:2" in str(result.refusals[0])
    assert result.summary["fills"] == 3


def test_companions_reach_the_engine(tmp_path: Path) -> None:
    funding = tmp_path / "funding.csv"
    funding.write_text(f"ts_ns,funding_rate\n{ns(12)},0.001\n{ns(29)},0.002\n")
    marks = tmp_path / "marks.csv"
    marks.write_text(f"ts_ns,price\n{ns(1)},0.2\n")
    base = request(tmp_path, [SHORT])
    paid = run_replay(ReplayRequest(base.prices, base.signals, profile="research",
                                    funding=(f"DOGEUSDT={funding}",)))  # fmt: skip
    # a short receives 0.002 of its notional at the open before, rounded against us
    assert D(paid.summary["funding"]) == -(1000 * D("0.09850") * D("0.002"))
    marked = run_replay(ReplayRequest(base.prices, base.signals, profile="research",
                                      marks=(str(marks),)))  # fmt: skip
    assert marked.summary["liquidations"] == 0  # one mark, before the entry: tested nowhere
    assert marked.tapes[0].marks is not None


def test_a_head_runs_and_is_proved_not_to_look_ahead(tmp_path: Path) -> None:
    head = tmp_path / "dip.py"
    head.write_text(
        "from cerberus_trader.heads.base import head, on_bar\n"
        '@head("dip", wakes=on_bar("5m"))\n'
        "def dip(view, config):\n"
        "    if view.bar.close < view.bar.open:\n"
        "        yield view.buy(0.7, stop_loss_pct=5)\n"
    )
    asked = ReplayRequest((write_prices(tmp_path),), head=str(head), check_lookahead=True)
    found = run_replay(asked).summary
    assert found["signals"] == 2 and found["lookahead"]["faults"] == []
    assert found["lookahead"]["signals"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signals": None}, "there are no signals"),
        ({"head": "breakout"}, "a file or from a head"),
        ({"prices": ()}, "there are no prices"),
        ({"check_lookahead": True}, "cannot be woken again"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, change: dict, words: str) -> None:
    given = request(tmp_path, [LONG])
    fields = {name: getattr(given, name) for name in ("prices", "signals", "profile")}
    with pytest.raises(DataError, match=words):
        run_replay(ReplayRequest(**{**fields, **change}))


def test_an_occupied_folder_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no former run"):
        run_replay(ReplayRequest((tmp_path / "absent.csv",), out=out))
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_progress_ends_and_never_leaves_its_bounds(tmp_path: Path) -> None:
    bars = BARS * 50
    prices = write_prices(tmp_path, bars)
    calls = [signal(n, 5 * n, "buy" if n % 2 else "sell", quantity=100) for n in range(1, 290)]
    seen: list[float] = []
    run_replay(
        ReplayRequest((prices,), write_signals(tmp_path, calls), profile="research"), seen.append
    )
    assert seen and seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1


def test_a_breaker_that_stays_open_is_said(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[breaker]\nlosses_max = 1\n[sizing]\nmethods = ['balance']\n")
    falls = [("0.10000", "0.10010", "0.09990", "0.10000")] * 3
    falls += [("0.10000", "0.10000", "0.09000", "0.09100")] * 2
    ask = signal(1, 10, "buy", stop_loss_pct=2)
    given = ReplayRequest((write_prices(tmp_path, falls),), write_signals(tmp_path, [ask]),
                          config=config)  # fmt: skip
    result = run_replay(given)
    assert [trip["condition"] for trip in result.summary["breaker_trips"]] == ["losses"]
    assert len(result.notes) == 1 and "(losses) tripped on 2025-03-01 00:19" in result.notes[0]
