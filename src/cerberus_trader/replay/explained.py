"""The decisions of a replay in words: one document per line, with the signal that caused it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cerberus_trader.domain.decision import Decision
from cerberus_trader.heads.lines import format_signal
from cerberus_trader.observe.explain import Explanation, explain

if TYPE_CHECKING:
    from cerberus_trader.replay.session import ReplayResult


class DecisionLine(msgspec.Struct, frozen=True):
    """Hold a line of decisions.jsonl: the signal as it came, and what was decided on it."""

    decision: Explanation
    signal: msgspec.Raw


def explained(result: "ReplayResult", decision: Decision) -> Explanation:
    """Join a decision with the limits it was held against."""
    return explain(decision, result.loaded.settings, result.state.instruments)


def explained_lines(result: "ReplayResult") -> Iterator[bytes]:
    """Give every decision as a line of JSON, in order."""
    encoder = msgspec.json.Encoder()
    for decision in result.collector.decisions:
        signal = result.collector.signals.get(decision.signal_id)
        raw = msgspec.Raw(format_signal(signal) if signal is not None else b"null")
        yield encoder.encode(DecisionLine(explained(result, decision), raw)) + b"\n"
