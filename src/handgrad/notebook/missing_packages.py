"""What a cell does without a package that is not installed here: the rest of it runs, with a stand-in for the package.

A student's notebook may mount a drive, log to a service or show a progress bar. Only what needs the value of such a
package fails; the exception names the package.
"""

import ast
import itertools
import types
from collections.abc import Sequence
from typing import Any, NoReturn

from IPython.core.error import UsageError

from handgrad.notebook.syntax_trees import bound_in

__all__ = ["StandIn", "is_lacking", "one_by_one", "place_in", "put_stand_ins", "statements_after"]

MAX_NAME = 20
"""Characters of a package's name in the name of a stand-in's class."""
_NEED_A_VALUE = (
    *("bool", "len", "iter", "next", "contains", "getitem", "delitem", "int", "float", "complex", "index", "reversed"),
    *("mro_entries", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert", "round", "await", "aiter"),
    *(
        prefix + name
        for name in ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
        for prefix in ("", "r", "i")
    ),
)
"""Special methods, without their underscores, that would need the package."""


class StandIn:
    """Stands for a package that is not installed, and for everything in it.

    Calls and attributes give the stand-in again, a function that it decorates stays as it is, and what needs a value
    raises ModuleNotFoundError.
    """

    def __init__(self, package: str) -> None:
        self.__dict__["_package"] = package

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """The stand-in again, or the function that it decorates."""
        match arguments:
            case [types.FunctionType() as decorated] if not options:
                return decorated
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _needs_a_value(self: StandIn, *_: Any) -> NoReturn:
    package = self.__dict__["_package"]
    raise ModuleNotFoundError(f"No module named {package!r}", name=package)


for _method in _NEED_A_VALUE:
    setattr(StandIn, f"__{_method}__", _needs_a_value)


def is_lacking(error: BaseException) -> bool:
    """Whether a cell raised this because a package, or a magic of IPython's, is not installed here."""
    return isinstance(error, (ModuleNotFoundError, UsageError))


def place_in(error: BaseException, namespace: dict[str, Any], depth: int = 0) -> tuple[int, int] | None:
    """Line and column in the code of a cell, which runs in ``namespace``, where it raised ``error``.

    With the ``depth`` 1 those in the body of a cell magic that the cell consists of; None if there is none.
    """
    traceback, found = error.__traceback__, 0
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if traceback.tb_frame.f_globals is namespace and code.co_name == "<module>":
            if found == depth:
                line, _, column, _ = next(itertools.islice(code.co_positions(), traceback.tb_lasti // 2, None))
                return (line or traceback.tb_lineno, column or 0)
            found += 1
        traceback = traceback.tb_next
    return None


def statements_after(body: Sequence[ast.stmt], place: tuple[int, int]) -> tuple[ast.stmt | None, list[ast.stmt]]:
    """The statement at a place, and those that follow it; those in the same ``if`` or ``with`` are among them."""
    for index, statement in enumerate(body):
        if not _holds(statement, place):
            continue
        failed: ast.stmt | None = statement
        rest: list[ast.stmt] = []
        match statement:
            case ast.If(body=first, orelse=second):
                branch = next(
                    (part for part in (first, second) if any(_holds(statement, place) for statement in part)), []
                )
                failed, rest = statements_after(branch, place) if branch else (statement, [])
            case ast.With(items=items, body=inner) if any(_holds(statement, place) for statement in inner):
                failed, rest = statements_after(inner, place)
                rest = [ast.copy_location(ast.With(items, rest), statement)] if rest else []
        return failed, [*rest, *body[index + 1 :]]
    return None, []


def one_by_one(statement: ast.stmt | None) -> list[ast.stmt]:
    """The imports of a statement with several of them; empty for any other statement."""
    match statement:
        case ast.Import(names=[_, _, *_] as names):
            return [ast.copy_location(ast.Import([name]), statement) for name in names]
    return []


def _holds(statement: ast.stmt, place: tuple[int, int]) -> bool:
    """Whether a statement, with its decorators, extends over a place."""
    starts = [statement, *getattr(statement, "decorator_list", [])]
    start = min((node.lineno, node.col_offset) for node in starts)
    return start <= place < (statement.end_lineno or 0, statement.end_col_offset or 0)


def put_stand_ins(statement: ast.stmt, error: BaseException, namespace: dict[str, Any]) -> None:
    """Put a stand-in for the package that ``error`` names where a ``statement`` would have assigned a name."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return
    name = _package(statement, str(error.name))
    kind = type(f"stand-in for {name[:MAX_NAME]} (not installed where notebooks are graded)", (StandIn,), {})
    stand_in = kind(name)
    for bound in bound_in(statement) - {"*"}:
        namespace.setdefault(bound, stand_in)


def _package(statement: ast.stmt, name: str) -> str:
    """The full name of what a statement imports: ``google.colab``, not ``google``."""
    match statement:
        case ast.Import(names=aliases):
            return next((alias.name for alias in aliases if f"{alias.name}.".startswith(f"{name}.")), name)
        case ast.ImportFrom(module=str(module)) if f"{module}.".startswith(f"{name}."):
            return module
    return name
