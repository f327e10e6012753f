"""Names in a notebook's cells that no formula needs: autograd, whose gradients could be copied, and Python internals.

They are read from the syntax tree. Comments, strings, what is only printed or compared, and the student's own variables
with the name of a module are ignored. This is no protection, which is the task of the sandbox: it is a hint for manual
review.
"""

import ast
import copy
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

from handgrad.notebook.shell import to_python
from handgrad.notebook.syntax_trees import parse, root_of

__all__ = ["ForbiddenUse", "find_forbidden"]

_AUTOGRAD = ("torch.autograd", "torch.func", "functorch")
_HARMLESS = (
    "no_grad",
    "enable_grad",
    "set_grad_enabled",
    "inference_mode",
    "grad_mode",
    "set_detect_anomaly",
    "Variable",
)
"""Names in ``torch.autograd`` that give no gradient."""
_OPERATORS = re.compile(r"torch\.(ops\.aten|_C\._nn)\.\w*backward|torch\.nn\.grad\.")
"""Names of what autograd calls for a derivative."""
_INTERNALS = (
    *("torch._C", "torch._functorch", "handgrad.sandbox", "ctypes", "_ctypes", "cffi", "os._exit", "posix._exit"),
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents"),
    *("sys.settrace", "sys.setprofile", "sys._getframe", "sys._current_frames", "threading.settrace"),
    *("inspect.currentframe", "inspect.stack", "inspect.trace", "inspect.getouterframes", "inspect.getinnerframes"),
)
_INSIDE = ("__closure__", "cell_contents", "f_back", "tb_frame")
_OPENERS = ("open", "io.open", "os.open", "os.listdir", "os.scandir", "os.readlink", "pathlib.Path", "glob.glob")
_SIZES = ("shape", "dtype", "device", "ndim", "size", "dim", "numel")
_TIMERS = ("time", "timeit", "capture")
"""IPython's magics whose body is Python."""
MAX_SOURCE = 50_000
"""Characters of the longest cell that IPython transforms, which is slow."""


@dataclass(frozen=True)
class ForbiddenUse:
    """The forbidden names that one cell uses, in the order of their use.

    ``copied`` are the gradients that are assigned from a ``.grad``; a name in ``autograd`` is ``torch.autograd.grad``,
    one in ``internals`` ``torch._C``.
    """

    copied: frozenset[str] = frozenset()
    autograd: tuple[str, ...] = ()
    internals: tuple[str, ...] = ()


def find_forbidden(
    sources: Sequence[str], gradients: Collection[str], before: Sequence[str] = (), given: Collection[str] = ()
) -> list[ForbiddenUse]:
    """The forbidden names that each cell uses; none for a cell that is not Python.

    The ``sources`` are in the order in which they run: the imports of one hold in the next, and those of the cells
    ``before`` in all. The tensors in ``given`` have a ``.grad`` that is given to the student.
    """
    reader = copy.copy(_after(tuple(before), frozenset(gradients), frozenset(given)))
    reader.modules = dict(reader.modules)
    return [reader.read(source) for source in sources]


@lru_cache
def _after(before: tuple[str, ...], gradients: frozenset[str], given: frozenset[str]) -> "_Reader":
    """A reader that has read the cells ``before``, which are the same for every submission."""
    reader = _Reader(gradients, given)
    for source in before:
        reader.read(source)
    return reader


def _parsed(source: str) -> ast.Module:
    with warnings.catch_warnings(), suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        warnings.simplefilter("ignore")
        tree = parse(source)
        if tree is None and len(source) <= MAX_SOURCE:
            tree = parse(to_python(source))
        if tree is not None:
            return tree
    return ast.Module([], [])


