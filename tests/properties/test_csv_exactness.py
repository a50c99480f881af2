"""What a file says in text or floats is what the columns hold, to the last digit."""

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.market.columns import to_decimal
from cerberus_trader.replay.csv_scan import NumberColumn, scan
from cerberus_trader.replay.file_tables import exact_floats

DECIMALS = st.integers(-(10**16), 10**16).map(lambda i: Decimal(i).scaleb(-9))
FORMS = [str, lambda d: f"{d:f}", lambda d: f"{d.normalize():f}", lambda d: f"{d:.3f}00000000"]
FORMS.append(lambda d: f"{d.normalize():e}")
TEXTS = st.builds(lambda value, form: form(value), DECIMALS, st.sampled_from(FORMS))


@given(st.lists(TEXTS, min_size=1, max_size=30), st.integers(1, 30))
def test_numbers_are_exact_in_the_least_common_precision(texts: list[str], cut: int) -> None:
    column = NumberColumn("price")
    for at in range(0, len(texts), cut):  # several blocks of different precision
        column.add(scan("".join(f"{t},1\n" for t in texts[at : at + cut]).encode(), 2, at), 0)
    values, digits = column.finish()
    wanted = [Decimal(t) for t in texts]
    assert [to_decimal(int(v), digits) for v in values] == wanted
    needed = max(max(-int(d.normalize().as_tuple().exponent), 0) for d in wanted)
    assert digits == needed


@given(st.lists(st.integers(1, 10**12).map(lambda i: i / 10**6), min_size=1, max_size=30))
def test_floats_mean_their_shortest_text(values: list[float]) -> None:
    columns, digits = exact_floats(np.array(values), "price")
    assert [to_decimal(int(v), digits) for v in columns] == [Decimal(repr(v)) for v in values]


@given(st.floats(0.1, 90))
def test_any_float_means_its_shortest_text(value: float) -> None:
    columns, digits = exact_floats(np.array([value]), "price")
    assert to_decimal(int(columns[0]), digits) == Decimal(repr(value))
