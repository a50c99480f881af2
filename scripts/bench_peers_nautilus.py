"""Replay quotes and signals with NautilusTrader; `bench_peers.py` starts this in its environment.

A native strategy of that engine: signals arrive as custom data after the quote of their time;
an entry is a market order; once it is filled a stop-market and a limit order rest at the
venue; an opposite signal closes at market; a signal of the same side is left out. The strategy
subscribes to no quotes, so it is not even called for them: the engine's cheapest way.
"""

import gc
import json
import sys
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import pandas as pd
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.core.data import Data
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import CustomData, DataType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import ClientId, InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.persistence.wranglers import QuoteTickDataWrangler
from nautilus_trader.trading.strategy import Strategy

from scripts.bench_memory import peak_mb

CLIENT = ClientId("SIGNALS")
VENUE = Venue("PEER")


class SignalData(Data):
    """Hold one signal: +1 buy, -1 sell, and the distances of its levels in percent."""

    def __init__(self, ts_ns: int, sign: int, stop_pct: Decimal, profit_pct: Decimal) -> None:
        self._ts_ns = ts_ns
        self.sign = sign
        self.stop_pct, self.profit_pct = stop_pct, profit_pct

    @property
    def ts_event(self) -> int:
        """Return the signal's time."""
        return self._ts_ns

    @property
    def ts_init(self) -> int:
        """Return the signal's time."""
        return self._ts_ns


class Levels(Strategy):
    """Trade signals with a resting stop and a resting take-profit."""

    def __init__(self, instrument: CryptoPerpetual, quantity: Quantity) -> None:
        super().__init__()
        self.instrument, self.quantity = instrument, quantity
        self.tick = instrument.price_increment.as_decimal()
        self.held = 0
        self.signal: SignalData | None = None
        self.found: list[tuple[int, str, str]] = []

    def on_start(self) -> None:
        """Ask for the signals."""
        self.subscribe_data(DataType(SignalData), client_id=CLIENT)

    def on_data(self, data: Data) -> None:
        """Enter, close, or leave the signal out."""
        if not self.held:
            self.signal = data
            self.market(data.sign, reduce=False)
        elif data.sign != self.held:
            self.market(data.sign, reduce=True)

    def market(self, sign: int, *, reduce: bool) -> None:
        """Submit a market order."""
        self.submit_order(
            self.order_factory.market(
                self.instrument.id, side_of(sign), self.quantity, reduce_only=reduce
            )
        )

    def on_order_filled(self, event: Any) -> None:
        """Note a fill."""
        side = "buy" if event.order_side == OrderSide.BUY else "sell"
        self.found.append((event.ts_event, side, str(event.last_px)))

    def on_position_opened(self, event: Any) -> None:
        """Rest the levels, counted from the entry: the stop rounded towards it, the other away."""
        signal = self.signal
        entry = Decimal(str(event.last_px))
        self.held = sign = signal.sign
        how = ROUND_CEILING if sign > 0 else ROUND_FLOOR
        stop = self.rounded(entry * (1 - sign * signal.stop_pct / 100), how)
        profit = self.rounded(entry * (1 + sign * signal.profit_pct / 100), how)
        out = side_of(-sign)
        factory, name = self.order_factory, self.instrument.id
        self.submit_order(factory.stop_market(name, out, self.quantity, stop, reduce_only=True))
        self.submit_order(factory.limit(name, out, self.quantity, profit, reduce_only=True))

    def rounded(self, price: Decimal, how: str) -> Price:
        """Round a price to the tick."""
        steps = (price / self.tick).quantize(Decimal(1), how)
        return Price.from_str(str(steps * self.tick))

    def on_position_closed(self, event: Any) -> None:
        """Cancel the level that is left."""
        self.held = 0
        self.cancel_all_orders(self.instrument.id)


def side_of(sign: int) -> OrderSide:
    """Return the side of a sign."""
    return OrderSide.BUY if sign > 0 else OrderSide.SELL


