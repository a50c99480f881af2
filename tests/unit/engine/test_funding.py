"""Funding: booked once, apart from fills of the same number, also after its position has closed."""

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FundingReport
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.state import ADOPTED, equity
from tests.kit import Bench, D, of, settings


def pay(bench: Bench, amount: str, name: str = "p1") -> Step:
    """Let the venue tell of a payment."""
    return bench.take(
        FundingReport(bench.now, "main", "COIN", D("0.001"), D(100), D(amount), D(50), (), name)
    )  # fmt: skip


def test_a_payment_that_has_the_number_of_a_fill_is_booked() -> None:
    bench = Bench()
    bench.open()
    (number,) = bench.state.trade_ids
    before = bench.state.balance
    assert of(pay(bench, "2", number.removeprefix("main/")), f.FundingBooked)
    assert bench.state.balance == before - 2 and bench.state.counters.funding == D(2)


def test_a_payment_told_after_its_position_closed_is_the_account_s_and_counts_once() -> None:
    bench = Bench()
    bench.open()
    bench.close("100")
    before = bench.state.balance
    (booked,) = of(pay(bench, "2"), f.FundingBooked)
    assert booked.position is None and not pay(bench, "2").facts
    assert bench.state.balance == before - 2 == equity(bench.state)
    assert bench.state.strategies[ADOPTED].booked == D(-2)
    assert not pay(bench, "2", "").facts, "one without a name could come twice"


def test_a_late_payment_may_reach_the_loss_of_the_day() -> None:
    bench = Bench(settings(breaker={"day_loss": D("0.05")}))
    bench.open()
    bench.close("100")
    step = pay(bench, "600")
    conditions = [(fact.condition, fact.scope) for fact in of(step, f.BreakerTripped)]
    assert conditions == [("day_loss", ""), ("strategy_day_loss", ADOPTED)]
    assert of(pay(bench, "-2000", "p2"), f.PeakRaised)
