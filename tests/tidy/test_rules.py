"""Each tidy rule finds what it forbids and lets pass what it allows."""

import ast

import pytest

from tests.tidy import rules


def test_long_lines() -> None:
    assert rules.long_lines("x" * 100) == []
    assert rules.long_lines("ok\n" + "x" * 101) == ["line 2: 101 columns"]


def test_long_functions() -> None:
    body = "    pass\n" * 69
    assert rules.long_functions(ast.parse("def f():\n" + body)) == []
    assert rules.long_functions(ast.parse("def f():\n" + body + "    pass\n")) != []


@pytest.mark.parametrize("kind", ["", " Exception", " BaseException", " (ValueError, Exception)"])
def test_broad_excepts(kind: str) -> None:
    code = f"class A:\n def f(self):\n  try: pass\n  except{kind}: pass\n"
    assert rules.broad_excepts(ast.parse(code)) == ["A.f"]


def test_narrow_excepts_pass() -> None:
    code = "try: pass\nexcept (ValueError, KeyError): pass\n"
    assert rules.broad_excepts(ast.parse(code)) == []


def test_undocumented() -> None:
    code = """"M."
class A:
    "A."
    def one(self): return 1
    def two(self):
        x = 1
        return x
    def _own(self):
        x = 1
        return x
def three(): return 3
class B(A):
    def two(self):
        x = 2
        return x
class C:
    "C."
    def two(self):
        "Two."
"""
    assert rules.undocumented(ast.parse(code)) == [
        "line 5: two has no docstring",
        "line 11: three has no docstring",
        "line 12: B has no docstring",
    ]
    assert rules.undocumented(ast.parse("x = 1")) == ["line 1: the module has no docstring"]
    assert rules.undocumented(ast.parse("")) == []


@pytest.mark.parametrize(
    "call",
    ["time.time()", "datetime.now()", "random.random()", "uuid4()", "uuid.uuid4()", "open('x')"],
)
def test_banned_calls(call: str) -> None:
    assert len(rules.banned_calls(ast.parse(call))) == 1


def test_allowed_calls_pass() -> None:
    assert rules.banned_calls(ast.parse("state.open(x); sorted(y); order.time(3)")) == []


def test_unportable_math() -> None:
    assert rules.unportable_math(ast.parse("math.sqrt(x) + math.inf")) == []
    assert len(rules.unportable_math(ast.parse("math.log(x)"))) == 1
    assert len(rules.unportable_math(ast.parse("from math import exp, sqrt"))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "[x for x in frozenset(y)]",
        "tuple({1, 2})",
        "a = set()\nfor x in a: pass",
        "def f(a: set[int]):\n for x in a: pass",
        "class C:\n names: frozenset[str]\n def f(self):\n  return list(self.names)",
        "for k in a.keys() & b.keys(): pass",
        "','.join({1, 2})",
        "g(*{1, 2})",
    ],
)
def test_set_iterations(code: str) -> None:
    assert len(rules.set_iterations(ast.parse(code))) >= 1


@pytest.mark.parametrize(
    "code",
    [
        "for x in sorted({1, 2}): pass",
        "any(x for x in {1, 2})",
        "x in {1, 2}",
        "for x in [1, 2]: pass",
        "for k in d.keys(): pass",
        "y = {x for x in z}",
    ],
)
def test_ordered_iterations_pass(code: str) -> None:
    assert rules.set_iterations(ast.parse(code)) == []


@pytest.mark.parametrize(
    "text", ["see /wo" + "rk/x", "/ro" + "ot/y", "https://pypi." + "org/simple", "/op" + "t/pypi"]
)
def test_machine_places(text: str) -> None:
    assert len(rules.machine_places(text)) == 1


@pytest.mark.parametrize(
    "text", ["src/wor" + "k/x", "./root/x", "homewor" + "k/x", "/tmp/x", "Path('/')"]
)
def test_other_places_pass(text: str) -> None:
    assert rules.machine_places(text) == []
