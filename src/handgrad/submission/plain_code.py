"""What of a cell is plain: arithmetic on tensors, by syntax alone.

A gradient is plain arithmetic: names, operators, indexing, loops, functions, and calls of public functions of torch,
math and numpy. The statements that are more than that are left out, one by one, and the rest is a cell in double
precision. An attribute must be on a list whatever it is read from, so an alias of a module changes nothing.
"""

import ast
import builtins
import functools
import inspect
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

import torch

from handgrad.notebook.syntax import ParsedCell

__all__ = ["POWER", "LeftOut", "PlainCell", "in_double", "plain_cells", "real_power"]

POWER = "_real_power"
"""The name under which plain cells call :func:`real_power` in place of ``**``."""
_LISTS = json.loads(files("handgrad.submission").joinpath("plain_names.json").read_text(encoding="utf-8"))
_MODULES, _BUILTINS, _NEVER = (frozenset(_LISTS[name]) for name in ("modules", "builtins", "never"))
_STORED, _TYPES = (frozenset(_LISTS[name]) for name in ("stored", "types"))
_REFUSED = re.compile("|".join(_LISTS["refused"]))
_BODIES = ("body", "orelse", "finalbody")
_DTYPES = frozenset({"cpu", "float", "float32", "float64", "int", "int32", "int64", "torch.float32", "torch.float64"})
_WIDE = {"float": "double", "float32": "float64", "FloatTensor": "DoubleTensor"}
_CONVERSIONS = ("astype", "type", "to", "view")


@dataclass(frozen=True)
class LeftOut:
    """A statement that is not plain: its first line in the cell, that line, and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True)
class PlainCell:
    """The plain statements of a cell, and those that were left out."""

    source: str
    left_out: tuple[LeftOut, ...] = ()


@functools.cache
def _attributes() -> frozenset[str]:
    """The attributes that may be read: those of the list, and the public functions of torch and of tensors."""
    found = {*dir(torch.Tensor)}
    modules: tuple[ModuleType, ...] = (torch, torch.nn.functional, torch.linalg, torch.special)
    for module in modules:
        for name in dir(module):
            value = getattr(module, name, None)
            if name == name.lower() and callable(value) and not inspect.isclass(value):
                found.add(name)
    found = {name for name in found if not name.startswith("_") and not _REFUSED.search(name)}
    return frozenset(found.union(_LISTS["attributes"]))


class _Reasons(ast.NodeVisitor):
    """Why a statement is not plain; ``known`` are the names that the notebook binds."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = known
        self.found: list[str] = []

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, complex | bytes):
            self.found.append(f"a constant of the type {type(node.value).__name__}")

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        is_other_builtin = hasattr(builtins, name) and name not in self.known and name not in _BUILTINS
        if name.startswith("__") or name in _NEVER or is_other_builtin:
            self.found.append(f"the name {name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.attr not in _attributes():
                self.found.append(f"the attribute {node.attr}")
        elif node.attr not in _STORED or (isinstance(node.value, ast.Attribute) and node.value.attr == "Tensor"):
            self.found.append(f"an assignment to the attribute {node.attr}")
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        values = [keyword.value for keyword in node.keywords if keyword.arg == "dtype"]
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CONVERSIONS:
            values += node.args
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value not in _DTYPES:
                self.found.append(f"the type {value.value!r}")
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [f"the import of {alias.name}" for alias in node.names if alias.name not in _MODULES]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module not in _MODULES:
            self.found.append(f"the import from {node.module}")
            return
        names = (alias.name for alias in node.names)
        self.found += [f"the import of {name}" for name in names if name not in _attributes() | _TYPES]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.found.append(f"the class {node.name}")

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        self.found.append("a match on a class")

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name.startswith("__"):
            self.found.append(f"the function {node.name}")
        self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)


class _Annotations(ast.NodeTransformer):
    """Removes annotations, which compute nothing."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        plain = ast.Assign([node.target], node.value) if node.value else ast.Pass()
        return ast.copy_location(plain, node)


class _Double(ast.NodeTransformer):
    """Says float64 where a cell says float32."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = _WIDE.get(node.attr, node.attr)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            node.value = re.sub(
                r"^((torch\.)?)(float32|FloatTensor)$", lambda found: found[1] + _WIDE[found[3]], node.value
            )
        return node


