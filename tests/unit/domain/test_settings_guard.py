"""The settings of the kill switch: where a time server is."""

import pytest

from cerberus_trader.config_rules import check_settings
from cerberus_trader.domain.settings_guard import time_server_address
from tests.kit import settings


@pytest.mark.parametrize(
    ("name", "address"),
    [("pool.ntp.example", ("pool.ntp.example", 123)), ("127.0.0.1:8123", ("127.0.0.1", 8123)),
     ("a:65535", ("a", 65535)), ("", None), (":123", None), ("a:", None), ("a:0", None),
     ("a:65536", None), ("a:-1", None), ("a:1²", None), ("a b", None), ("::1", None),
     ("a:" + "9" * 5_000, None)],
)  # fmt: skip
def test_a_time_server_is_host_or_host_and_port(name: str, address: tuple[str, int] | None) -> None:
    assert time_server_address(name) == address


@pytest.mark.parametrize(
    ("section", "fields", "said"),
    [
        ("killswitch", {"time_server": "a:x"}, "killswitch.time_server = 'a:x': must be host or"),
        ("killswitch", {"memory_mb_max": 513}, "killswitch.memory_mb_max = 513: must be at most"),
        ("resources", {"files_max": 63}, "resources.files_max = 63: must be at least 64, or 0"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    section: str, fields: dict[str, object], said: str
) -> None:
    (fault,) = check_settings(settings(**{section: fields}))
    assert fault.startswith(said)


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("killswitch", {"time_server": "a:1", "memory_mb_max": 512}),
        ("killswitch", {"memory_mb_max": 4_096, "memory_hard_mb_max": 0}),
        ("resources", {"files_max": 64}),
        ("resources", {"files_max": 0}),
    ],
)
def test_what_works_passes(section: str, fields: dict[str, object]) -> None:
    assert check_settings(settings(**{section: fields})) == []
