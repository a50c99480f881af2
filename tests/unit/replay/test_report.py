"""The page: self-contained, escaped, bounded, with every part linked."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay import report_figures as figures
from cerberus_trader.replay import report_parts as parts
from cerberus_trader.replay.inputs import ReplayRequest
from cerberus_trader.replay.report import script_json, write_report
from cerberus_trader.replay.report_decisions import TRADES_MAX, chosen_decisions
from cerberus_trader.replay.session import ReplayResult, run_replay
from cerberus_trader.replay.tape import Tape
from tests.unit.replay.runs import BARS, LONG, SHORT, signal, write_prices, write_signals

EVIL = signal(3, 25, "sell", quantity=1000)
EVIL["id"] = '"><img src=x onerror=alert(1)>'
EVIL["source"] = "</script><b>&"


class Page(HTMLParser):
    """Collect what a page refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.places: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids.append(found.get("id") or "")
        self.links.append(found.get("href") or "")
        self.sources.append(found.get("src") or "")
        self.places += [found[key] or "" for key in ("data-figure", "data-show") if key in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayResult, str]:
    folder = tmp_path_factory.mktemp("report")
    request = ReplayRequest(
        (write_prices(folder),), write_signals(folder, [LONG, SHORT, EVIL, "broken <b>"]),
        profile="research",
    )  # fmt: skip
    result = run_replay(request)
    result.title = "<script>title</script>"
    write_report(folder / "report.html", result)
    return result, (folder / "report.html").read_text(encoding="utf-8")


def without_library(html: str) -> str:
    """Cut the drawing library out, which is not ours to judge."""
    begin = html.index("<script>/**\n* plotly.js")
    return html[:begin] + html[html.index("</script>", begin) :]


def test_the_page_asks_for_nothing_outside_of_itself(run: tuple[ReplayResult, str]) -> None:
    html = without_library(run[1])
    page = Page(html)
    assert not any(page.sources)
    assert all(link.startswith(("#", "data:,")) for link in page.links if link)
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html and "@import" not in html and "url(" not in html
    assert len(html) < 200_000 < len(run[1])


def test_every_text_of_the_user_is_escaped(run: tuple[ReplayResult, str]) -> None:
    html = without_library(run[1])
    page = Page(html)
    assert "<script>title" not in html and "&lt;script&gt;title" in html
    assert "<img" not in html and "img" not in page.tags
    assert page.tags.count("script") == 2
    assert "</script><b>" not in html and "&lt;img src=x" in html


def test_every_link_and_figure_has_its_place(run: tuple[ReplayResult, str]) -> None:
    result, html = run
    page = Page(without_library(html))
    for link in page.links:
        assert not link.startswith("#") or link[1:] in page.ids
    assert f"#{result.trades[0].decision_id}" in page.links
    (figures,) = re.findall(r'id="figures">(.*?)</script>', html, re.S)
    found = json.loads(figures)
    assert set(page.places) <= set(found)
    assert {"equity", "leverage", "costs", "price-0"} <= set(found)


def test_refusals_and_lifted_limits_are_shown(run: tuple[ReplayResult, str]) -> None:
    html = run[1]
    assert "1 signal line(s) were refused" in html and "the limits are lifted" in html
    assert "Still open at the end" in html and "Nothing tripped" in html


def test_script_data_cannot_end_its_element() -> None:
    text = script_json({"a": "</script><!--&", "b": "\u2028"})
    assert "<" not in text and ">" not in text and "&" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": "</script><!--&", "b": "\u2028"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def lines_of(figure: dict[str, Any]) -> list[int]:
    return [len(trace["x"]) for trace in figure["data"]]


def test_lines_are_bounded_and_keep_their_extremes() -> None:
    rows = 400_000
    bid = np.full(rows, 10_000, dtype=np.int64)
    bid[123_456], bid[345_678] = 1, 20_000
    series = Quotes(np.arange(rows, dtype=np.int64), bid, bid + 1, 2)
    from cerberus_trader.domain.instrument import Instrument

    times, low, high, last = figures.buckets(Tape(Instrument("A"), series))
    assert len(times) == len(last) <= figures.BUCKETS_MAX
    assert (low.min(), high.max()) == (0.01, 200.01)


def test_the_price_picture_shows_entries_exits_and_levels(run: tuple[ReplayResult, str]) -> None:
    result, _ = run
    figure = figures.price_figure(result, result.tapes[0], result.trades)
    traces = {trace["name"]: trace for trace in figure["data"]}
    trade = result.trades[0].trade
    assert traces["long entry"]["y"] == [float(trade.entry_price)]
    assert traces["exit"]["y"] == [float(trade.exit_price)]
    assert traces["stop"]["y"][:2] == [0.09882, 0.09882]
    assert traces["take-profit"]["y"][:2] == [0.10487, 0.10487]
    assert traces["liquidation"]["y"][0] == pytest.approx(float(result.trades[0].liquidation or 0))
    assert "short entry" not in traces
    bottom, top = figure["layout"]["yaxis"]["range"]
    assert bottom < 0.098 and top > 0.106


def test_costs_lead_from_realised_to_net(run: tuple[ReplayResult, str]) -> None:
    result, _ = run
    values = figures.cost_figure(result)["data"][0]["y"]
    assert sum(values[:-1]) == pytest.approx(values[-1], abs=1e-4)
    assert values[-1] == pytest.approx(float(result.summary["final_equity"]) - 10000, abs=1e-4)


def test_decisions_behind_trades_come_first_and_denials_are_examples(
    tmp_path: Path,
) -> None:
    calls = [signal(n, 5 * n, "buy", quantity=100) for n in range(1, 40)]
    request = ReplayRequest(
        (write_prices(tmp_path, BARS * 10),), write_signals(tmp_path, calls), profile="research"
    )
    result = run_replay(request)
    chosen = chosen_decisions(result)
    assert len(result.collector.decisions) == 39
    assert len([item for item in chosen if item.code == "POSITION_SAME_SIDE"]) == 3
    assert TRADES_MAX >= len(result.trades) == 0


@pytest.mark.parametrize(
    ("span", "words"),
    [(5, "5 s"), (180, "3 min"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_are_words(span: int, words: str) -> None:
    assert parts.lasted(span * 10**9) == words


def test_numbers_are_written_for_people() -> None:
    assert parts.figure_text(0.0000123456789) == "0.00001234568"
    assert parts.figure_text(65000.0) == "65000" and parts.figure_text(None) == "–"
    assert parts.money("-1234.567", True) == "-1,234.57"
    assert parts.number("5") == "5" and parts.number("DOGEUSDT") == "DOGEUSDT"
    assert parts.tone(-1) == "loss" and parts.tone(0) == ""
