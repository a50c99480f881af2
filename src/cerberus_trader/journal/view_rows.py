"""The rows of the views, one type per table, fields in the order of the table's columns.

Money is a decimal's canonical text (`domain.money.plain`); `data`, `decision` and `metadata` are
JSON text; sides are buy and sell, or long and short for positions and trades.
"""

from typing import NamedTuple


class SignalRow(NamedTuple):
    """Hold a judged signal; `id` is the number of its journal row."""

    id: int
    timestamp: int
    source: str
    token: str
    confidence: str
    price: float
    volume: float
    data: str


class DecisionRow(NamedTuple):
    """Hold an entry of the decision cache; `id` is the number of the journal row that made it."""

    id: int
    signal_hash: str
    decision: str
    created_at: int
    expires_at: int


class PositionRow(NamedTuple):
    """Hold a position, open or closed; `liquidation_price` is 0 where there is none."""

    id: str
    token: str
    side: str
    size: float
    leverage: float
    entry_price: float
    current_price: float | None
    pnl: float | None
    liquidation_price: float
    status: str
    opened_at: int
    closed_at: int | None = None


class MetricRow(NamedTuple):
    """Hold one measured value."""

    id: int
    timestamp: int
    metric_name: str
    metric_value: float
    metadata: str | None = None


class DecisionLogRow(NamedTuple):
    """Hold a decision; `seq` is its journal row, where its document is (`document` may copy it)."""

    seq: int
    id: str
    ts_ns: int
    signal_id: str
    strategy: str
    instrument: str
    verdict: str
    code: str
    sentence: str
    document: bytes


class OrderRow(NamedTuple):
    """Hold an order as it stands."""

    id: str
    account: str
    strategy: str
    instrument: str
    side: str
    kind: str
    reason: str
    quantity: str
    filled: str
    price: str | None
    leverage: str
    reduce_only: int
    closes: str | None
    signal_id: str | None
    decision_id: str | None
    status: str
    created_ns: int
    updated_ns: int


class OrderStatusRow(NamedTuple):
    """Change the status of a stored order; an unknown order is left alone."""

    status: str
    filled: str
    updated_ns: int
    id: str


class OrderTermsRow(NamedTuple):
    """Change the price and quantity of a stored order."""

    price: str
    quantity: str
    updated_ns: int
    id: str


class ExecutionRow(NamedTuple):
    """Hold a fill, once per venue and trade id.

    `id` is 1,000 times the number of its journal row, plus its place among that row's facts.
    """

    id: int
    venue: str
    trade_id: str
    ts_ns: int
    order_id: str
    position_id: str
    account: str
    strategy: str
    instrument: str
    side: str
    quantity: str
    price: str
    fee: str
    fee_currency: str
    realised: str
    liquidity: str
    reason: str


class TradeRow(NamedTuple):
    """Hold a closed trade; excursions are the worst and best unrealised fraction of the entry."""

    position_id: str
    account: str
    strategy: str
    instrument: str
    side: str
    quantity: str
    entry_price: str
    exit_price: str
    leverage: str
    opened_ns: int
    closed_ns: int
    reason: str
    pnl: str
    fees: str
    funding: str
    r: float
    signal_id: str | None = None
    excursion_worst: float | None = None
    excursion_best: float | None = None


class TweetRow(NamedTuple):
    """Hold a post that a social head has read."""

    id: str
    ts_ns: int
    author: str
    text: str
    token: str | None
    score: float | None
    signal_id: str | None
    status: str


class DeploymentRow(NamedTuple):
    """Hold one deployment of a strategy; `config` is the hash of its configuration."""

    id: int
    strategy: str
    head: str
    config: str
    engine_version: str
    status: str
    budget: str | None
    deployed_ns: int
    stopped_ns: int | None
    actor: str


class LedgerRow(NamedTuple):
    """Hold one leg of a booking; the legs of a journal row count from 0.

    A fill's legs have the number of its execution; `reference` names the position of a payment.
    """

    account: str
    ts_ns: int
    seq: int
    leg: int
    currency: str
    amount: str
    kind: str
    strategy: str | None = None
    instrument: str | None = None
    reference: str | None = None


class TokenRow(NamedTuple):
    """Hold an access token's record; the token itself is stored nowhere."""

    id: str
    role: str
    hash: str
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    last_used_ns: int | None = None


class BreakerRow(NamedTuple):
    """Hold a trip or reset of a breaker; `leg` counts the rows of one journal row from 0."""

    seq: int
    leg: int
    ts_ns: int
    event: str
    condition: str
    scope: str
    value: str
    limit_value: str
    action: str
    actor: str | None = None
    reason: str | None = None


class EquityRow(NamedTuple):
    """Hold an account's equity after a journal row; `drawdown` is a fraction of the peak."""

    account: str
    ts_ns: int
    seq: int
    equity: str
    balance: str
    unrealised: str
    exposure: str
    drawdown: float


ViewRow = (
    SignalRow
    | DecisionRow
    | PositionRow
    | MetricRow
    | DecisionLogRow
    | OrderRow
    | OrderStatusRow
    | OrderTermsRow
    | ExecutionRow
    | TradeRow
    | TweetRow
    | DeploymentRow
    | LedgerRow
    | TokenRow
    | BreakerRow
    | EquityRow
)
