"""The audit: which rows of the journal outlive the rest of their day (K-11).

Everything that a person, a limit or an order did is kept, with the decisions that led to orders.
What goes with its day are denials, repeated signals, and what is measured again and again:
health, silence, funding, equity peaks, day starts.
"""

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.rows import Row

KINDS = ("config", "operator", "retention")
PASSING = (
    f.SignalIgnored,
    f.HealthChanged,
    f.PeakRaised,
    f.DayStarted,
    f.FundingBooked,
    f.FailureCounted,
    f.StrategyScored,
)


def is_audit(row: Row) -> bool:
    """Tell whether the audit keeps a row."""
    if row.kind in KINDS:
        return True
    return any(_kept(fact) for fact in decode_row(row.body, place=f"journal row {row.seq}").facts)


def _kept(fact: f.Fact) -> bool:
    if isinstance(fact, f.SignalJudged):
        return fact.decision.verdict == "approved"
    return not isinstance(fact, PASSING)
