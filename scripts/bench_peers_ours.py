"""Replay quotes and signals with Cerberus; `bench_peers.py` starts this in a process of its own."""

import gc
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader.config import load_settings
from cerberus_trader.domain.events import ConfigEvent, FillReport
from cerberus_trader.domain.facts import Filled
from cerberus_trader.domain.row import decode_row
from cerberus_trader.domain.settings import Settings
from cerberus_trader.heads.lines import read_signals
from cerberus_trader.instruments import load_instruments
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.replay.bench import recorder
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.heads import ListSignals
from cerberus_trader.replay.price_files import load_prices
from cerberus_trader.replay.tape import Tape
from scripts.bench_memory import peak_mb


def comparable(balance: int) -> Settings:
    """Return settings under which a signal trades exactly what it asks, as the peer does.

    No latency, no slippage, no limits, and the take-profit as a resting limit order.
    """
    settings = load_settings(stage="research").settings
    paper = msgspec.structs.replace(
        settings.paper, latency_ms=0, slippage_bps=0, take_profit_order="limit"
    )
    account = msgspec.structs.replace(settings.account, balance=Decimal(balance))
    return msgspec.structs.replace(settings, paper=paper, account=account)


def fills_of(journal: MemoryJournal) -> list[tuple[int, str, str, str]]:
    """Read time, side, price and reason of each fill back from the journal."""
    return [
        (fill.ts_ns, "buy" if fill.side > 0 else "sell", str(fill.price), fill.reason)
        for row in map(decode_row, (stored.body for stored in journal.rows()))
        if isinstance(fill := row.event, FillReport)
        and any(isinstance(fact, Filled) for fact in row.facts)
    ]


def main() -> None:
    """Run the job given as JSON; write fills to a file, figures to standard output."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    gc.disable()  # as the other side: no share of the figure is the collector's
    item = msgspec.structs.replace(load_instruments()[job["name"]], tick=Decimal(job["tick"]))
    settings = comparable(job["balance"])
    begin = time.process_time()
    series: Any = load_prices(job["prices"])
    for pyramid in ("bid_min", "bid_max", "ask_min", "ask_max"):
        getattr(series, pyramid)
    prepared = time.process_time() - begin
    signals, _ = read_signals(Path(job["signals"]))
    times = []
    journal = MemoryJournal()
    for _ in range(job["repeats"]):
        journal = MemoryJournal()
        begin = time.process_time()
        config = ConfigEvent(int(series.ts[0]) - 1, settings, "bench", (item,), "bench")
        driver = Driver(config, [Tape(item, series)], ListSignals(signals), recorder(journal))
        driver.run()
        times.append(time.process_time() - begin)
    Path(job["fills"]).write_text(json.dumps(fills_of(journal)), encoding="utf-8")
    print(json.dumps({
        "cpu_seconds": min(times), "prepare_seconds": prepared,
        "rss_mb_max": peak_mb(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
