"""The control protocol: what a client may ask of a running engine, in the frames of `framing`."""

import re
from decimal import Decimal
from typing import Any

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.framing import FRAME_BYTES_MAX, VERSION, Decoder, encode
from cerberus_trader.domain.money import check_amount

__all__ = ["FRAME_BYTES_MAX", "VERSION", "Decoder", "again", "checked", "encode", "timely", "until"]

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Status(msgspec.Struct, frozen=True, tag="status", array_like=True):
    """Ask what is going on."""


class Explain(msgspec.Struct, frozen=True, tag="explain", array_like=True):
    """Ask for a decision by its id; empty is the last one."""

    decision: str = ""


class WhyNot(msgspec.Struct, frozen=True, tag="why_not", array_like=True):
    """Ask what would have had to differ for an approval."""

    decision: str = ""


class Operate(msgspec.Struct, frozen=True, tag="operate", array_like=True):
    """Give a command that needs no token, such as halt; `target` names a strategy or an order.

    `not_after_ns` is the wall clock's time from which on nothing that adds risk is done; None:
    whenever it is read.
    """

    command: str
    actor: str
    reason: str = ""
    target: str = ""
    price: Decimal | None = None
    amount: Decimal | None = None
    not_after_ns: int | None = None


class Authorise(msgspec.Struct, frozen=True, tag="authorise", array_like=True):
    """Give a command that needs a token whose scope allows it: re-arming, or moving money.

    `not_after_ns` is as that of `Operate`. Money that is moved under one `command_id` is moved
    once; without one it is moved as often as it is asked for.
    """

    command: str
    token: str
    actor: str
    reason: str
    amount: Decimal | None = None
    not_after_ns: int | None = None
    command_id: str = ""


class Prune(msgspec.Struct, frozen=True, tag="prune", array_like=True):
    """Ask for retention now, by the settings in force."""

    actor: str


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown", array_like=True):
    """Stop the engine by the configured policy."""

    actor: str


Request = Status | Explain | WhyNot | Operate | Authorise | Prune | Shutdown
ASKS = (Status, Explain, WhyNot)
"""The requests that change nothing."""
REDUCES = ("halt", "flatten", "cancel_all", "pause_strategy", "stop_strategy", "freeze")
"""The commands that are carried out however late they are read."""


def until(request: Request, not_after_ns: int) -> Request:
    """Return a request with the time until which it may be carried out, where it takes one."""
    if not isinstance(request, Operate | Authorise) or request.not_after_ns is not None:
        return request
    return msgspec.structs.replace(request, not_after_ns=not_after_ns)


def timely(request: Request, now_ns: int) -> None:
    """Raise `DataError` for what adds risk or moves money and is read too late.

    Who gave it was told that nobody answered, and may have given it again.
    """
    if not isinstance(request, Operate | Authorise) or request.command in REDUCES:
        return
    if request.not_after_ns is not None and now_ns > request.not_after_ns:
        raise DataError("the command came too late and was not carried out.", code="TOO_LATE",
                        fix="see `cerberus status`, and give it again.")  # fmt: skip


def checked(request: Request) -> Request:
    """Return a request whose amounts are finite and of sane size; raise `DataError` otherwise.

    A price of NaN would halt trading, an endless deposit would end in the ledger. An id is
    remembered, and written to terminals.
    """
    for name in ("price", "amount"):
        value: Decimal | None = getattr(request, name, None)
        if value is not None:
            check_amount(value, place=name)
    if isinstance(request, Authorise) and request.command_id:
        check_id(request.command_id)
    return request


def check_id(text: str) -> None:
    """Raise `DataError` for what is no command's id."""
    if not ID.fullmatch(text):
        raise DataError(
            f"{text[:40]!r} is no id of a command.", code="COMMAND_ID", place="id",
            fix="give 1 to 64 letters, digits, dots, dashes or underscores.",
        )  # fmt: skip


def again(request: Request) -> str:
    """Say how a command of unknown outcome is given again without counting twice, if it can be."""
    if not isinstance(request, Authorise) or not request.command_id:
        return ""
    return f"repeat it with --id {request.command_id} and a fresh token: it will be counted once; "


class Reply(msgspec.Struct, frozen=True, tag="reply", array_like=True):
    """Answer with plain values; `seq` is the durable row that the answer follows from."""

    seq: int
    data: dict[str, Any]


class Failure(msgspec.Struct, frozen=True, tag="failure", array_like=True):
    """Say why a request was not carried out."""

    code: str
    message: str
    fix: str = ""


Answer = Reply | Failure