class _Reader(ast.NodeVisitor):
    """Reads cells one after the other, and keeps track of which names are modules."""

    def __init__(self, gradients: Collection[str], given: Collection[str]) -> None:
        self.gradients, self.given = gradients, given
        self.modules = {name: name for name in ("open", "getattr", "__import__", "get_ipython")}
        self.tainted: set[str] = set()

    def read(self, source: str) -> ForbiddenUse:
        """The forbidden names that one cell uses."""
        self.copied: set[str] = set()
        self.autograd: list[str] = []
        self.internals: list[str] = []
        # code that is nested so deeply is not a formula
        with suppress(RecursionError):
            self.visit(_parsed(source))
        return ForbiddenUse(
            frozenset(self.copied), tuple(dict.fromkeys(self.autograd)), tuple(dict.fromkeys(self.internals))
        )

    # names

    def path(self, node: ast.AST) -> str:
        """The full name of the module, or of the name in a module, that ``node`` refers to; empty if it is neither."""
        match node:
            case ast.Name(id=name):
                return self.modules.get(name, "")
            case ast.Attribute(value=value, attr=attribute):
                return _joined(self.path(value), attribute)
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
                return name if self.path(function) in ("__import__", "importlib.import_module") else ""
            case ast.Call(func=function, args=[value, ast.Constant(value=str(name)), *_]):
                return _joined(self.path(value), name) if self.path(function) == "getattr" else ""
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
                return name if self.path(value) == "sys.modules" else ""
        return ""

    def note(self, path: str) -> bool:
        """Record ``path`` if no formula needs it; whether it is the name of anything in a module."""
        if not path:
            return False
        self.internals += [name for name in _INTERNALS if path == name or path.startswith(f"{name}.")]
        parts = path.split(".")
        is_autograd = any(path.startswith(f"{name}.") for name in _AUTOGRAD)
        if (is_autograd and parts[len(parts) > 2 and 2] not in _HARMLESS) or _OPERATORS.match(path):
            self.autograd.append(path)
        return True

    def bind(self, name: str, path: str = "") -> None:
        """Let ``name`` refer to ``path``, or to something of the student's own."""
        self.modules.pop(name, None)
        if path:
            self.modules[name] = path

    @contextmanager
    def scope(self, *names: str) -> Iterator[None]:
        """An inner scope, in which ``names`` are the student's."""
        outside = dict(self.modules)
        for name in names:
            self.bind(name)
        yield
        self.modules = outside

    def visit_each(self, *nodes: ast.AST) -> None:
        """Visit ``nodes`` in this order."""
        for node in nodes:
            self.visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.note(alias.name)
            path = alias.name if alias.asname else alias.name.split(".")[0]
            self.bind(alias.asname or path, path)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            path = _joined(node.module or "", "" if alias.name == "*" else alias.name)
            self.note(path)
            self.bind(alias.asname or alias.name, path)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.note(self.path(node))
        else:
            self.bind(node.id)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.bind(node.name)
        self.visit_each(*node.decorator_list)
        with self.scope(*_parameters(node.args)):
            self.visit_each(*node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Return(self, node: ast.Return) -> None:
        self.generic_visit(node)
        if node.value and self.holds_grad(node.value):
            self.autograd.append("grad")

    def visit_Lambda(self, node: ast.Lambda) -> None:
        with self.scope(*_parameters(node.args)):
            self.visit(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bind(node.name)
        with self.scope():
            self.generic_visit(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit_each(node.iter, node.target, *node.body, *node.orelse)

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        with self.scope():
            self.visit_each(*node.generators, node.elt)

    visit_SetComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    # uses

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self.note(self.path(node)):
            if node.attr in _INSIDE:
                self.internals.append(node.attr)
            if node.attr == "grad_fn":
                self.autograd.append("grad_fn")
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        function = self.path(node.func)
        self.note(self.path(node))
        if isinstance(node.func, ast.Attribute) and node.func.attr == "backward" and not function:
            self.autograd.append("backward")
        first = node.args[0] if node.args else None
        if function in _OPENERS and _text(first).startswith("/proc"):
            self.internals.append("/proc")
        if function == "os.write" and isinstance(first, ast.Constant) and first.value not in (0, 1, 2):
            self.internals.append("os.write")
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method), args=[_, *_]):
                if name in self.gradients and method.endswith("_") and any(map(self.holds_grad, node.args)):
                    self.copied.add(name)
            case ast.Call(
                func=ast.Attribute(attr="run_cell_magic" | "run_line_magic"), args=[ast.Constant(value=magic), *_, body]
            ) if magic in _TIMERS:
                self.visit(_parsed(_text(body)))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr) -> None:
        if node.value is None:
            return
        self.visit(node.value)
        path, copies = self.path(node.value), self.holds_grad(node.value)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self.visit(target)
            names = {root_of(part) for part in getattr(target, "elts", [target])}
            self.tainted = self.tainted | names if copies else self.tainted - names
            self.copied |= names & set(self.gradients) if copies else set()
            if isinstance(target, ast.Name):
                self.bind(target.id, path)

    visit_AugAssign = visit_AnnAssign = visit_NamedExpr = visit_Assign  # noqa: N815

    def holds_grad(self, node: ast.AST) -> bool:
        """Whether the value of ``node`` is computed from a ``.grad``, not only from its size or a comparison."""
        match node:
            case ast.Name(id=name):
                return name in self.tainted
            case ast.Compare() | ast.Lambda() | ast.Constant():
                return False
            case ast.Attribute(attr=name) if name in _SIZES:
                return False
            case ast.Attribute(value=ast.Name(id=name), attr="grad") if name in self.given:
                return False
            case ast.Attribute(attr="grad"):
                return not self.path(node)
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name.endswith("_like") or name == "cmp":
                return False
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value="grad"), *_]):
                return True
        return any(map(self.holds_grad, ast.iter_child_nodes(node)))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path


def _parameters(arguments: ast.arguments) -> list[str]:
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return [argument.arg for argument in every if argument is not None]


def _text(node: ast.AST | None) -> str:
    """The text with which ``node`` begins; empty if it is not a text."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