class _RealPower(ast.NodeTransformer):
    """Calls :func:`real_power` for powers."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "pow" and isinstance(node.ctx, ast.Load):
            node.id = POWER
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _power(node, node.left, node.right) if isinstance(node.op, ast.Pow) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Pow) and isinstance(node.target, ast.Name):
            power = _power(node, ast.Name(node.target.id, ast.Load()), node.value)
            return ast.copy_location(ast.Assign([node.target], power), node)
        return node


def _power(place: ast.AST, base: ast.expr, exponent: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Call(ast.Name(POWER, ast.Load()), [base, exponent], []), place)


def real_power(base: object, exponent: object) -> object:
    """``base ** exponent``; a ValueError if it is a complex number, as the complex step differentiates."""
    result = base**exponent  # type: ignore[operator]
    if isinstance(result, complex):
        raise ValueError("a power is a complex number")
    return result


def in_double(source: str) -> str:
    """The same Python code in double precision, as far as it names a precision; other text is left alone."""
    try:
        tree = _Double().visit(ast.parse(source))
    except SyntaxError:
        return source
    return ast.unparse(ast.fix_missing_locations(tree))


def plain_cells(sources: Sequence[str], known: Collection[str]) -> list[PlainCell]:
    """The plain statements of the cells of one notebook, in double precision; ``known`` are the names of its setup."""
    trees = [_tree(source) for source in sources]
    names = {*known, *(name for tree in trees for name in _bound(tree))}
    return [_plain(tree, source.splitlines(), names) for tree, source in zip(trees, sources, strict=True)]


def _tree(source: str) -> ast.Module:
    """A cell as Python: magics as calls, which are not plain; ``%time x = 1`` is ``x = 1``."""
    parsed = ParsedCell.of(re.sub(r"(?m)^(\s*)%time[ \t]+(?=\S)", r"\1", source))
    if parsed is None:
        return ast.Module([], [])
    return ast.parse("".join(parsed.lines))


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that is bound anywhere in a cell."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name):
                yield name
            case ast.alias():
                yield (node.asname or node.name).split(".")[0]
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name


def _plain(tree: ast.Module, lines: Sequence[str], known: Collection[str]) -> PlainCell:
    left_out: list[LeftOut] = []
    kept = list(_kept(_Annotations().visit(tree).body, known, lines, left_out))
    module = ast.fix_missing_locations(_RealPower().visit(_Double().visit(ast.Module(kept, []))))
    return PlainCell(ast.unparse(module), tuple(left_out))


def _reasons(node: ast.AST, known: Collection[str]) -> list[str]:
    reasons = _Reasons(known)
    reasons.visit(node)
    return reasons.found


def _kept(
    statements: Sequence[ast.stmt], known: Collection[str], lines: Sequence[str], left_out: list[LeftOut]
) -> Iterator[ast.stmt]:
    """The plain ones of some statements; a compound statement keeps what is plain inside it."""
    for statement in statements:
        reasons = _reasons(statement, known)
        if not reasons:
            yield statement
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            plain = [alias for alias in statement.names if not _reasons(_with_names(statement, [alias]), known)]
            if plain:
                yield _with_names(statement, plain)
        elif isinstance(statement, ast.With) and any(_reasons(item, known) for item in statement.items):
            # the manager goes, what it manages stays
            yield from _kept(statement.body, known, lines, left_out)
            reasons = []
        elif not _head_reasons(statement, known) and hasattr(statement, "body"):
            _keep_inside(statement, known, lines, left_out)
            if not _reasons(statement, known):
                yield statement
                continue
        if reasons:
            text = lines[statement.lineno - 1].strip() if statement.lineno <= len(lines) else ""
            left_out.append(LeftOut(statement.lineno, text, reasons[0]))


def _with_names(statement: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    other = (
        ast.Import(names)
        if isinstance(statement, ast.Import)
        else ast.ImportFrom(statement.module, names, statement.level)
    )
    return ast.copy_location(other, statement)


def _head_reasons(statement: ast.stmt, known: Collection[str]) -> list[str]:
    """Why the head of a compound statement is not plain."""
    reasons = _Reasons(known)
    if isinstance(statement, ast.ClassDef) or getattr(statement, "name", "").startswith("__"):
        reasons.found.append("its head")
    for field, value in ast.iter_fields(statement):
        if field not in (*_BODIES, "handlers"):
            for node in value if isinstance(value, list) else [value]:
                if isinstance(node, ast.AST):
                    reasons.visit(node)
    return reasons.found


def _keep_inside(statement: ast.stmt, known: Collection[str], lines: Sequence[str], left_out: list[LeftOut]) -> None:
    """Leave out what is not plain in the bodies of a statement."""
    for part in (statement, *getattr(statement, "handlers", ())):
        for field in _BODIES:
            if body := getattr(part, field, None):
                setattr(part, field, list(_kept(body, known, lines, left_out)) or [ast.copy_location(ast.Pass(), part)])
