"""Heads are found by name, as an entry point, or in a file; errors name what to do."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.heads.base import registry
from cerberus_trader.heads.base.registry import built_in, find_head

CROSS = """
import msgspec
from cerberus_trader.heads.base import head, on_bar

class Config(msgspec.Struct, frozen=True):
    slow: int = 40

@head("cross", Config, wakes=on_bar("1h"), warm_up=lambda config: config.slow)
def cross(view, config):
    if view.closes(config.slow).mean() < view.price:
        yield view.buy("medium", stop_loss_pct=3)
"""


def test_the_built_in_heads() -> None:
    assert built_in() == ["breakout", "file", "mock"]
    for name in built_in():
        assert find_head(name).name == name


@pytest.mark.req("P-07.1")
def test_a_file_is_a_head(tmp_path: Path) -> None:
    path = tmp_path / "my head.py"
    path.write_text(CROSS)
    spec = find_head(str(path))
    config = spec.configure({"slow": 12})
    assert spec.name == "cross"
    assert spec.warm_up(config) == 12
    assert spec.wakes(config).bars_ns == 3600 * 10**9
    path.write_text(CROSS.replace("= 40", "= 50"))
    assert find_head(str(path)).warm_up(find_head(str(path)).configure({})) == 50


@pytest.mark.parametrize(
    ("text", "match"),
    [("x = 1", "0 heads"), (CROSS + CROSS.replace('"cross"', '"b"'), "2 heads"),
     ("def (", "SyntaxError"), ("import nothing_such", "nothing_such"),
     ("1 / 0", "ZeroDivisionError")],
)  # fmt: skip
def test_a_file_that_is_no_head(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "h.py"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        find_head(str(path))
    with pytest.raises(DataError, match="no such file"):
        find_head(str(tmp_path / "none.py"))


@pytest.mark.req("P-07.1")
def test_an_entry_point_is_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("outside", "cerberus_trader.heads.mock:mock", registry.GROUP)

    def points(group: str, name: str = "outside") -> EntryPoints:
        return EntryPoints([point] if name == "outside" else [])

    monkeypatch.setattr(registry, "entry_points", points)
    monkeypatch.setitem(registry.HEADS, "outside", find_head("mock"))
    assert find_head("outside").config is find_head("mock").config


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        find_head("brekaout")
    assert "breakout, file, mock" in caught.value.fix
    for name in ("base", "lines", "source", "../x"):
        with pytest.raises(DataError, match="no head"):
            find_head(name)


@pytest.mark.req("T-14.1")
def test_parameters_are_checked() -> None:
    spec = find_head("breakout")
    with pytest.raises(DataError) as caught:
        spec.configure({"chanel": 5})
    assert caught.value.fix == "use channel."
    for wrong in ({"channel": 1}, {"channel": "x"}, {"interval": "5x"}, {"stop_pct_max": 60}):
        with pytest.raises(DataError):
            spec.configure(wrong)
    assert spec.warm_up(spec.configure({"trend": 1_000})) == 1_001
