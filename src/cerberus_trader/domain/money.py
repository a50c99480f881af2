"""Money arithmetic: one pinned context, and every rounding named by its direction.

Money, price and quantity are `Decimal`. Rounding happens here and nowhere else; each function
says towards whom it rounds.
"""

import decimal
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from cerberus_trader.domain.errors import DataError

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
BPS = Decimal("0.0001")
CENT8 = Decimal("0.00000001")
CENT12 = Decimal("0.000000000001")

DIGITS_MAX = 34
EXPONENT_MIN, EXPONENT_MAX = -18, 18

CONTEXT = decimal.Context(
    prec=DIGITS_MAX,
    rounding=ROUND_HALF_EVEN,
    traps=[
        decimal.InvalidOperation,
        decimal.DivisionByZero,
        decimal.Overflow,
        decimal.FloatOperation,
    ],
)

SHOWN_MAX = 10**12


def install_context() -> None:
    """Install the pinned context in this thread (a raw thread does not inherit it)."""
    decimal.setcontext(CONTEXT.copy())


install_context()


def parse_amount(text: str, *, place: str = "") -> Decimal:
    """Read a finite decimal number of sane size, or raise `DataError` naming the place.

    Refuses NaN, infinities, more than 34 digits, and exponents outside 10^-18 .. 10^18.
    """
    try:
        value = Decimal(text)
    except (decimal.InvalidOperation, ValueError, TypeError):
        raise DataError(f"{text!r} is not a number.", code="DATA_NUMBER", place=place) from None
    check_amount(value, place=place)
    return value


def check_amount(value: Decimal, *, place: str = "") -> None:
    """Raise `DataError` unless the value is finite, of at most 34 digits and sane size."""
    if not value.is_finite():
        raise DataError(f"{value} is not a finite number.", code="DATA_NUMBER", place=place)
    parts = value.as_tuple()
    exponent = int(parts.exponent)
    if len(parts.digits) > DIGITS_MAX or not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
        raise DataError(
            "the number has too many digits or too large an exponent.",
            code="DATA_NUMBER",
            place=place,
        )


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Round down (towards minus infinity) to a multiple of the step."""
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Round up (towards plus infinity) to a multiple of the step."""
    return (value / step).to_integral_value(ROUND_CEILING) * step


def cost_up(value: Decimal) -> Decimal:
    """Round a cost or margin up, towards plus infinity, at 8 decimals."""
    return value.quantize(CENT8, ROUND_CEILING)


def proceeds_down(value: Decimal) -> Decimal:
    """Round what we receive down, towards minus infinity, at 8 decimals."""
    return value.quantize(CENT8, ROUND_FLOOR)


def share_of(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return the share of an amount that a part of the whole takes, to 12 decimals, half to even.

    What is left is the amount less this, so that nothing is lost or made by the rounding.
    """
    return (amount * part / whole).quantize(CENT12)


def from_belief(value: float, digits: int = 9) -> Decimal:
    """Turn a float (a belief) into money-side `Decimal`, rounded to 9 significant digits.

    The one place where a float becomes a decimal; refuses NaN and infinities.
    """
    number = Decimal(f"{value:.9g}" if digits == 9 else f"{value:.{digits}g}")
    if not number.is_finite():
        raise DataError(f"{value} is not a finite number.", code="DATA_NUMBER")
    return number


# Twelve significant digits, half to even: what a document shows of a measured amount.
brief = decimal.Context(prec=12, rounding=ROUND_HALF_EVEN).plus


def plain(value: Decimal) -> str:
    """Write a decimal without exponent and without trailing zeros: the canonical form."""
    if not value:
        return "0"
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(value: Decimal, digits: int = 8) -> str:
    """Write a value for people: rounded, with an exponent where it has no more digits to round."""
    return plain(round(value, digits)) if abs(value) < SHOWN_MAX else f"{value:.6g}"
