"""What a head is: how it is declared, what wakes it, what it may see, how it is run."""

from cerberus_trader.heads.base.registry import HeadSpec, head
from cerberus_trader.heads.base.run import HeadRun
from cerberus_trader.heads.base.view import Account, Bar, History, View
from cerberus_trader.heads.base.wake import (
    Wake,
    interval_of,
    on_bar,
    on_level,
    on_quote,
    on_timer,
    on_times,
)

__all__ = [
    "Account", "Bar", "HeadRun", "HeadSpec", "History", "View", "Wake", "head", "interval_of",
    "on_bar", "on_level", "on_quote", "on_timer", "on_times",
]  # fmt: skip
