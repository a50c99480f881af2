"""Print the table requirement -> tests, and the due requirements that no test names.

Tests name what they show with `@pytest.mark.req("C-06.2")`. docs/requirements.txt holds each
requirement's id, the milestone that closes it, and its text. Usage:

    python scripts/trace.py [--due A] [--missing] [--check]
"""

import argparse
import ast
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "docs" / "requirements.txt"


class Requirement(NamedTuple):
    """Hold one line of the list."""

    id: str
    milestone: str
    text: str


def read_list(path: Path = LIST) -> list[Requirement]:
    """Read the committed list: id, milestone and text, separated by tabs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Requirement(*line.split("\t")) for line in lines if line and not line.startswith("#")]


def marked_ids(node: ast.AST) -> list[str]:
    """Return the ids of a `pytest.mark.req("…")` call, or nothing for any other node."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.req")):
        return []
    return [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]


def markers(path: Path, root: Path = ROOT) -> list[tuple[str, str]]:
    """Return (id, test) for each marker in a test file; a class or file stands for its tests."""
    found: list[tuple[str, str]] = []

    def visit(node: ast.AST, owner: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            owner = f"{owner}::{node.name}"
        found.extend((id_, owner) for id_ in marked_ids(node))
        for child in ast.iter_child_nodes(node):
            visit(child, owner)

    visit(ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(root)))
    return found


def trace(tests: Path, root: Path = ROOT) -> dict[str, list[str]]:
    """Map each requirement id that a test names to those tests, in the order of the files."""
    table: dict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        for id_, test in markers(path, root):
            if test not in table[id_]:
                table[id_].append(test)
    return dict(table)


def report(due: list[Requirement], table: dict[str, list[str]], *, missing_only: bool) -> list[str]:
    """Write the lines of the table."""
    lines = []
    for item in due:
        tests = table.get(item.id, [])
        if missing_only and tests:
            continue
        lines.append(f"{item.id:<10} {item.text[:86]}")
        lines.extend(f"{'':<12}{test}" for test in tests or ["MISSING"])
    return lines


def main(argv: list[str] | None = None) -> int:
    """Print the table; with --check return 1 if a due id has no test or an id is unknown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--due", default="AB", help="milestones that are due, such as AB")
    parser.add_argument("--missing", action="store_true", help="print only what has no test")
    parser.add_argument("--check", action="store_true", help="fail if something is missing")
    options = parser.parse_args(argv)
    listed = read_list()
    due = [item for item in listed if item.milestone in options.due]
    table = trace(ROOT / "tests")
    missing = [item.id for item in due if item.id not in table]
    unknown = sorted(set(table) - {item.id for item in listed})
    print("\n".join(report(due, table, missing_only=options.missing)))
    print(f"\n{len(due) - len(missing)} of {len(due)} due requirements have a test")
    if missing:
        print("missing: " + " ".join(missing))
    if unknown:
        print("unknown ids in tests: " + " ".join(unknown))
    return int(options.check and bool(missing or unknown))


if __name__ == "__main__":
    sys.exit(main())
