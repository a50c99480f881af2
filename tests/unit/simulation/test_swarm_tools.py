"""The swarm's tools: reading faults, summing runs, making a failing run small."""

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.engine import orders
from cerberus_trader.simulation import swarm, world
from cerberus_trader.simulation.faults import HIGH, Faults, draw, drawn, without
from cerberus_trader.simulation.swarm import Tally, parse_faults, run_many, script_of, shrink
from cerberus_trader.simulation.world import Result


def test_faults_are_read_by_name_with_a_rate_or_at_their_highest() -> None:
    found = parse_faults(" answer_lost=0.25, word_twice ,,latency_s=0")
    assert found == Faults(answer_lost=0.25, word_twice=HIGH.word_twice, latency_s=0.0)
    assert parse_faults("") == Faults()
    found = parse_faults("cut_off=1,latency_s=3,crashes_per_minute=60")
    assert found == Faults(cut_off=1.0, latency_s=3.0, crashes_per_minute=60.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [("nonsense=1", "nonsense"), ("busy=often", "busy"), ("busy=-1", "busy"), ("busy=nan", "busy"),
     ("busy=1e9", "busy"), ("busy=inf", "busy"), ("answer_lost=5", "answer_lost"),
     ("varied=1.01", "varied"), ("crashes_per_minute=1e5", "crashes_per_minute")],
)  # fmt: skip
def test_what_is_no_fault_or_no_rate_is_refused(text: str, named: str) -> None:
    with pytest.raises(DataError, match=named) as caught:
        parse_faults(text)
    assert caught.value.fix


def test_a_seed_draws_the_same_faults_and_another_one_others() -> None:
    assert draw(3) == draw(3) != draw(4)
    assert swarm.faults_of(3, None) == draw(3)
    assert swarm.faults_of(3, "busy=0.5") == Faults(busy=0.5)
    assert set(drawn(draw(3, ("busy", "garbage")))) == {"busy", "garbage"}
    for seed in range(50):
        for name, rate in drawn(draw(seed)).items():
            assert 0.0 < rate <= getattr(HIGH, name)
    assert len({tuple(drawn(draw(seed))) for seed in range(50)}) == 50


def test_the_line_that_runs_it_again_gives_the_same_run() -> None:
    faults = draw(9, ("word_twice", "partial"))
    line = script_of(9, drawn(faults), 0.25)
    words = line.split()
    assert words[:3] == ["cerberus", "sim", "--seed"]
    assert parse_faults(words[words.index("--faults") + 1]) == faults
    assert without(faults, "partial").partial == 0.0
    kind = script_of(1, {}, 2.0)
    assert parse_faults(kind.split("--faults ")[1]) == Faults(latency_s=HIGH.latency_s)


def test_runs_are_summed_and_failing_seeds_named() -> None:
    tally = Tally(failing=[])
    good = Result(1, {}, 1.0, (), 2, 1, 7, 3, 4, 5, 6, "t")
    bad = Result(2, {}, 1.0, ("x", "y"), 2, 1, 7, 3, 4, 5, 6, "t")
    tally.add(good)
    tally.add(bad)
    assert (tally.runs, tally.crashes, tally.sync_crashes, tally.orders) == (2, 4, 2, 6)
    assert (tally.fills, tally.rows, tally.violations, tally.failing) == (8, 10, 2, [2])


def test_one_process_and_two_find_the_same() -> None:
    seen: list[int] = []
    alone = run_many(range(4), 0.05, 1, lambda result, tally: seen.append(result.seed))
    both = run_many(range(4), 0.05, 2, lambda result, tally: seen.append(result.seed))
    assert seen == [0, 1, 2, 3] * 2
    assert (alone.rows, alone.orders, alone.fills) == (both.rows, both.orders, both.fills)
    assert alone.runs == 4 and alone.rows > 0


def test_a_failing_run_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a mistake in the engine: it forgets its fills, so that one heard twice counts twice."""

    def forgetful(state, event):  # type: ignore[no-untyped-def]
        state.trade_ids.clear()
        return booked(state, event)

    booked = orders.book_fill
    monkeypatch.setattr(orders, "book_fill", forgetful)
    faults = Faults(word_twice=0.3, price_jump=0.01, busy=0.1, sync_s=0.01)
    said: list[str] = []
    assert world.simulate(1, minutes=1.0, faults=faults).violations
    small = shrink(1, faults, 1.0, said.append)
    assert small.violations
    assert "busy" not in small.faults and "sync_s" not in small.faults
    assert small.minutes < 1.0 and any("fails within" in words for words in said)
    found = swarm.report(small)
    words = found["script"].split()
    again = world.simulate(
        1, minutes=float(words[words.index("--minutes") + 1]),
        faults=parse_faults(words[words.index("--faults") + 1]),
    )  # fmt: skip
    assert again.violations == small.violations


def test_the_shrinking_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    bad = Result(1, {}, 8.0, ("always",), 0, 0, 0, 0, 0, 0, 0, "")

    def simulate(seed: int, *, minutes: float, faults: Faults) -> Result:
        runs.append(1)
        return bad

    monkeypatch.setattr(swarm, "simulate", simulate)
    shrink(1, HIGH, 1e30, lambda words: None)
    assert 30 < len(runs) <= swarm.SHRINK_RUNS + len(Faults.__struct_fields__) + 2


def test_a_run_that_does_not_fail_is_given_back_as_it_is() -> None:
    result = shrink(2, Faults(), 0.05, lambda words: None)
    assert result.violations == ()
