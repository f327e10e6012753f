"""A student's names for the exercise's tensors: given with ``--rename``, or recognised by the forward pass."""

import ast
import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence

from nbformat import NotebookNode

from handgrad.errors import RenameError, closest
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import ParsedCell, Statement, steps_of
from handgrad.submission.answer_places import AnswerPlaces

__all__ = ["guess", "renamed", "renames_from"]

CLOSE = 0.8
"""Similarity, by difflib's measure, from which one name may mean the other."""


def renames_from(options: Sequence[str], nodes: Sequence[NotebookNode], exercise: Exercise) -> dict[str, str]:
    """The exercise's names by the student's, from ``THEIRS=OURS`` options.

    Raises
    ------
    RenameError
        An option is not of that form, or has a name that does not exist.
    """
    if not options:
        return {}
    places, known = AnswerPlaces(nodes, exercise), _made(exercise) | {*exercise.stubs}
    used = _used(places)
    names: dict[str, str] = {}
    for option in options:
        theirs, _, ours = (part.strip() for part in option.partition("="))
        text = f"--rename {option}"
        if not (theirs.isidentifier() and ours.isidentifier() and theirs != ours):
            raise RenameError(f"{text} is not THEIRS=OURS, two names such as bnmean=bnmeani.")
        if ours not in known:
            raise RenameError(f"{text}: {exercise.name} has no {ours}.{closest(ours, known)}")
        new = {theirs: ours}
        if ours in exercise.tensors and theirs.startswith("d"):
            new = _with_gradients({theirs.removeprefix("d"): exercise.tensors[ours]})
        elif ours in exercise.tensors.values():
            new = _with_gradients(new)
        if not used.intersection(new):
            raise RenameError(f"{text}: the notebook has no {theirs}.{closest(theirs, used)}")
        if any(name in names or target in names.values() for name, target in new.items()):
            raise RenameError(f"{text}: one of the two names is in another --rename too.")
        for name, target in new.items():
            if target in exercise.stubs and places.written(name) and places.written(target):
                raise RenameError(f"{text}: the notebook assigns both {name} and {target}: delete the old one.")
        names |= new
    return names


def _with_gradients(pairs: Mapping[str, str]) -> dict[str, str]:
    """Tensors by the student's names, each with its gradient."""
    return {**pairs, **{f"d{theirs}": f"d{ours}" for theirs, ours in pairs.items()}}


def renamed(nodes: Sequence[NotebookNode], names: Mapping[str, str]) -> list[NotebookNode]:
    """The cells with the exercise's ``names``."""
    return [_renamed(node, names) if node.cell_type == "code" and names else node for node in nodes]


def guess(places: AnswerPlaces, exercise: Exercise) -> tuple[dict[str, str], str]:
    """The exercise's names by the student's, as far as they are sure, and a note about them.

    The notebook's forward pass is compared with the exercise's. A name is sure if exactly one name of the exercise is
    computed by the same line, and the notebook does not use that name itself.
    """
    try:
        sure, unsure = _guess(places, exercise)
    except RecursionError:  # not written by hand
        return {}, ""
    pairs = [f"{theirs} as {ours}" for theirs, ours in sure.items()]
    sentences = [f"Names were read as in the forward pass: {', '.join(pairs)}."] if pairs else []
    if unsure:
        options = ", ".join(f"--rename {theirs}={ours}" for theirs, ours in unsure)
        sentences.append(f"Some names may mean others of the exercise; if so, add {options}.")
    return _with_gradients(sure), " ".join(sentences)


def _guess(places: AnswerPlaces, exercise: Exercise) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Tensors of the exercise by the student's names that are sure, and pairs of names that may mean the same."""
    forward = [step for step in places.steps.values() if not places.is_training(step)]
    theirs = [line for line in map(_line, forward) if line]
    ours = {target: value for step in _setup(exercise) for target, value in filter(None, [_line(step)])}
    ours = {target: value for target, value in ours.items() if target in exercise.tensors.values()}
    made = _made(exercise)
    answered = {
        tensor
        for stub, tensor in exercise.tensors.items()
        if any(places.steps[place].writes(stub) for place in places.written(stub))
    }
    assigned = answered | {target for target, _ in theirs}
    pairs = dict.fromkeys(pair for pair in _same_lines(theirs, ours) if pair[0] not in made)
    sure = {
        name: target
        for name, target in pairs
        if target not in assigned
        and sum(name == other for other, _ in pairs) == sum(target == other for _, other in pairs) == 1
    }
    open_targets = set(ours) - assigned - set(sure.values())
    others = [pair for pair in pairs if pair[0] not in sure]
    others += _unified(theirs, ours)
    others += _alike(places, exercise)
    unsure = [(name, target) for name, target in others if name not in {*made, *sure} and target in open_targets]
    return sure, list(dict.fromkeys(unsure))


def _setup(exercise: Exercise) -> Iterator[Statement]:
    """The statements of the locked cells before the first stub."""
    for source in exercise.setup({}):
        yield from steps_of(source)


