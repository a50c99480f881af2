"""The trace finds every marker and what has none."""

from pathlib import Path

import pytest

from scripts import trace

CODE = """
import pytest

pytestmark = pytest.mark.req("A-1")

@pytest.mark.req("A-2", "A-3")
def test_one(): ...

class TestMany:
    @pytest.mark.req("A-3")
    async def test_two(self): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.req("A-4"))])
def test_three(x): ...
"""


def test_markers_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "helper.py").write_text('pytest.mark.req("A-9")', encoding="utf-8")
    assert trace.trace(tmp_path, tmp_path) == {
        "A-1": ["test_a.py"],
        "A-2": ["test_a.py::test_one"],
        "A-3": ["test_a.py::test_one", "test_a.py::TestMany::test_two"],
        "A-4": ["test_a.py::test_three"],
    }


def test_the_list_has_every_requirement_once() -> None:
    listed = trace.read_list()
    assert len(listed) == len({item.id for item in listed}) == 461
    assert sum(item.milestone == "A" for item in listed) == 171
    assert all(item.text.strip() for item in listed)


def test_the_report_names_what_is_missing() -> None:
    due = [trace.Requirement("A-1", "A", "One."), trace.Requirement("A-2", "A", "Two.")]
    text = "\n".join(trace.report(due, {"A-1": ["test_a.py::test_one"]}, missing_only=False))
    assert "test_a.py::test_one" in text and text.count("MISSING") == 1
    assert "A-1" not in "\n".join(trace.report(due, {"A-1": ["t"]}, missing_only=True))


def test_unknown_ids_fail_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trace, "trace", lambda _: {"Z-9": ["test_a.py"]})
    assert trace.main(["--check"]) == 1
    assert "unknown ids in tests: Z-9" in capsys.readouterr().out


def test_the_check_passes_when_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "trace", lambda _: {r.id: ["t"] for r in trace.read_list()})
    assert trace.main(["--check", "--missing"]) == 0
    monkeypatch.setattr(trace, "trace", lambda _: {})
    assert trace.main(["--missing"]) == 0
    assert trace.main(["--check"]) == 1
