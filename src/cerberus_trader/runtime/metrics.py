"""What the running engine counts: decision times, execution times, refusals, queues.

What follows from the journal (signals, verdicts, cache hits, trades) is counted in the engine's
state and only read here; what takes a clock is measured here, in bounded windows (K-09).
"""

from bisect import bisect_left
from collections import deque
from typing import Any

from cerberus_trader.domain.position import SystemMetrics
from cerberus_trader.engine.portfolio import system_metrics
from cerberus_trader.engine.state import State

WINDOW = 1_024
EDGES_US = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 1_000_000)
OPEN_MAX = 10_000


class Times:
    """Hold the last `WINDOW` durations and a histogram of all of them; nanoseconds."""

    def __init__(self) -> None:
        self.window: deque[int] = deque(maxlen=WINDOW)
        self.counts = [0] * (len(EDGES_US) + 1)
        self.count = 0
        self.total_ns = 0

    def add(self, ns: int) -> None:
        """Take a duration."""
        self.window.append(ns)
        self.counts[bisect_left(EDGES_US, ns / 1_000)] += 1
        self.count += 1
        self.total_ns += ns

    def quantile_us(self, share: float) -> float:
        """Return a quantile of the window in microseconds (nearest rank); 0 without one."""
        if not self.window:
            return 0.0
        ordered = sorted(self.window)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1_000

    def summary(self) -> dict[str, Any]:
        """Return count, mean, p50, p99 (us) and the histogram by upper edge (us)."""
        edges = [str(edge) for edge in EDGES_US] + ["inf"]
        return {
            "count": self.count,
            "mean_us": round(self.total_ns / self.count / 1_000, 1) if self.count else 0.0,
            "p50_us": round(self.quantile_us(0.5), 1),
            "p99_us": round(self.quantile_us(0.99), 1),
            "histogram_us": dict(zip(edges, self.counts, strict=True)),
        }


class Metrics:
    """Gather the figures of one run of the engine."""

    def __init__(self) -> None:
        self.decisions = Times()
        self.executions = Times()
        self.refused: dict[str, int] = {}
        self.config_refused = 0
        self.not_sent = 0
        self.prices = 0
        self.rows = 0
        self.bytes = 0
        self.upkeep: dict[str, int] = {}
        self._sent: dict[str, int] = {}

    def refuse(self, code: str, count: int = 1) -> None:
        """Count refused input by its code."""
        self.refused[code] = self.refused.get(code, 0) + count

    def submitted(self, order_id: str, ns: int) -> None:
        """Remember when an order was decided on, to tell its execution's latency."""
        if len(self._sent) < OPEN_MAX:
            self._sent[order_id] = ns

    def filled(self, order_id: str, ns: int) -> None:
        """Measure the time from an order's decision to its fill, by the engine's clock."""
        begun = self._sent.pop(order_id, None)
        if begun is not None:
            self.executions.add(ns - begun)

    def ended(self, order_id: str) -> None:
        """Forget an order that ended without a fill."""
        self._sent.pop(order_id, None)

    def system(self, state: State) -> SystemMetrics:
        """Return the SystemMetrics of the design document; decision times in milliseconds."""
        return system_metrics(state, tuple(ns / 1e6 for ns in self.decisions.window))

    def summary(self, state: State, queue_depth: dict[str, int]) -> dict[str, Any]:
        """Return every figure by name, for `status`."""
        counters, found = state.counters, self.system(state)
        looked = counters.cache_hits + counters.cache_misses
        return {
            "signals": counters.signals,
            "approved": counters.approved,
            "denied": dict(counters.denied),
            "repeated": counters.repeated,
            "refused": dict(self.refused),
            "config_refused": self.config_refused,
            "not_sent": self.not_sent,
            "orders": counters.orders,
            "fills": counters.fills,
            "trades": counters.trades,
            "cache_hits": counters.cache_hits,
            "cache_hit_rate": round(counters.cache_hits / looked, 4) if looked else 0.0,
            "success_rate": found.success_rate,
            "successful_trades": found.successful_trades,
            "failed_trades": found.failed_trades,
            "faults": counters.faults,
            "decision_times": self.decisions.summary(),
            "execution_latency": self.executions.summary(),
            "prices": self.prices,
            "rows": self.rows,
            "bytes": self.bytes,
            "upkeep": dict(self.upkeep),
            "queue_depth": queue_depth,
        }
