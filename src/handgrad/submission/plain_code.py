"""What of a cell is plain: arithmetic on tensors, by syntax alone.

A gradient is plain arithmetic: names, operators, indexing, loops, functions, and calls of public functions of torch,
math and numpy. The statements that are more than that are left out, one by one, and the rest is a cell in double
precision. An attribute must be on a list whatever it is read from, so an alias of a module changes nothing.
"""

import ast
import builtins
import copy
import functools
import importlib
import inspect
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from types import ModuleType

import torch

from handgrad.notebook.syntax import ParsedCell
from handgrad.notebook.syntax_trees import bound_by, bound_in, tree_of

__all__ = ["POWER", "REAL", "LeftOut", "PlainCell", "in_double", "plain_cells", "real", "real_power"]

POWER, REAL = "_real_power", "_real"
"""The names under which plain cells call :func:`real_power` in place of ``pow``, and :func:`real`."""
_LISTS = json.loads(files("handgrad.submission").joinpath("plain_names.json").read_text(encoding="utf-8"))
_MODULES, _BUILTINS, _NEVER = (frozenset(_LISTS[name]) for name in ("modules", "builtins", "never"))
_STORED, _TYPES = (frozenset(_LISTS[name]) for name in ("stored", "types"))
_REFUSED = re.compile("|".join(_LISTS["refused"]))
_BODIES = ("body", "orelse", "finalbody")
_DTYPES = (
    "float",
    "float32",
    "float64",
    "f4",
    "f8",
    "i4",
    "i8",
    "int",
    "int32",
    "int64",
    "torch.float32",
    "torch.float64",
)
_TENSOR_TYPES = ("torch.FloatTensor", "torch.DoubleTensor", "torch.LongTensor", "torch.IntTensor")
_TYPE_TEXTS = frozenset(("cpu", *_DTYPES, *_TENSOR_TYPES))
"""What a cell may say of a type as a text."""
_WIDE = {"float": "double", "float32": "float64", "single": "double", "FloatTensor": "DoubleTensor", "f4": "f8"}
_SINGLE = re.compile(r"^((torch\.)?)(float32|FloatTensor|f4)$")
_ERRORS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)
_OTHER_BUILTINS = frozenset(dir(builtins)) - _BUILTINS - _ERRORS
_TIME = re.compile(r"(?m)^(\s*)%time[ \t]+(?=\S)")
_LOOP = re.compile(r"\b(for|while|map|starmap|vmap|lambda|eye|identity|diag|diag_embed)\b")
_FUNCTION = re.compile(r"\b(def|lambda)\b")
_DEFINED = re.compile(r"[(=]")
_WORD = re.compile(r"\b(?!def\b|async\b|lambda\b)[^\W\d]\w*")
_IDLE = frozenset({"inference_mode", "wraps", "lru_cache", "cache"})
"""Decorators of Python's and torch's own that change no value."""
_MAY_BE_LONG = re.compile(r"numpy|\bnp\b|\.type\(|\bformat\b")
"""Whether a notebook can hold complex or long numbers that no power gave: then everything is looked at."""
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

    ``names_single`` tells whether the cell names single precision, for which ``source`` says double; ``has_code``
    whether an annotation or a decorator was removed that calls something; ``may_probe`` whether it has a loop or
    calls a function of the notebook's own.
    """

    source: str
    left_out: tuple[LeftOut, ...] = ()
    names_single: bool = False
    has_code: bool = False
    may_probe: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it computes what the cell does, whatever the precision."""
        return not self.left_out and not self.names_single and not self.has_code


@functools.cache
def _attributes(modules: tuple[str, ...] = ()) -> frozenset[str]:
    """The attributes that may be read: those of the list, and the public functions of torch, of tensors and of some
    ``modules``.
    """
    found = {*dir(torch.Tensor)}
    public: tuple[ModuleType, ...] = (torch, torch.nn.functional, torch.linalg, torch.special)
    for module in (*public, *map(importlib.import_module, modules)):
        for name in dir(module):
            value = getattr(module, name, None)
            if name == name.lower() and callable(value) and not inspect.isclass(value):
                found.add(name)
    found = {name for name in found if not name.startswith("_") and not _REFUSED.search(name)}
    return frozenset(found.union(_LISTS["attributes"]))


