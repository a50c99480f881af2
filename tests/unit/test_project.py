"""The project's skeleton: rooms, declared dependencies, one-command verbs."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import cerberus_trader

ROOMS = "domain engine market heads venues journal runtime replay observe control".split()


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    root = Path(__file__).resolve().parents[2]
    loaded = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return loaded["project"]  # type: ignore[no-any-return]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=;\[ ]", line)[0] for line in requirements}


@pytest.mark.req("C-01.1", "P-01.3")
def test_dependencies_are_declared_by_purpose(project: dict[str, dict[str, list[str]]]) -> None:
    core = names(project["dependencies"])  # type: ignore[arg-type]
    extras = {key: names(value) for key, value in project["optional-dependencies"].items()}
    assert {"msgspec", "pydantic"} <= core, "serialisation"
    assert {"uvloop", "watchfiles"} <= core, "asynchronous runtime"
    assert {"sqlalchemy", "alembic"} <= core, "embedded SQL and migrations"
    assert {"structlog"} <= core and "opentelemetry-sdk" in extras["otel"], "logs and traces"
    assert {"redis", "celery"} <= extras["scale"], "Redis client and workers"
    assert {"fastapi", "uvicorn"} <= extras["api"], "API"


@pytest.mark.req("C-01.1", "P-01.6")
def test_the_environment_satisfies_what_is_declared(project: dict[str, object]) -> None:
    assert metadata.version("cerberus-trader") == cerberus_trader.__version__ == project["version"]
    for name in names(project["dependencies"]):  # type: ignore[arg-type]
        assert metadata.version(name)


@pytest.mark.req("P-01.1", "T-01.1")
def test_every_room_exists_and_the_guide_says_what_belongs_where(project_root: Path) -> None:
    package = project_root / "src" / "cerberus_trader"
    assert all((package / room / "__init__.py").is_file() for room in ROOMS)
    assert (package / "venues" / "abi").is_dir() and (project_root / "web").is_dir()
    guide = (project_root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for place in re.findall(r"`((?:src|web)/[^`]*/)`", guide):
        assert (project_root / place).is_dir(), place


def test_presets_travel_with_the_package() -> None:
    presets = resources.files("cerberus_trader") / "presets"
    for name in ("profiles/dev.toml", "instruments/spot.toml"):
        assert (presets / name).read_text(encoding="utf-8")


@pytest.mark.req("P-01.6")
def test_one_command_sets_up_and_verifies_the_environment(project_root: Path) -> None:
    run = ["make", "--dry-run", "--always-make", "test"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    plan = subprocess.run(
        run, cwd=project_root, capture_output=True, text=True, check=True, env=env
    ).stdout
    install, test = plan.index("scripts/install.sh requirements-dev.lock"), plan.index("pytest")
    assert install < test
    guide = (project_root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "## Prerequisites" in guide and "Python 3.11" in guide


def test_both_locks_agree_on_what_they_share(project_root: Path) -> None:
    def pins(name: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in (project_root / name).read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([a-z0-9_.-]+)==([^ ]+)", line):
                found.setdefault(match[1], set()).add(match[2])
        return found

    core, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: dev.get(name) for name in core} == core
    assert "pytest" in dev and "pytest" not in core and "hatchling" in core


def test_scripts_are_executable(project_root: Path) -> None:
    for name in (".ci/run", "scripts/install.sh", "scripts/lock.sh"):
        assert os.access(project_root / name, os.X_OK), name


@pytest.mark.req("E-13.1.1")
def test_coverage_below_ninety_percent_fails(project_root: Path) -> None:
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["coverage"]["report"]["fail_under"] >= 90
    assert settings["tool"]["coverage"]["run"]["branch"] is True
    ci = (project_root / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (project_root / "Makefile").read_text(encoding="utf-8")
    assert "make --no-print-directory --jobs 2 lint test\n" in ci
    assert "--cov" in makefile[makefile.index("test: ") : makefile.index("test-all: ")]


@pytest.mark.req("D-01.1")
def test_help_stays_light(project_root: Path) -> None:
    code = (
        "import sys, cerberus_trader.control.main;"
        "print([m for m in ('numpy','pydantic','sqlalchemy','plotly','rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