def instrument_of(job: dict[str, Any]) -> CryptoPerpetual:
    """Make the instrument that both engines trade."""
    tick = job["tick"]
    return CryptoPerpetual(
        instrument_id=InstrumentId(Symbol(job["name"]), VENUE), raw_symbol=Symbol(job["name"]),
        base_currency=Currency.from_str("DOGE"), quote_currency=USDT, settlement_currency=USDT,
        is_inverse=False, price_precision=job["digits"], size_precision=0,
        price_increment=Price.from_str(tick), size_increment=Quantity.from_int(1), ts_event=0,
        ts_init=0, margin_init=Decimal("0.05"), margin_maint=Decimal("0.01"),
        maker_fee=Decimal(job["maker_fee"]), taker_fee=Decimal(job["taker_fee"]),
    )  # fmt: skip


def ticks_of(path: str, digits: int, instrument: CryptoPerpetual) -> list[Any]:
    """Turn the columns into the engine's quotes, through its own wrangler."""
    with np.load(path) as columns:
        frame = pd.DataFrame(
            {
                "bid_price": columns["bid"] / 10.0**digits,
                "ask_price": columns["ask"] / 10.0**digits,
            },
            index=pd.to_datetime(columns["ts_ns"], unit="ns", utc=True),
        )
    return QuoteTickDataWrangler(instrument).process(frame, default_volume=1e9)


def signals_of(path: str) -> list[CustomData]:
    """Read the signal lines."""
    kind = DataType(SignalData)
    with open(path, encoding="utf-8") as lines:
        found = [json.loads(line, parse_float=Decimal) for line in lines]
    return [
        CustomData(kind, SignalData(
            one["ts_ns"], 1 if one["side"] == "buy" else -1,
            Decimal(one["stop_loss_pct"]), Decimal(one["take_profit_pct"]),
        ))
        for one in found
    ]  # fmt: skip


def engine_of(job: dict[str, Any], instrument: CryptoPerpetual) -> BacktestEngine:
    """Make a silent engine with a margin account; the risk engine is passed by."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )  # fmt: skip
    engine.add_venue(
        VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(job["balance"], USDT)],
        base_currency=USDT, default_leverage=Decimal(job["leverage"]), reject_stop_orders=False,
    )  # fmt: skip
    engine.add_instrument(instrument)
    return engine


def inexact(ticks: list[Any], path: str, digits: int) -> dict[str, float]:
    """Return the shares of bids that are stored, and that read back as floats, inexactly."""
    with np.load(path) as columns:
        bids = columns["bid"]
    rows = range(0, len(bids), max(1, len(bids) // 10_000))
    stored = read = 0
    for row in rows:
        price, exact = ticks[row].bid_price, Decimal(int(bids[row])).scaleb(-digits)
        stored += price.as_decimal() != exact
        read += price.as_double() != float(exact)
    return {"stored": stored / len(rows), "read_as_float": read / len(rows)}


def main() -> None:
    """Run the job given as JSON; write fills to a file, figures to standard output."""
    job = json.loads(sys.argv[1])
    gc.disable()  # as the other side: no share of the figure is the collector's
    instrument = instrument_of(job)
    begin = time.process_time()
    ticks = ticks_of(job["prices"], job["digits"], instrument)
    prepared = time.process_time() - begin
    best, fills = None, []
    for _ in range(job["repeats"]):
        engine = engine_of(job, instrument)
        engine.add_data(ticks, sort=False)
        engine.add_data(signals_of(job["signals"]), client_id=CLIENT)
        strategy = Levels(instrument, Quantity.from_int(job["quantity"]))
        engine.add_strategy(strategy)
        begin = time.process_time()
        engine.run()
        spent = time.process_time() - begin
        fills, best = strategy.found, min(best or spent, spent)
        orders = engine.cache.orders_total_count()
        engine.dispose()
    with open(job["fills"], "w", encoding="utf-8") as file:
        json.dump(fills, file)
    print(json.dumps({
        "cpu_seconds": best, "prepare_seconds": prepared, "rss_mb_max": peak_mb(), "orders": orders,
        "inexact": inexact(ticks, job["prices"], job["digits"]),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