def _made(exercise: Exercise) -> set[str]:
    """The names that the locked cells assign."""
    return {name for step in _setup(exercise) for name in step.bound}


def _used(places: AnswerPlaces) -> set[str]:
    """Every name in a notebook."""
    return {node.id for step in places.steps.values() for node in ast.walk(step.node) if isinstance(node, ast.Name)}


def _line(step: Statement) -> tuple[str, ast.expr] | None:
    """Name and value of a plain assignment."""
    match step.node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
    return None


def _same_lines(theirs: Sequence[tuple[str, ast.expr]], ours: Mapping[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """Pairs of names that the same line of the forward pass computes, with the names found before replaced."""
    names: dict[str, str] = {}
    values = {target: _normal(value, {}) for target, value in ours.items()}
    for name, value in theirs:
        normal = _normal(value, names)
        for target in [target for target, text in values.items() if text == normal and target != name]:
            names.setdefault(name, target)
            yield name, target


def _normal(node: ast.AST, names: Mapping[str, str]) -> str:
    """A text for an expression, the same for ``a*b`` and ``b*a``, ``2`` and ``2.0``, ``keepdims`` and ``keepdim``."""
    match node:
        case ast.Name(id=name):
            return names.get(name, name)
        case ast.Constant(value=int() | float() as number):
            return repr(float(number))
        case ast.BinOp(op=ast.Add() | ast.Mult() as operator):
            parts = sorted(_normal(part, names) for part in _operands(node, type(operator)))
            return f"{type(operator).__name__}({', '.join(parts)})"
        case ast.keyword(arg="keepdims" | "keepdim", value=value):
            return f"keepdim={_normal(value, names)}"
    fields = []
    for _, value in ast.iter_fields(node):
        values = value if isinstance(value, list) else [value]
        fields += [_normal(part, names) if isinstance(part, ast.AST) else repr(part) for part in values]
    return f"{type(node).__name__}({', '.join(fields)})"


def _operands(node: ast.expr, operator: type[ast.operator]) -> Iterator[ast.expr]:
    """The parts of a sum or a product."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        yield from _operands(node.left, operator)
        yield from _operands(node.right, operator)
    else:
        yield node


def _unified(theirs: Sequence[tuple[str, ast.expr]], ours: Mapping[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """Pairs of names that are in the same place of lines that compute the same tensor."""
    for name, value in theirs:
        if name in ours:
            yield from _differences(value, ours[name]) or ()


def _differences(first: ast.AST, second: ast.AST) -> list[tuple[str, str]] | None:
    """The names in which two expressions differ; None if they differ in more."""
    match first, second:
        case ast.Name(id=name), ast.Name(id=target):
            return [(name, target)] if name != target else []
    if type(first) is not type(second):
        return None
    children = list(ast.iter_child_nodes(first)), list(ast.iter_child_nodes(second))
    if len(children[0]) != len(children[1]):
        return None
    found = [_differences(*pair) for pair in zip(*children, strict=True)]
    if any(pairs is None for pairs in found):
        return None
    return [pair for pairs in found if pairs for pair in pairs]


def _alike(places: AnswerPlaces, exercise: Exercise) -> Iterator[tuple[str, str]]:
    """Pairs of an unknown gradient's tensor and a tensor of the exercise with a similar name."""
    assigned = {name for step in places.steps.values() for name, _ in step.assignments}
    tensors = list(exercise.tensors.values())
    for name in sorted(assigned - set(exercise.stubs)):
        tensor = name.removeprefix("d")
        if tensor != name and tensor in assigned:
            yield from ((tensor, near) for near in difflib.get_close_matches(tensor, tensors, 1, CLOSE))


def _renamed(node: NotebookNode, names: Mapping[str, str]) -> NotebookNode:
    """The cell with its names replaced; unchanged if it is not Python."""
    parsed = ParsedCell.of(node.source)
    if parsed is None:
        return node
    finder = _Finder(names)
    try:
        finder.visit(ast.parse("".join(parsed.lines)))
    except RecursionError:  # not written by hand
        return node
    lines = [line.encode() for line in parsed.lines]
    for number, column, name in sorted(finder.found, reverse=True):
        line, end = lines[number - 1], column + len(name.encode())
        # the positions of names in f-strings are wrong before Python 3.12
        if line[column:end] == name.encode():
            lines[number - 1] = line[:column] + names[name].encode() + line[end:]
    changed = copy.copy(node)
    changed.source = b"".join(lines).decode().removesuffix("\n")
    return changed


class _Finder(ast.NodeVisitor):
    """Finds the positions of names, except in functions with a parameter of that name."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = set(names)
        self.found: list[tuple[int, int, str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.names:
            self.found.append((node.lineno, node.col_offset, node.id))

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id="cmp"), args=[ast.Constant(value=str(name)) as text, *_]):
                if name in self.names:
                    self.found.append((text.lineno, text.col_offset + 1, name))  # after the quote
        self.generic_visit(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        own = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
        outside, self.names = self.names, self.names - own
        self.generic_visit(node)
        self.names = outside

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _visit_function  # noqa: N815
