"""The source keeps the rules of STYLE.md."""

import ast
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.tidy import rules

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "cerberus_trader"
CORE_ROOMS = ("domain", "engine", "market")


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files that git knows or would take, without those it ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(p for name in sorted(names.split("\0")) if name and (p := ROOT / name).is_file())


def python_files(below: Path = ROOT) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(below)]


def core_files(rooms: tuple[str, ...] = CORE_ROOMS) -> list[Path]:
    return [path for room in rooms for path in python_files(SRC / room)]


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def faults(paths: list[Path], rule: Callable[[ast.Module], list[str]]) -> list[str]:
    return [f"{p.relative_to(ROOT)} {fault}" for p in paths for fault in rule(parse(p))]


def test_there_is_source_to_read() -> None:
    assert len(python_files(SRC)) > 10
    assert all(core_files((room,)) for room in CORE_ROOMS)


def test_no_line_is_longer_than_100_columns() -> None:
    found = [
        f"{p.relative_to(ROOT)} {f}"
        for p in python_files()
        for f in rules.long_lines(p.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_function_is_longer_than_70_lines() -> None:
    assert faults(python_files(), rules.long_functions) == []


def test_no_file_is_longer_than_500_lines() -> None:
    sizes = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in python_files()}
    assert {str(p.relative_to(ROOT)): n for p, n in sizes.items() if n > rules.FILE_MAX} == {}


def test_everything_is_caught_at_named_boundaries_only() -> None:
    lines = (ROOT / "tests" / "tidy" / "boundaries.txt").read_text(encoding="utf-8").splitlines()
    named = dict(line.split("\t") for line in lines if line and not line.startswith("#"))
    caught = {
        f"{path.relative_to(SRC)}::{scope}"
        for path in python_files(SRC)
        for scope in rules.broad_excepts(parse(path))
    }
    assert all(reason.strip() for reason in named.values())
    assert sorted(caught - set(named)) == [], "name it in tests/tidy/boundaries.txt, or narrow it"
    assert sorted(set(named) - caught) == [], "a named boundary no longer exists"


def test_everything_public_has_a_docstring() -> None:
    assert faults(python_files(SRC), rules.undocumented) == []


def test_the_core_makes_no_banned_call() -> None:
    assert faults(core_files(), rules.banned_calls) == []


@pytest.mark.req("D-01.4")
def test_only_the_configuration_reads_the_environment_and_toml() -> None:
    readers = {
        str(path.relative_to(SRC))
        for path in python_files(SRC)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute | ast.Import)
        and re.search(r"\bos\.(environ|getenv)\b|\btomllib\b", ast.unparse(node))
    }
    assert readers == {"config.py"}


def test_the_deciding_core_uses_portable_arithmetic_only() -> None:
    assert faults(core_files(("domain", "engine")), rules.unportable_math) == []


def test_the_core_iterates_over_no_set() -> None:
    assert faults(core_files(), rules.set_iterations) == []


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture has no text to judge
        found += [f"{path.relative_to(ROOT)} {fault}" for fault in rules.machine_places(text)]
    assert found == []


def test_the_locks_hold_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text and "--index" not in text and "--find-links" not in text
        pins = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        assert len(pins) > 20
        assert all(line.endswith("\\") for line in pins), "a pin without hashes"


def test_every_module_has_a_test_file() -> None:
    tests = {path.stem for path in python_files(ROOT / "tests")}
    bare = [
        str(path.relative_to(SRC))
        for path in python_files(SRC)
        if path.stem != "__init__"
        and not any(name.startswith(f"test_{path.stem}") for name in tests)
    ]
    if bare:
        pytest.skip("no test file of their own: " + ", ".join(bare))
