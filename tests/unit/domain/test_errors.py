"""The error tree: category, severity, alert and recovery of each."""

import pytest

from cerberus_trader.domain import errors
from cerberus_trader.domain.errors import (
    RECOVERY,
    Category,
    CerberusError,
    ConfigError,
    DataError,
    JournalError,
    RiskViolation,
    Severity,
    SystemFailure,
    TradingFailure,
)


@pytest.mark.req("P-02.4", "C-16.1", "C-16.2", "D-07.1", "D-07.2", "D-07.3")
@pytest.mark.parametrize(
    ("kind", "category", "severity", "alerts"),
    [
        (SystemFailure, Category.SYSTEM, Severity.CRITICAL, True),
        (JournalError, Category.SYSTEM, Severity.CRITICAL, True),
        (TradingFailure, Category.TRADING, Severity.HIGH, True),
        (RiskViolation, Category.RISK, Severity.MEDIUM, False),
        (DataError, Category.DATA, Severity.LOW, False),
    ],
)
def test_each_error_has_its_category_severity_and_alert(
    kind: type[CerberusError], category: Category, severity: Severity, alerts: bool
) -> None:
    error = kind("it failed.")
    assert (error.category, error.severity, error.should_alert) == (category, severity, alerts)
    assert error.code == f"{category.name}_ERROR"
    assert error.recovery == RECOVERY[kind]


@pytest.mark.req("P-02.4")
def test_every_error_has_a_recovery() -> None:
    kinds = [
        item
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, CerberusError)
    ]
    assert len(kinds) >= 7
    assert set(kinds) == set(RECOVERY)


def test_an_error_says_place_and_fix() -> None:
    error = DataError("the row is short.", code="DATA_ROW", place="p.csv:7", fix="mend it.")
    assert str(error) == "p.csv:7: the row is short. Fix: mend it."
    assert (error.code, error.exit_code) == ("DATA_ROW", 2)
    assert JournalError("x").exit_code == 3


def test_a_configuration_error_lists_every_fault() -> None:
    error = ConfigError(["a is wrong", "b is wrong"], place="c.toml")
    assert str(error).splitlines() == ["c.toml: 2 fault(s)", "  a is wrong", "  b is wrong"]
