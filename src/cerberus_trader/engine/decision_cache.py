"""The decision cache: the analysis of a signal, kept for a minute, never its verdict.

The key holds all that the analysis depends on, the version of the risk state included: a fill, a
trip, a new day or a new configuration makes every older entry unreachable.
"""

from decimal import Decimal
from hashlib import blake2b
from math import frexp, ldexp

from cerberus_trader.engine.leverage import Analysis
from cerberus_trader.engine.state import State


def price_bucket(price: float, sigma: float, width: float) -> str:
    """Name the price's bucket: steps of the power of two next below width x sigma x price."""
    if not price > 0.0 or not sigma > 0.0:
        return "0"
    exponent = frexp(width * sigma * price)[1] - 1
    return f"{int(ldexp(price, -exponent))}^{exponent}"


def cache_key(
    state: State, instrument: str, sign: int, base: Decimal, strategy: str, price: Decimal,
    sigma: float,
) -> str:  # fmt: skip
    """Hash what an analysis depends on: what is asked, the price's bucket, the risk version.

    `base` is the base leverage, which stands for the level of confidence.
    `sigma` is the daily fraction; a bucket is measured in sigma of one minute. A configuration
    that is put in force moves the risk version too.
    """
    minute = sigma / 37.94733192202055  # sqrt of the 1,440 minutes of a day
    bucket = price_bucket(float(price), minute, state.settings.cache.price_bucket_sigma)
    text = f"{state.risk_version}|{bucket}|{sign}|{base!s}|{instrument}|{strategy}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def look_up(state: State, key: str, now_ns: int) -> Analysis | None:
    """Return the analysis kept under a key, None where it is absent or too old."""
    entry = state.cache.get(key)
    if entry is None or entry.expires_ns <= now_ns:
        return None
    return entry.inputs, entry.factors, entry.raw
