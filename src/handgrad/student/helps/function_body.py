"""A forward pass that stands in a function, with the backward pass below it: its body as cells of a notebook."""

import ast
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from handgrad.gradients.autograd_graph import LOSS, is_scalar_loss
from handgrad.student.helps.statements import Statement, needed, statements_of

__all__ = ["unfolded"]


def unfolded(cells: Sequence[str], namespace: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]] | None:
    """The cells and variables of a notebook in which the body of its function is a cell and was run.

    The function makes a ``loss``; of several, that with the most steps, since others only check it. Its arguments are
    those of a call of it elsewhere, as in another function whose own arguments have defaults. The tensors that it reads
    are leaves with a gradient. None if there is no such function, no call of it, or if the forward pass in it raises.
    ``namespace`` stays as it is.
    """
    statements = statements_of(cells)
    functions = [statement.node for statement in statements if isinstance(statement.node, ast.FunctionDef)]
    # a name that was defined twice is its last definition
    latest = {function.name: function for function in functions if _steps(function)}
    for function in sorted(latest.values(), key=_steps, reverse=True):
        for statement in reversed(statements):
            arguments = _arguments(statement, function)
            if arguments is None or (variables := _run([*arguments, *_body(function)], namespace)) is None:
                continue
            others = [other for other in statements if function.name not in other.binds]
            kept = [other.text for other in others if not _calls(other.node, function.name)]
            return [*kept, *map(ast.unparse, [*arguments, *_body(function)])], variables
    return None


def _steps(function: ast.FunctionDef) -> int:
    """How many assignments stand before the loss; 0 if the function makes none."""
    lines = [Statement.of(node, 0) for node in function.body if isinstance(node, ast.Assign)]
    return next((number for number, line in enumerate(lines, start=1) if LOSS in line.binds), 0)


def _body(function: ast.FunctionDef) -> list[ast.stmt]:
    """The statements up to the function's end, without its docstring and what it returns."""
    return [node for node in function.body if not isinstance(node, ast.Return | ast.Expr)]


def _calls(node: ast.AST, name: str) -> list[ast.Call]:
    return [
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == name
    ]


def _arguments(statement: Statement, function: ast.FunctionDef) -> list[ast.stmt] | None:
    """Statements that give the parameters of ``function`` the values of a call in ``statement``; None if none is there.

    The call stands at the top, or in the body of a function whose parameters all have defaults.
    """
    node = statement.node
    calls = _calls(node, function.name)
    parameters = [parameter.arg for parameter in function.args.args]
    if not calls or node is function or len(calls[0].args) != len(parameters) or calls[0].keywords:
        return None
    given = [_assignment(name, value) for name, value in zip(parameters, calls[0].args, strict=True)]
    if not isinstance(node, ast.FunctionDef):
        return given
    if len(node.args.defaults) != len(node.args.args):
        return None
    before = [
        _assignment(parameter.arg, value) for parameter, value in zip(node.args.args, node.args.defaults, strict=True)
    ]
    for inner in node.body:
        if _calls(inner, function.name):
            break
        before.append(inner)
    lines = [Statement.of(ast.fix_missing_locations(inner), 0) for inner in before]
    names = {part.id for value in calls[0].args for part in ast.walk(value) if isinstance(part, ast.Name)}
    return [*(lines[place].node for place in needed(lines, names, len(lines) - 1)), *given]


def _assignment(name: str, value: ast.expr) -> ast.stmt:
    return ast.fix_missing_locations(ast.Assign([ast.Name(name, ast.Store())], value, lineno=1))


def _run(nodes: Sequence[ast.stmt], namespace: Mapping[str, Any]) -> dict[str, Any] | None:
    """The variables after ``nodes``: a forward pass with its gradients, and what can be run of the lines below it."""
    lines = [Statement.of(node, 0) for node in nodes]
    variables = dict(namespace)
    for name in {name for line in lines for name in line.reads}:
        value = variables.get(name)
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            variables[name] = value.detach().clone().requires_grad_()
    steps = iter(lines)
    try:
        with torch.enable_grad():
            for line in steps:
                exec(line.code, variables)
                for name in line.binds:
                    value = variables.get(name)
                    if isinstance(value, torch.Tensor) and value.requires_grad and not value.is_leaf:
                        value.retain_grad()
                if LOSS in line.binds:
                    break
            if not is_scalar_loss(variables.get(LOSS)):
                return None
            variables[LOSS].backward(retain_graph=True)
    except Exception:
        # any error: with this call the forward pass does not run
        return None
    with contextlib.suppress(Exception), torch.no_grad():
        for line in steps:
            exec(line.code, variables)
    return variables
