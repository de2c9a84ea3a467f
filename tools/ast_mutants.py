"""Small changes to a Python module, one at a time, that its tests should notice.

    comparisons     < <= > >= swapped with their neighbour, == !=, is, in negated
    arithmetic      + - swapped, * / swapped, & | swapped, unary - ~ not dropped
    conditions      and or swapped; the tests of if, while and conditional expressions negated
    constants       n - 1 and n + 1; x * 0.9 and x * 1.1 (a zero becomes 0.1); True False swapped
    statements      calls, assignments and raises removed; return None

Texts (messages, docstrings), annotations, imports and decorators are left as they are, and so are the arguments of an
exception that is raised and zip's ``strict``, which guards against what cannot be.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


Path = tuple[tuple[str, int | None], ...]
"""The way from a module's root to a node: fields, and places in lists."""


@dataclass(frozen=True)
class Mutant:
    """One change: a ``key`` that survives edits elsewhere, and where it is.

    ``function`` is the qualified name of the function it lies in, empty where it is code that runs at import.
    """

    key: str
    line: int
    function: str
    original: ast.Module
    path: Path
    changed: ast.AST

    @property
    def tree(self) -> ast.Module:
        """The changed module."""
        return _replaced(self.original, self.path, self.changed)


def mutants(name: str, source: str) -> list[Mutant]:
    """Every mutant of the module ``source``, which is called ``name`` in keys."""
    tree = ast.parse(source)
    found, seen = [], Counter[str]()
    for path, function in _places(tree):
        node = _at(tree, path)
        for changed in _changes(node):
            before, after = _shown(node), _shown(changed)
            key = f"{name} {function or 'module'}: {before} -> {after}"
            seen[key] += 1
            key += f" ({seen[key]})" if seen[key] > 1 else ""
            line = getattr(node, "lineno", 0)
            found.append(Mutant(key, line, function, tree, path, changed))
    return found


def _places(tree: ast.Module) -> Iterator[tuple[Path, str]]:
    """Every node that may be changed, by its way from the root, and the function it lies in."""

    def walk(node: ast.AST, path: Path, function: str, scope: str) -> Iterator[tuple[Path, str]]:
        yield path, function
        for field, value in ast.iter_fields(node):
            if field in _LEFT.get(type(node), ()):
                continue
            for child, index in _children(value):
                strict = isinstance(child, ast.keyword) and child.arg == "strict"
                if strict or _is_text(child) or isinstance(child, _SKIPPED):
                    continue
                step = (*path, (field, index))
                if isinstance(child, ast.FunctionDef):
                    name = f"{scope}{child.name}"
                    yield from walk(child, step, name, f"{name}.")
                elif isinstance(child, ast.ClassDef):
                    yield from walk(child, step, function, f"{scope}{child.name}.")
                else:
                    yield from walk(child, step, function, scope)

    yield from walk(tree, (), "", "")


_SKIPPED = (ast.Import, ast.ImportFrom, ast.JoinedStr, ast.arguments)
_LEFT: dict[type[ast.AST], tuple[str, ...]] = {
    ast.FunctionDef: ("decorator_list", "returns"),
    ast.ClassDef: ("decorator_list", "bases", "keywords"),
    ast.AnnAssign: ("annotation", "target"),
    ast.Raise: ("exc", "cause"),
    ast.Subscript: ("ctx",),
}


def _children(value: object) -> Iterator[tuple[ast.AST, int | None]]:
    if isinstance(value, ast.AST):
        yield value, None
    elif isinstance(value, list):
        yield from ((item, i) for i, item in enumerate(value) if isinstance(item, ast.AST))


def _is_text(node: ast.AST) -> bool:
    """A docstring, or the text beside a field."""
    inner = node.value if isinstance(node, ast.Expr) else node
    return isinstance(inner, ast.Constant) and not isinstance(inner.value, int | float)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    yield from _expressions(node)
    yield from _statements(node)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield changed


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[i] = _COMPARISONS[type(op)]()
            yield changed
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        # A union of types is not arithmetic, nor is a text put together.
        yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield from (ast.Constant(node.value - 1), ast.Constant(node.value + 1))
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield from (ast.Constant(x) for x in ((node.value * 0.9, node.value * 1.1) if node.value else (0.1,)))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    calls = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Yield | ast.YieldFrom)
    # A field or a variable that is only declared has nothing to remove.
    assigns = isinstance(node, ast.Assign | ast.AugAssign) or (isinstance(node, ast.AnnAssign) and bool(node.value))
    if calls or assigns or isinstance(node, ast.Raise):
        yield ast.Pass()
    nothing = isinstance(node, ast.Return) and ast.unparse(node) in ("return", "return None")
    if isinstance(node, ast.Return) and not nothing:
        yield ast.Return(ast.Constant(None))


def _shown(node: ast.AST) -> str:
    """One line of it: the head of what has a body."""
    text = ast.unparse(node).split("\n")[0] if isinstance(node, ast.If | ast.While) else ast.unparse(node)
    return " ".join(text.split())


def _at(tree: ast.AST, path: Path) -> ast.AST:
    node = tree
    for field, index in path:
        value = getattr(node, field)
        node = value if index is None else value[index]
    return node


def _replaced(tree: ast.Module, path: Path, changed: ast.AST) -> ast.Module:
    copied = copy.deepcopy(tree)
    if path:
        parent, (field, index) = _at(copied, path[:-1]), path[-1]
        ast.copy_location(changed, _at(copied, path))
        if index is None:
            setattr(parent, field, changed)
        else:
            getattr(parent, field)[index] = changed
    return ast.fix_missing_locations(copied)
