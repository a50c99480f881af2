"""What settings are made of: bounds with their meaning, sections, common kinds of values."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Say what values a setting may take, and what it means; `config.py` enforces it.

    (msgspec's own Meta cannot bound decimals.) `cold` settings need a restart.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    description: str = ""
    cold: bool = False


Fraction = Annotated[Decimal, Meta(ge=0, le=1)]
Positive = Annotated[Decimal, Meta(gt=0)]
NonNegative = Annotated[Decimal, Meta(ge=0)]
Millis = Annotated[int, Meta(ge=0, le=31_536_000_000)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Action = Literal["block", "flatten", "off"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Be the base of every section: frozen, strict about names."""
