"""`cerberus sim`: what a person reads of a run, of a swarm, and of a run that fails."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cerberus_trader.control.main import app
from cerberus_trader.engine import orders
from cerberus_trader.simulation.swarm import INVARIANTS


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sim", *words])
    return result.exit_code, result.output


def test_one_run_says_what_happened_and_what_held() -> None:
    code, text = call("--seed", "7", "--minutes", "0.2")
    assert code == 0
    assert text.startswith("seed 7, 0.2 virtual minutes")
    assert "held: the ledger sums to exactly zero" in text and "VIOLATED" not in text
    assert text.count("  fault ") > 3
    assert "but not asked, as the clock was stepped" in text


def test_a_run_says_what_it_could_not_be_asked() -> None:
    words = ("--seed", "7", "--minutes", "0.2", "--faults")
    code, text = call(*words, "human_per_minute=0.5")
    assert code == 0
    assert "not asked, as a person traded past" in text and "clock was stepped" not in text
    code, text = call(*words, "busy=0.1")
    assert code == 0 and "held:" in text and "not asked" not in text


def test_a_run_as_data_holds_the_line_that_repeats_it() -> None:
    code, text = call("--seed", "3", "--minutes", "0.1", "--faults", "busy=0.2", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["script"] == "cerberus sim --seed 3 --minutes 0.1 --faults busy=0.2"
    assert found["faults"] == {"busy": 0.2} and found["violations"] == []


def test_a_swarm_sums_up() -> None:
    code, text = call("--runs", "3", "--minutes", "0.1", "--seed", "2", "--json")
    found = json.loads(text)
    assert code == 0 and found["runs"] == 3 and 0 < found["runs_without_orders"] < 3
    code, text = call("--runs", "3", "--minutes", "0.1", "--seed", "2")
    idle = found["runs_without_orders"]
    assert code == 0 and f"runs 3 ({idle} without an order)," in text and "violations 0" in text


def test_what_is_no_fault_is_refused() -> None:
    code, text = call("--faults", "nonsense")
    assert code == 2 and "nonsense" in text
    code, text = call("--faults", "answer_lost=5")
    assert code == 2 and "give 0 to 1." in text


@pytest.mark.parametrize("runs", ["1", "2"])
def test_a_run_without_an_order_is_no_success(runs: str) -> None:
    words = ("--minutes", "0.1", "--faults", "request_lost=1", "--runs", runs)
    code, text = call(*words)
    assert code == 1 and "nothing was traded, so nothing was proved" in text
    assert "held:" not in text and "VIOLATED" not in text
    code, text = call(*words, "--json")
    assert code == 1 and json.loads(text)["orders"] == 0


def test_what_is_checked_is_listed_as_the_documentation_lists_it() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reliability.md").read_text()
    listed = re.findall(r"^\d+\. ", text.partition("compare the venue's ledger")[2], re.MULTILINE)
    assert len(listed) == len(INVARIANTS) == 12
    assert any("instruments had exposure" in words for words in INVARIANTS)


def test_a_run_that_fails_is_made_small_and_ends_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    booked = orders.book_fill

    def forgetful(state, event):  # type: ignore[no-untyped-def]
        state.trade_ids.clear()
        return booked(state, event)

    monkeypatch.setattr(orders, "book_fill", forgetful)
    code, text = call("--seed", "1", "--minutes", "0.5", "--faults", "word_twice")
    assert code == 1
    assert "VIOLATED: " in text and "the smallest run that fails" in text
    assert "cerberus sim --seed 1 --minutes" in text
    code, text = call("--seed", "1", "--runs", "2", "--minutes", "0.5", "--faults", "word_twice")
    assert code == 1
    assert "  cerberus sim --seed 1 --minutes 0.5 --faults word_twice" in text
