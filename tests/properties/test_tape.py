"""A tape's rows and marks, asked for in any order, are those that the whole column gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.instruments import load_instruments
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.tape import Tape

DOGE = load_instruments()["DOGEUSDT"]
START = 1_700_000_000_000_000_000


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    """Draw times that come evenly, in bursts of equal stamps, or with long gaps."""
    rows = draw(st.integers(1, 600))
    seed = draw(st.integers(0, 1_000))
    rng = np.random.default_rng(seed)
    gaps = rng.choice(draw(st.sampled_from([(100,), (0, 0, 1), (1, 1_000), (1, 10**9)])), rows)
    bid = rng.integers(1, 100_000, rows)
    return Tape(DOGE, Quotes(START + np.cumsum(gaps).astype(np.int64), bid, bid + 1, 5))


@given(tape=tapes(), steps=st.lists(st.tuples(st.integers(0, 599), st.integers(-3, 150))))
def test_rows_and_marks_are_those_of_a_search_in_the_whole_column(
    tape: Tape, steps: list[tuple[int, int]]
) -> None:
    for row, offset in steps:
        t = int(tape.ts[row % tape.rows]) + offset
        known = int(tape.ts.searchsorted(t, "right"))
        assert (tape.row_at(t), tape.row_after(t)) == (known - 1, known)
        assert str(tape.mark(t)) == str(tape.valuation.exact_at(t))
        first = int(tape.ts.searchsorted(t))
        if first == tape.rows:
            assert tape.execution(t) is None
        else:
            ts = int(tape.ts[first])
            assert tape.execution(t) == (ts, int(tape.ts.searchsorted(ts, "right")) - 1)
