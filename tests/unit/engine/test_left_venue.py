"""From a venue outside to paper: nothing waits for that venue's word any more."""

from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, ConfigEvent, LinkEvent, OperatorEvent
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.domain.settings import Settings, Venue
from cerberus_trader.engine import books
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.state import State, state_hash
from tests.kit import ITEMS, SECOND, Bench, D, changed, decision, of, settings, submitted

OUTSIDE = changed(
    settings(), venues={"x": Venue(kind="remote", environment="paper", endpoint="unix:/v.sock")}
)


def reload(bench: Bench, chosen: Settings) -> Any:
    return bench.take(ConfigEvent(bench.now, chosen, "c2", ITEMS, "engine"))


def connected() -> Bench:
    """Return an engine whose account a venue outside keeps, and agrees on."""
    bench = Bench(OUTSIDE)
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    bench.take(AccountReport(bench.now, "main", bench.now, "start", (), (), D(10_000)))
    return bench


def test_on_paper_an_account_that_was_left_unreconciled_is_traded_again() -> None:
    bench = connected()
    bench.take(LinkEvent(bench.now, "main", "down", "the process was killed"))
    assert decision(bench.signal()).code == "VENUE_UNRECONCILED"
    assert of(reload(bench, settings()), f.VenueLeft) == [f.VenueLeft("main")]
    assert bench.state.unreconciled == bench.state.agreed == {}
    assert submitted(bench.signal())


def test_on_paper_bookings_are_forgotten_as_they_were_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(books, "TRADES_MAX", 4)
    bench = connected()
    reload(bench, settings())
    for _ in range(6):
        bench.now += SECOND
        bench.open()
        bench.close("101")
    assert len(bench.state.trade_ids) == 4


def test_on_paper_money_is_moved_by_hand_again() -> None:
    bench = connected()
    reload(bench, settings())
    event = OperatorEvent(bench.now, "deposit", "ann", amount=D(50), authorised=True)
    assert of(bench.take(event), f.CashMoved)


def test_what_the_venue_was_suspected_of_ends_with_it() -> None:
    bench = connected()
    bench.now += 60 * SECOND
    look = AccountReport(bench.now, "main", bench.now, "timer", (), (), D(9_000))
    bench.take(look)
    assert list(bench.state.suspects) == ["main/balance main"]
    reload(bench, settings())
    assert bench.state.suspects == {} == bench.state.suspected_ns


def test_a_change_to_paper_folds_from_the_journal() -> None:
    bench = connected()
    reload(bench, settings())
    folded = State()
    for event, facts in bench.rows:
        row = decode_row(encode_row(event, facts), place="row")
        advance(folded, row.event)
        for fact in row.facts:
            apply(folded, row.event, fact)
    assert state_hash(folded) == state_hash(bench.state)


@pytest.mark.parametrize("after", [OUTSIDE, changed(OUTSIDE, stage="test")])
def test_a_venue_that_stays_is_waited_for(after: Settings) -> None:
    bench = connected()
    assert not of(reload(bench, after), f.VenueLeft) and bench.state.agreed


def test_with_anything_open_nothing_is_let_go() -> None:
    bench = connected()
    bench.open()
    assert not of(reload(bench, settings()), f.VenueLeft) and bench.state.agreed
    entering = connected()
    entering.signal()
    assert not of(reload(entering, settings()), f.VenueLeft)


def test_an_account_that_was_always_on_paper_leaves_nothing() -> None:
    bench = Bench()
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    assert not of(reload(bench, OUTSIDE), f.VenueLeft)
    assert bench.state.unreconciled
