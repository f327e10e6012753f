"""What of a cell is plain: arithmetic on tensors, by syntax alone.

A gradient is plain arithmetic: names, operators, indexing, loops, functions, and calls of public functions of torch,
math and numpy. The statements that are more than that are left out, one by one, and the rest is a cell in double
precision. An attribute must be on a list whatever it is read from, so an alias of a module changes nothing.
"""

import ast
import builtins
import copy
import functools
import inspect
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

import torch

from handgrad.notebook.syntax import ParsedCell, tree_of

__all__ = ["POWER", "LeftOut", "PlainCell", "in_double", "plain_cells", "real_power"]

POWER = "_real_power"
"""The name under which plain cells call :func:`real_power` in place of ``**``."""
_LISTS = json.loads(files("handgrad.submission").joinpath("plain_names.json").read_text(encoding="utf-8"))
_MODULES, _BUILTINS, _NEVER = (frozenset(_LISTS[name]) for name in ("modules", "builtins", "never"))
_STORED, _TYPES = (frozenset(_LISTS[name]) for name in ("stored", "types"))
_REFUSED = re.compile("|".join(_LISTS["refused"]))
_BODIES = ("body", "orelse", "finalbody")
_DTYPES = frozenset({"cpu", "float", "float32", "float64", "int", "int32", "int64", "torch.float32", "torch.float64"})
_TENSOR_TYPES = frozenset({"torch.FloatTensor", "torch.DoubleTensor", "torch.LongTensor", "torch.IntTensor"})
_WIDE = {"float": "double", "float32": "float64", "FloatTensor": "DoubleTensor"}
_SINGLE = re.compile(r"^((torch\.)?)(float32|FloatTensor)$")
_OTHER_BUILTINS = frozenset(dir(builtins)) - _BUILTINS
_TIME = re.compile(r"(?m)^(\s*)%time[ \t]+(?=\S)")
_CONVERSIONS = ("astype", "type", "to", "view")


