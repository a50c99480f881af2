"""The tidy rules: each reads one source file and returns what it finds, one line per fault."""

import ast
import re
from collections.abc import Iterator

LINE_MAX, FUNCTION_MAX, FILE_MAX = 100, 70, 500
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BROAD = {"Exception", "BaseException"}
BANNED_CALLS = {
    "open", "print", "input", "id", "hash", "eval", "exec", "__import__", "vars", "breakpoint",
}  # fmt: skip
BANNED_ROOTS = {"time", "random", "os", "secrets", "uuid", "socket", "threading", "asyncio"}
BANNED_ENDS = {"now", "utcnow", "today"}
BANNED_UUIDS = {"uuid1", "uuid4"}
MATH_ALLOWED = {
    "sqrt",
    "isqrt",
    "floor",
    "ceil",
    "trunc",
    "isfinite",
    "isnan",
    "isinf",
    "fabs",
    "frexp",
    "ldexp",
    "inf",
    "nan",
}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
SET_TYPES = {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}
ORDER_FREE = {"sorted", "len", "min", "max", "any", "all", "set", "frozenset"}


def long_lines(text: str) -> list[str]:
    """Find lines of more than 100 columns."""
    return [
        f"line {number}: {len(line)} columns"
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LINE_MAX
    ]


def long_functions(tree: ast.AST) -> list[str]:
    """Find functions of more than 70 lines."""
    return [
        f"line {node.lineno}: {node.name} has {size} lines"
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_MAX
    ]


def scoped(tree: ast.AST, scope: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Walk a tree and yield each node with the dotted name of what encloses it."""
    for child in ast.iter_child_nodes(tree):
        inner = scope
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            inner = f"{scope}.{child.name}" if scope else child.name
        yield inner, child
        yield from scoped(child, inner)


def broad_excepts(tree: ast.AST) -> list[str]:
    """Return the functions that catch everything."""
    found = []
    for scope, node in scoped(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or ast.unparse(kind) in BROAD for kind in kinds):
                found.append(scope or "module")
    return found


def undocumented(tree: ast.Module) -> list[str]:
    """Find public modules, classes, functions and methods without a docstring.

    A method needs none if it has one statement, which is read as fast as its docstring would be,
    or overrides a method that has one in the same file.
    """
    bare = bool(tree.body) and not ast.get_docstring(tree)
    found = ["line 1: the module has no docstring"] if bare else []
    told = {
        method.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, FUNCTIONS) and ast.get_docstring(method)
    }

    def visit(body: list[ast.stmt], *, owner: ast.ClassDef | None) -> None:
        for node in body:
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef)) or node.name.startswith("_"):
                continue
            brief = owner is not None and isinstance(node, FUNCTIONS) and len(node.body) == 1
            inherits = owner is not None and bool(owner.bases) and node.name in told
            if not (ast.get_docstring(node) or brief or inherits):
                found.append(f"line {node.lineno}: {node.name} has no docstring")
            if isinstance(node, ast.ClassDef):
                visit(node.body, owner=node)

    visit(tree.body, owner=None)
    return found


def banned_calls(tree: ast.AST) -> list[str]:
    """Find calls that the core must not make: clock, randomness, files, addresses, output."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        first, last = name.split(".")[0], name.rsplit(".", 1)[-1]
        ambient = "." in name and (first in BANNED_ROOTS or last in BANNED_ENDS)
        if ambient or name in BANNED_CALLS or last in BANNED_UUIDS:
            found.append(f"line {node.lineno}: {name}() is not for the core")
    return found


def unportable_math(tree: ast.AST) -> list[str]:
    """Find math functions whose last digit differs between machines (log, exp, powers)."""
    found = []
    for node in ast.walk(tree):
        name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        if name.startswith("math.") and name[5:] not in MATH_ALLOWED:
            found.append(f"line {node.lineno}: {name} differs between machines")
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            found.extend(
                f"line {node.lineno}: math.{alias.name} differs between machines"
                for alias in node.names
                if alias.name not in MATH_ALLOWED
            )
    return found


def _is_set_type(annotation: ast.expr | None) -> bool:
    """Tell whether an annotation names a set."""
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return base is not None and ast.unparse(base).rsplit(".", 1)[-1] in SET_TYPES


def _set_names(tree: ast.AST) -> set[str]:
    """Collect names and attributes that hold sets, by annotation or assignment."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and _is_set_type(node.annotation):
            names.add(ast.unparse(node.target))
        elif isinstance(node, ast.arg) and _is_set_type(node.annotation):
            names.add(node.arg)
        elif isinstance(node, ast.Assign) and _is_set(node.value, names):
            names.update(ast.unparse(target) for target in node.targets)
    # A field annotated in a class body is read as self.field.
    return names | {f"self.{name}" for name in names if "." not in name}


def _is_set(node: ast.expr, names: set[str]) -> bool:
    """Tell whether an expression is a set, as far as one file shows."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            return node.func.attr in SET_METHODS
        return ast.unparse(node.func) in {"set", "frozenset"}
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor
    ):
        sides = (node.left, node.right)
        return any(_is_set(s, names) or ast.unparse(s).endswith(".keys()") for s in sides)
    return ast.unparse(node) in names


def set_iterations(tree: ast.AST) -> list[str]:
    """Find iteration over sets, whose order differs from run to run; sorted(...) is fine."""
    names, found, free = _set_names(tree), [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ORDER_FREE:
            free.update(id(arg) for arg in node.args)
        iterated: list[ast.expr] = []
        if isinstance(node, ast.For | ast.AsyncFor):
            iterated = [node.iter]
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
            iterated = [] if id(node) in free else [part.iter for part in node.generators]
        elif isinstance(node, ast.Call):
            ordered = ast.unparse(node.func) in {"list", "tuple", "iter", "enumerate", "zip", "sum"}
            joined = isinstance(node.func, ast.Attribute) and node.func.attr in {"join", "extend"}
            iterated = node.args if ordered or joined else []
        elif isinstance(node, ast.Starred):
            iterated = [node.value]
        found.extend(
            f"line {node.lineno}: iteration over the set {ast.unparse(item)}"
            for item in iterated
            if _is_set(item, names)
        )
    return found


# Written in pieces, so that this file does not find itself.
PLACES = re.compile(
    r"(?<![\w.$}])/(?:" + "|".join(["wo" + "rk", "fa" + "rm", "ro" + "ot", "ho" + r"me/\w+"]) + ")/"
    r"|pypi\." + "org|python" + r"hosted\.org|npm" + r"js\.(?:org|com)|/op" + "t/pypi"
)


def machine_places(text: str) -> list[str]:
    """Find paths of one machine and names of registry hosts."""
    return [
        f"line {number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        if (match := PLACES.search(line))
    ]