class _Names:
    """What the cells of a notebook may say: ``modules`` that may be imported, and ``attributes`` that may be read."""

    def __init__(self, texts: Sequence[str], setup: Collection[str], modules: tuple[str, ...]) -> None:
        self._texts, self._setup = texts, setup
        self.may_be_long = any(map(_MAY_BE_LONG.search, texts))
        self.modules, self.attributes = _MODULES.union(modules), _attributes(modules)

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """The names that the setup or a cell binds; only computed if a cell says a name that is one of Python's own."""
        nodes = (node for text in self._texts for node in ast.walk(_tree(text)))
        return frozenset(self._setup).union(*map(bound_by, nodes))


class _Reasons(ast.NodeVisitor):
    """Why a statement is not plain; ``lost`` are the names that only statements which are left out bind.

    ``names_single`` tells whether one names single precision, ``has_power`` whether a power in it can be complex.
    """

    def __init__(self, names: "_Names", lost: Collection[str] = ()) -> None:
        self.names, self.lost = names, lost
        self.found: list[str] = []
        self.names_single = False
        self.has_power = False

    def visit_Constant(self, node: ast.Constant) -> None:
        self.names_single |= isinstance(node.value, str) and _SINGLE.match(node.value) is not None
        if isinstance(node.value, complex | bytes):
            self.found.append(f"a constant of the type {type(node.value).__name__}")

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        is_other_builtin = name in _OTHER_BUILTINS and name not in self.names.known
        is_read = not isinstance(node.ctx, ast.Store)
        if name.startswith("__") or (is_read and (name in _NEVER or is_other_builtin or name in self.lost)):
            self.found.append(f"the name {name}")
        self.has_power |= name == "pow"

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.has_power |= _can_be_complex(node.op, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.has_power |= _can_be_complex(node.op, node.value)
        if isinstance(node.target, ast.Name) and node.target.id in self.lost:
            self.found.append(f"the name {node.target.id}")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.attr not in self.names.attributes:
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
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value not in _TYPE_TEXTS:
                self.found.append(f"the type {value.value!r}")
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [f"the import of {alias.name}" for alias in node.names if alias.name not in self.names.modules]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module not in self.names.modules:
            self.found.append(f"the import from {node.module}")
            return
        names = (alias.name for alias in node.names)
        self.found += [f"the import of {name}" for name in names if name not in self.names.attributes | _TYPES]

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


class _WrittenNames(ast.NodeTransformer):
    """Writes ``globals()['x']`` as ``x`` and ``getattr(x, 'T')`` as ``x.T``: such a name is not computed.

    Functions are left as they are: a name that is assigned in one is its own.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Subscript(
                value=ast.Call(func=ast.Name("globals" | "locals" | "vars"), args=[], keywords=[]),
                slice=ast.Constant(value=str(name)),
                ctx=context,
            ) if name.isidentifier():
                return ast.copy_location(ast.Name(name, context), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="cuda" | "mps"), attr="is_available"), args=[]):
                # there is none where submissions are graded
                return ast.copy_location(ast.Constant(value=False), node)
            case ast.Call(func=ast.Name("getattr"), args=[value, ast.Constant(value=str(name))], keywords=[]) if (
                name.isidentifier()
            ):
                return ast.copy_location(ast.Attribute(value, name, ast.Load()), node)
        return node


class _Annotations(ast.NodeTransformer):
    """Removes annotations, and decorators that change no value; ``has_code`` tells whether one calls something."""

    has_code = False

    def _remove(self, node: ast.AST | None) -> None:
        self.has_code |= node is not None and any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node))

    def visit_arg(self, node: ast.arg) -> ast.arg:
        self._remove(node.annotation)
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._remove(node.returns)
        node.returns = None
        for decorator in node.decorator_list:
            if _named(decorator) in _IDLE:
                node.decorator_list = [other for other in node.decorator_list if other is not decorator]
                self.has_code = True
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self._remove(node.annotation)
        self.generic_visit(node)
        plain = ast.Assign([node.target], node.value) if node.value else ast.Pass()
        return ast.copy_location(plain, node)


def _named(decorator: ast.expr) -> str:
    """The last name of a decorator, with or without arguments."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


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


class _Real(ast.NodeTransformer):
    """Calls :func:`real` for what powers give, and if ``every``, for what all calls and operators give."""

    def __init__(self, every: bool) -> None:
        self.every = every

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "pow" and isinstance(node.ctx, ast.Load):
            node.id = POWER
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return _checked(node) if self.every else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _checked(node) if self.every or _can_be_complex(node.op, node.right) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if _can_be_complex(node.op, node.value):
            read = copy.deepcopy(node.target)
            read.ctx = ast.Load()
            power = ast.BinOp(read, node.op, node.value)
            return ast.copy_location(ast.Assign([node.target], _checked(ast.copy_location(power, node))), node)
        return node


def _checked(node: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Call(ast.Name(REAL, ast.Load()), [node], []), node)


def _can_be_complex(operator: ast.operator, exponent: ast.expr) -> bool:
    """Whether an operation is a power other than a whole one; a whole power of a real number is real."""
    number = exponent.operand if isinstance(exponent, ast.UnaryOp) else exponent
    is_whole = isinstance(number, ast.Constant) and isinstance(number.value, int)
    return isinstance(operator, ast.Pow) and not is_whole


def real_power(base: object, exponent: object) -> object:
    """``base ** exponent``; a ValueError if it is a complex number, as the complex step differentiates."""
    return real(base**exponent)  # type: ignore[operator]


def real(value: object) -> object:
    """The value; a ValueError if it is complex, holds objects, or has more than double precision.

    The complex step, and small steps in long numbers, differentiate exactly.
    """
    dtype = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    is_long = kind == "f" and getattr(dtype, "itemsize", 0) > 8
    if isinstance(value, complex) or getattr(dtype, "is_complex", False) or kind in ("c", "O", "V") or is_long:
        raise ValueError(f"a value is of the type {dtype or type(value).__name__}")
    return value


@functools.lru_cache(maxsize=128)
def in_double(source: str) -> str:
    """The same Python code in double precision, as far as it names a precision; other text is left alone."""
    tree = tree_of(source)
    return ast.unparse(ast.fix_missing_locations(_Double().visit(copy.deepcopy(tree)))) if tree else source


def plain_cells(sources: Sequence[str], known: Collection[str], modules: Sequence[str] = ()) -> list[PlainCell]:
    """The plain statements of the cells of one notebook, in double precision.

    A cell that is plain, and the same in double precision, is left as it is written.

    Parameters
    ----------
    known
        The names of its setup.
    modules
        Further modules whose public functions are plain (default: none).

    Raises
    ------
    ImportError
        There is no such module.
    """
    parsed = [ParsedCell.of(_TIME.sub(r"\1", source) if "%time" in source else source) for source in sources]
    texts = ["".join(cell.lines) if cell else "" for cell in parsed]
    names = _Names(texts, known, tuple(modules))
    lost: frozenset[str] = frozenset()
    while True:
        cells: list[PlainCell] = []
        left_out: set[str] = set()
        for source, cell, text in zip(sources, parsed, texts, strict=True):
            # of a block that was taken apart, the head would not be looked at
            is_simple = cell is not None and not cell.whole and not any(step.blocks for step in cell.steps)
            if (
                cell
                and is_simple
                and not names.may_be_long
                and all(_is_as_it_is(step.node, names, lost) for step in cell.steps)
            ):
                cells.append(PlainCell(source))
            else:
                plain = _Plain(text, source.splitlines(), names, lost)
                cells.append(plain.cell)
                left_out |= plain.unbound
        # what an import, a class or a manager that was left out would have bound has no value
        if left_out:
            left_out = left_out.difference(known, *(_assigned(_tree(cell.source)) for cell in cells))
        if left_out <= lost:
            probing = list(_may_probe(texts))
            return [replace(cell, may_probe=may) if may else cell for cell, may in zip(cells, probing, strict=True)]
        lost |= left_out


def _may_probe(texts: Sequence[str]) -> Iterator[bool]:
    """Whether each cell has a loop, or may call a function that one of the cells defines: by its words alone."""
    functions: set[str] = set()
    lines = [line for text in texts for line in text.splitlines()] if any(map(_FUNCTION.search, texts)) else []
    while True:
        more = set()
        for line in lines:
            passed_on = (word for word in _WORD.finditer(line) if not line[word.end() :].lstrip().startswith("("))
            if _FUNCTION.search(line) or any(word[0] in functions for word in passed_on):
                # the name of the function, or another name for it
                more.update(_WORD.findall(_DEFINED.split(line)[0]))
        if more <= functions:
            break
        functions |= more
    has_lambda = any("lambda" in text for text in texts)
    for text in texts:
        yield has_lambda or bool(_LOOP.search(text)) or not functions.isdisjoint(_WORD.findall(text))


def _is_as_it_is(statement: ast.stmt, names: _Names, lost: Collection[str]) -> bool:
    reasons = _Reasons(names, lost)
    reasons.visit(statement)
    return not reasons.found and not reasons.names_single and not reasons.has_power


def _tree(text: str) -> ast.Module:
    """The syntax tree of a cell, to be changed."""
    return copy.deepcopy(tree_of(text)) or ast.Module([], [])


def _assigned(tree: ast.Module) -> set[str]:
    """The names that the statements of a cell give a value: in functions only those that are declared global."""
    declared = (node.names for node in ast.walk(tree) if isinstance(node, ast.Global))
    return bound_in(tree, augmented=False).union(*declared)


class _Plain:
    """The plain statements of the ``text`` of a cell, which has these ``lines``, as a new ``cell``.

    ``unbound`` are the names that a statement which was left out would have bound.
    """

    def __init__(self, text: str, lines: Sequence[str], names: _Names, lost: Collection[str]) -> None:
        self.lines, self.names, self.lost = lines, names, lost
        self.unbound: set[str] = set()
        self._left_out: list[LeftOut] = []
        annotations = _Annotations()
        tree = annotations.visit(_WrittenNames().visit(_tree(text)))
        reasons = _Reasons(names)
        reasons.visit(tree)
        kept = ast.Module(list(self._kept(tree.body)), [])
        kept = _Real(names.may_be_long).visit(_Double().visit(kept))
        source = ast.unparse(ast.fix_missing_locations(kept))
        self.cell = PlainCell(source, tuple(self._left_out), reasons.names_single, annotations.has_code)

    def _reasons(self, *nodes: ast.AST) -> list[str]:
        reasons = _Reasons(self.names, self.lost)
        for node in nodes:
            reasons.visit(node)
        return reasons.found

    def _kept(self, statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
        """The plain ones of some statements; a compound statement keeps what is plain inside it."""
        for statement in statements:
            reasons = self._reasons(statement)
            if not reasons:
                yield statement
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                plain = [alias for alias in statement.names if not self._reasons(_with_names(statement, [alias]))]
                if plain:
                    yield _with_names(statement, plain)
                others = [alias for alias in statement.names if alias not in plain]
                self._leave_out(statement, reasons, others)
            elif isinstance(statement, ast.With) and self._reasons(*statement.items):
                # the manager goes, what it manages stays
                self._leave_out(statement, reasons, statement.items)
                yield from self._kept(statement.body)
            elif hasattr(statement, "body") and not self._reasons(*_head(statement)):
                self._keep_inside(statement)
                if again := self._reasons(statement):
                    self._leave_out(statement, again, [statement])
                else:
                    yield statement
            else:
                self._leave_out(statement, reasons, [statement])

    def _keep_inside(self, statement: ast.stmt) -> None:
        """Leave out what is not plain in the bodies of a statement."""
        for part in (statement, *getattr(statement, "handlers", ())):
            for field in _BODIES:
                if body := getattr(part, field, None):
                    setattr(part, field, list(self._kept(body)) or [ast.copy_location(ast.Pass(), part)])

    def _leave_out(self, statement: ast.stmt, reasons: Sequence[str], parts: Sequence[ast.AST]) -> None:
        line = statement.lineno
        text = self.lines[line - 1].strip() if line <= len(self.lines) else ""
        why = "a magic" if text.startswith(("%", "!")) else reasons[0]
        self._left_out.append(LeftOut(line, text, why))
        for part in parts:
            self.unbound |= bound_in(part)


def _with_names(statement: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    other = (
        ast.Import(names)
        if isinstance(statement, ast.Import)
        else ast.ImportFrom(statement.module, names, statement.level)
    )
    return ast.copy_location(other, statement)


def _head(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts of a compound statement that are not in its bodies; a class is all head."""
    if isinstance(statement, ast.ClassDef) or getattr(statement, "name", "").startswith("__"):
        yield statement
    for field, value in ast.iter_fields(statement):
        if field not in (*_BODIES, "handlers"):
            yield from (node for node in (value if isinstance(value, list) else [value]) if isinstance(node, ast.AST))