@dataclass(frozen=True)
class LeftOut:
    """A statement that is not plain: its first line in the cell, that line, and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True)
class PlainCell:
    """The plain statements of a cell, and those that were left out.

    ``names_single`` tells whether the cell names single precision, for which ``source`` says double.
    """

    source: str
    left_out: tuple[LeftOut, ...] = ()
    names_single: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it computes what the cell does, whatever the precision."""
        return not self.left_out and not self.names_single


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
    """Why a statement is not plain; ``known`` are the names that the notebook binds.

    ``names_single`` tells whether one names single precision, ``has_power`` whether a power in it can be complex.
    """

    def __init__(self, known: Callable[[], Collection[str]]) -> None:
        self.known = known
        self.found: list[str] = []
        self.names_single = False
        self.has_power = False

    def visit_Constant(self, node: ast.Constant) -> None:
        self.names_single |= isinstance(node.value, str) and _SINGLE.match(node.value) is not None
        if isinstance(node.value, complex | bytes):
            self.found.append(f"a constant of the type {type(node.value).__name__}")

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        is_other_builtin = name in _OTHER_BUILTINS and name not in self.known()
        if name.startswith("__") or (isinstance(node.ctx, ast.Load) and (name in _NEVER or is_other_builtin)):
            self.found.append(f"the name {name}")
        self.has_power |= name == "pow"

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.has_power |= _can_be_complex(node.op, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.has_power |= _can_be_complex(node.op, node.value)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.attr not in _attributes():
                self.found.append(f"the attribute {node.attr}")
        elif node.attr not in _STORED or (isinstance(node.value, ast.Attribute) and node.value.attr == "Tensor"):
            self.found.append(f"an assignment to the attribute {node.attr}")
        self.names_single |= node.attr in _WIDE
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        values = [keyword.value for keyword in node.keywords if keyword.arg == "dtype"]
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CONVERSIONS:
            values += node.args
        for value in values:
            if (
                isinstance(value, ast.Constant)
                and isinstance(value.value, str)
                and value.value not in _DTYPES | _TENSOR_TYPES
            ):
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
            node.value = _SINGLE.sub(lambda found: found[1] + _WIDE[found[3]], node.value)
        return node


class _RealPower(ast.NodeTransformer):
    """Calls :func:`real_power` for powers."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "pow" and isinstance(node.ctx, ast.Load):
            node.id = POWER
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _power(node, node.left, node.right) if _can_be_complex(node.op, node.right) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if _can_be_complex(node.op, node.value) and isinstance(node.target, ast.Name):
            power = _power(node, ast.Name(node.target.id, ast.Load()), node.value)
            return ast.copy_location(ast.Assign([node.target], power), node)
        return node


def _can_be_complex(operator: ast.operator, exponent: ast.expr) -> bool:
    """Whether an operation is a power other than a whole one; a whole power of a real number is real."""
    number = exponent.operand if isinstance(exponent, ast.UnaryOp) else exponent
    is_whole = isinstance(number, ast.Constant) and isinstance(number.value, int)
    return isinstance(operator, ast.Pow) and not is_whole


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
    """The plain statements of the cells of one notebook, in double precision; ``known`` are the names of its setup.

    A cell that is plain, and the same in double precision, is left as it is written.
    """
    parsed = [ParsedCell.of(_TIME.sub(r"\1", source) if "%time" in source else source) for source in sources]
    texts = ["".join(cell.lines) if cell else "" for cell in parsed]

    @functools.cache
    def names() -> frozenset[str]:
        bound = (name for text in texts for name in _bound(_tree(text)))
        return frozenset([*known, *bound])

    cells = []
    for source, cell, text in zip(sources, parsed, texts, strict=True):
        # of a block that was taken apart, the head would not be looked at
        is_simple = cell is not None and not cell.whole and not any(step.blocks for step in cell.steps)
        if cell and is_simple and all(_is_as_it_is(step.node, names) for step in cell.steps):
            cells.append(PlainCell(source))
        else:
            cells.append(_plain(_tree(text), source.splitlines(), names))
    return cells


def _is_as_it_is(statement: ast.stmt, names: Callable[[], Collection[str]]) -> bool:
    reasons = _Reasons(names)
    reasons.visit(statement)
    return not reasons.found and not reasons.names_single and not reasons.has_power


def _tree(text: str) -> ast.Module:
    """The syntax tree of a cell, to be changed."""
    return copy.deepcopy(tree_of(text)) or ast.Module([], [])


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


def _plain(tree: ast.Module, lines: Sequence[str], known: Callable[[], Collection[str]]) -> PlainCell:
    left_out: list[LeftOut] = []
    reasons = _Reasons(known)
    reasons.visit(tree)
    kept = list(_kept(_Annotations().visit(tree).body, known, lines, left_out))
    module = ast.fix_missing_locations(_RealPower().visit(_Double().visit(ast.Module(kept, []))))
    return PlainCell(ast.unparse(module), tuple(left_out), reasons.names_single)


def _reasons(node: ast.AST, known: Callable[[], Collection[str]]) -> list[str]:
    reasons = _Reasons(known)
    reasons.visit(node)
    return reasons.found


def _kept(
    statements: Sequence[ast.stmt], known: Callable[[], Collection[str]], lines: Sequence[str], left_out: list[LeftOut]
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
            left_out.append(_left_out(statement, lines, reasons))
            yield from _kept(statement.body, known, lines, left_out)
            reasons = []
        elif not _head_reasons(statement, known) and hasattr(statement, "body"):
            _keep_inside(statement, known, lines, left_out)
            if not _reasons(statement, known):
                yield statement
                continue
        if reasons:
            left_out.append(_left_out(statement, lines, reasons))


def _left_out(statement: ast.stmt, lines: Sequence[str], reasons: Sequence[str]) -> LeftOut:
    text = lines[statement.lineno - 1].strip() if statement.lineno <= len(lines) else ""
    return LeftOut(statement.lineno, text, "a magic" if text.startswith(("%", "!")) else reasons[0])


def _with_names(statement: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    other = (
        ast.Import(names)
        if isinstance(statement, ast.Import)
        else ast.ImportFrom(statement.module, names, statement.level)
    )
    return ast.copy_location(other, statement)


def _head_reasons(statement: ast.stmt, known: Callable[[], Collection[str]]) -> list[str]:
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


def _keep_inside(
    statement: ast.stmt, known: Callable[[], Collection[str]], lines: Sequence[str], left_out: list[LeftOut]
) -> None:
    """Leave out what is not plain in the bodies of a statement."""
    for part in (statement, *getattr(statement, "handlers", ())):
        for field in _BODIES:
            if body := getattr(part, field, None):
                setattr(part, field, list(_kept(body, known, lines, left_out)) or [ast.copy_location(ast.Pass(), part)])
