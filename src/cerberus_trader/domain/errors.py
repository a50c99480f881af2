"""The errors of Cerberus: one class per category, each with severity, place and fix.

Categories, severities and the alert rule are those of the design document (D-07.1 to D-07.3);
what to do after each error stands in `RECOVERY`.
"""

from enum import Enum

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ArithmeticError)
"""What decoding bytes that somebody else wrote may raise: not the format, not UTF-8, too deep, or
a number that is none."""


class Category(Enum):
    """Name the four categories of errors (D-07.1)."""

    SYSTEM = "system"
    TRADING = "trading"
    RISK = "risk"
    DATA = "data"


class Severity(Enum):
    """Name how bad an error is (D-07.2)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class CerberusError(Exception):
    """Report what failed, where, and how to mend it.

    `message` is one sentence; `place` names the file, row, key or id; `fix` says what to do;
    `code` is a stable CATEGORY_CONDITION name. No argument may hold a secret.
    """

    category = Category.SYSTEM
    severity = Severity.CRITICAL
    exit_code = 1

    def __init__(self, message: str, *, code: str = "", place: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or f"{self.category.name}_ERROR"
        self.place = place
        self.fix = fix

    @property
    def should_alert(self) -> bool:
        """Tell whether the error alone raises an alert: critical and high ones do (D-07.3)."""
        return self.severity in (Severity.CRITICAL, Severity.HIGH)

    @property
    def recovery(self) -> str:
        """Name what the system does next: the error's row in `RECOVERY`."""
        return RECOVERY[type(self)]

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        fix = f" Fix: {self.fix}" if self.fix else ""
        return f"{place}{self.message}{fix}"


class SystemFailure(CerberusError):
    """Report a failed database, connection, disk or memory."""

    category, severity, exit_code = Category.SYSTEM, Severity.CRITICAL, 1


class TradingFailure(CerberusError):
    """Report an order that failed, a short balance, or a closed market."""

    category, severity, exit_code = Category.TRADING, Severity.HIGH, 1


class VenueLost(TradingFailure):
    """Say that a request has no answer: what came of it is not known."""


class VenueGarbage(VenueLost):
    """Say that a venue's answer cannot be read: what came of the request is not known."""


class RiskViolation(CerberusError):
    """Report a tripped breaker or a violated limit (a trip alerts by itself: K-01)."""

    category, severity, exit_code = Category.RISK, Severity.MEDIUM, 1


class DataError(CerberusError):
    """Report refused input: a signal, a price file, a cache entry, a schema."""

    category, severity, exit_code = Category.DATA, Severity.LOW, 2


class ConfigError(DataError):
    """Report every fault of a configuration at once, one line each."""

    exit_code = 2

    def __init__(self, faults: list[str], *, place: str = "") -> None:
        super().__init__(
            "; ".join(faults), code="CONFIG_INVALID", place=place, fix="correct the keys named."
        )
        self.faults = faults

    def __str__(self) -> str:
        head = f"{self.place}: " if self.place else ""
        return head + f"{len(self.faults)} fault(s)\n" + "\n".join(f"  {f}" for f in self.faults)


class JournalError(SystemFailure):
    """Report a journal that is locked, damaged, newer, or shorter than its anchor."""

    exit_code = 3


RECOVERY: dict[type[CerberusError], str] = {
    CerberusError: "halt new exposure, keep the venue's protection, alert",
    SystemFailure: "stop new exposure, keep the venue's protection, alert, exit and restart",
    JournalError: "refuse to trade; verify or restore the journal before the next start",
    TradingFailure: "treat the outcome as unknown until the venue reports it; never resend",
    VenueLost: "treat the outcome as unknown; ask the venue until it has told",
    VenueGarbage: "treat the outcome as unknown; journal and alert, ask again",
    RiskViolation: "deny new exposure; exits and cancels go on; reset needs a token",
    DataError: "refuse the input, count and report it; everything else goes on",
    ConfigError: "keep the configuration in force and report each fault",
}
