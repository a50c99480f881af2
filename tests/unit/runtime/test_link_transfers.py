"""The link: money that was moved at the venue, and the first look while it moves."""

from cerberus_trader.domain.events import AccountReport, Anomaly, TransferReport
from cerberus_trader.venues.base import AccountView
from tests.kit import NOON, D
from tests.unit.runtime.test_link import Line, virtually


def test_a_transfer_whose_amount_changed_is_an_anomaly_and_one_that_was_booked_is_passed() -> None:
    async def main() -> None:
        line = Line()
        said = TransferReport(0, "main", D(-50), "m1")
        line.client.on_word(said)
        line.client.on_word(TransferReport(0, "main", D(-51), "m1"))
        (conflict,) = line.of(Anomaly)
        assert (conflict.kind, conflict.place) == ("trade_conflict", "transfer m1")
        assert line.of(TransferReport) == [said]
        again = Line()
        again.bench.state.trade_ids["main/transfer m1"] = 1
        again.client.replies["bookings"] = [said]
        await again.link.catch_up()
        assert not again.events

    virtually(main())


def test_the_first_look_is_taken_again_when_money_moves_under_it() -> None:
    """The opening balance is whatever is not booked: with a booking in doubt it would be wrong."""

    async def main() -> None:
        line = Line()
        line.client.replies["account"] = lambda: (
            line.client.on_word(TransferReport(0, "main", D(-50), f"m{len(line.events)}"))
            or AccountView(NOON, (), (), D(950))
        )
        assert not await line.link._look("start")
        assert len(line.of(TransferReport)) == 1 and not line.of(AccountReport)
        line.bench.state.agreed["main"] = NOON
        assert await line.link._look("start")
        line.client.replies["account"] = AccountView(NOON, (), (), D(900))
        del line.bench.state.agreed["main"]
        assert await line.link._look("start") and len(line.of(AccountReport)) == 2

    virtually(main())


def test_a_look_tells_no_balance_where_money_moved_under_it() -> None:
    """Of the cash that came with it nobody knows whether it holds what was booked meanwhile."""

    async def main() -> None:
        line = Line()
        line.bench.state.agreed["main"] = NOON
        line.client.replies["account"] = lambda: (
            line.client.on_word(TransferReport(0, "main", D(-50), "m1"))
            or AccountView(NOON, (), (), D(950))
        )
        assert await line.link._look("timer")
        line.client.replies["account"] = AccountView(NOON, (), (), D(900))
        assert await line.link._look("timer")
        assert [report.balance for report in line.of(AccountReport)] == [None, D(900)]

    virtually(main())
