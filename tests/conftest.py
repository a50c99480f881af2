"""What every test shares: where the real price files are, and how Hypothesis behaves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("CERBERUS_DATA", str(ROOT.parent / "shared" / "data")))

# A shared, slow machine makes deadlines lie; CI must see the same cases on every run.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


UNTRACED = ("fuzz", "properties", "real", "simulation")
"""The folders of generated cases: tracing the same lines thousands of times takes two thirds of
their time, and coverage is to say what the other tests reach."""
PROCESSES_TRACED = ("test_kill_switch", "test_outside_faults", "test_retention", "test_run")
"""The modules of tests/process whose processes are traced: tracing takes a third of their time, and
the others reach little more."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave a worker with the one tracer that pytest-cov is about to start.

    One that started before would go on under it, also where it pauses for what is UNTRACED.
    """
    while hasattr(session.config, "workerinput") and (early := Coverage.current()):
        early.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Start the processes of generated cases, and of most process tests, without a tracer."""
    folder, name = item.path.relative_to(ROOT / "tests").parts[0], item.path.stem
    bare = folder in UNTRACED or (folder == "process" and name not in PROCESSES_TRACED)
    kept = os.environ.pop("COVERAGE_PROCESS_CONFIG", None) if bare else None
    try:
        return (yield)
    finally:
        if kept is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = kept


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave generated cases untraced; skip tests on real data where it is absent."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in UNTRACED:
            item.add_marker("no_cover")
    if (DATA / "market").is_dir():
        return
    absent = pytest.mark.skip(reason="no real price files: set CERBERUS_DATA to their folder")
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of the real data; only for tests marked `real`."""
    return DATA


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Return the folder that holds pyproject.toml."""
    return ROOT
