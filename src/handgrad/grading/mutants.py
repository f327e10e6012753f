"""Make mutants: an answer cell with one small mistake, by rules on its syntax tree; nothing is run."""

import ast
import copy
import difflib
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Mutant", "arguments", "mutants", "repeated_mutants"]

Replacement = tuple[str, ast.AST]
"""The kind of a mistake, and the new node."""
_SUMS = ("sum", "max", "mean", "amax", "min", "prod", "softmax", "log_softmax")
_LAST_WRITE = {"index_add_": "index_copy_", "scatter_add": "scatter", "scatter_add_": "scatter_"}
"""Methods that add for repeated indices, and their counterparts that keep the last write only."""
_TWINS = {
    "sum": "mean",
    "mean": "sum",
    "argmax": "argmin",
    "max": "min",
    "triu": "tril",
    "tril": "triu",
    "softmax": "log_softmax",
}
_OPPOSITE = {ast.Gt: ast.LtE, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


@dataclass(frozen=True)
class Mutant:
    """An answer cell with one mistake.

    The answer's name, the kind of mistake, the cell, and the cell that it was made from, formatted in the same way.
    The ``word`` is the name of the wrong variable or function, if that is the mistake.
    """

    gradient: str
    kind: str
    source: str
    original: str
    word: str = ""

    @property
    def diff(self) -> str:
        """The lines that differ from the worked solution; removed lines begin with ``-``."""
        lines = difflib.ndiff(self.original.splitlines(), self.source.splitlines())
        return "\n".join(line for line in lines if line[0] in "-+")


def mutants(
    gradient: str,
    source: str,
    above: Collection[str],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> list[Mutant]:
    """Every mutant of the worked solution ``source``, in which the gradients ``above`` are known.

    With the ``shapes`` of the tensors that are known when it runs, names of equal shape are swapped too; with the
    ``sizes``, the integers of the forward pass, names of the same number.
    """
    tree = ast.parse(source)
    gradients, tensors = set(above), {name.removeprefix("d") for name in above}
    replacements = [*_whole(tree)]
    for node in ast.walk(tree):
        replacements += [(kind, node, new) for kind, new in _replacements(node, gradients, tensors)]
    # after those of every node: of two mistakes that give the same cell, the first names it
    for node in ast.walk(tree):
        new_ones = itertools.chain(
            _further(node, gradients), _other_names(node, shapes or {}), _other_sizes(node, sizes or {})
        )
        replacements += [(kind, node, new) for kind, new in new_ones]
    original = ast.unparse(tree)
    kinds = {original: ("", "")}
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    # a cell may be named after something that it does not assign, such as a function or a training
    if gradient in stored:
        kinds[f"{original}\n{gradient} = torch.zeros_like({gradient})"] = "zero", ""
    for kind, old, new in replacements:
        # the copy has the new node in the place of the old one, as if that had been copied already
        kinds.setdefault(ast.unparse(copy.deepcopy(tree, {id(old): new})), (kind, _word(kind, old, new)))
    for text in _without_a_statement(tree):
        kinds.setdefault(text, ("statement dropped", ""))
    for text in _in_the_other_order(tree):
        kinds.setdefault(text, ("other order", ""))
    return [Mutant(gradient, kind, text, original, word) for text, (kind, word) in kinds.items() if kind]


def repeated_mutants(gradient: str, source: str, shapes: Mapping[str, tuple[int, ...]]) -> list[Mutant]:
    """The mutants in which one mistake is made wherever a name stands, for each name that stands more than once.

    With the opposite sign, left out with its terms, or another tensor of the same shape in its place.
    """
    tree = ast.parse(source)
    uses: dict[str, list[ast.Name]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            uses.setdefault(node.id, []).append(node)
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    roots = {
        node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    original, made = ast.unparse(tree), []
    for name, nodes in uses.items():
        if len(nodes) < 2 or name in called or (name in roots and name not in shapes):
            continue
        changes: list[tuple[str, ast.expr, str]] = [
            ("opposite everywhere", ast.UnaryOp(ast.USub(), nodes[0]), name),
            ("terms dropped", ast.BinOp(ast.Constant(0), ast.Mult(), nodes[0]), name),
        ]
        changes += [
            ("another name everywhere", new, new.id)
            for _, new in _other_names(nodes[0], shapes)
            if isinstance(new, ast.Name)
        ]
        for kind, new, word in changes:
            text = ast.unparse(copy.deepcopy(tree, {id(node): new for node in nodes}))
            made.append(Mutant(gradient, kind, text, original, word))
    return made


def arguments(source: str, call: str) -> dict[str, str]:
    """The names that a call gives to the parameters of the function in a cell, by parameter."""
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    given: dict[str, str] = {}
    for node in ast.walk(ast.parse(call)):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in functions:
                pairs = [*zip((arg.arg for arg in functions[name].args.args), args, strict=False)]
                pairs += [(keyword.arg or "", keyword.value) for keyword in keywords]
                given |= {parameter: value.id for parameter, value in pairs if isinstance(value, ast.Name)}
    return given


def _word(kind: str, old: ast.AST, new: ast.AST) -> str:
    """The name of the wrong variable or function, or of the function that is left out; empty if there is none."""
    match kind, old, new:
        case "call dropped", ast.Call(func=ast.Attribute(attr=method)), _:
            return method
        case "another function", _, ast.Call(func=ast.Attribute(attr=method)):
            return method
        case "another name" | "another size" | "forward for gradient" | "gradient for forward", _, ast.Name(id=name):
            return name
    return ""


def _whole(tree: ast.Module) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Mistakes in the answer as a whole: its sign, and its transpose."""
    match tree.body[-1]:
        case ast.Assign(targets=[target], value=value):
            yield "sign flipped", value, ast.UnaryOp(ast.USub(), value)
            if isinstance(target, ast.Name):
                yield "transposed", value, ast.Attribute(value, "T", ast.Load())


def _replacements(node: ast.AST, gradients: Collection[str], tensors: Collection[str]) -> Iterator[Replacement]:
    """The mistakes of a student who works by hand."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult() | ast.MatMult(), right=right):
            yield "factor dropped", left
            yield "factor dropped", right
            if isinstance(node.op, ast.MatMult):
                yield "transposed", ast.BinOp(right, node.op, left)
                yield "transposed", ast.Attribute(node, "T", ast.Load())
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            yield "factor dropped", left
            yield "factor dropped", ast.BinOp(ast.Constant(1), ast.Div(), right)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield "term dropped", left
            yield "term dropped", right
            yield "sign flipped", ast.BinOp(left, ast.Sub(), right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            is_less_one = isinstance(left, ast.Name) and isinstance(right, ast.Constant) and right.value == 1
            yield "n for n-1" if is_less_one else "term dropped", left
            yield "term dropped", ast.UnaryOp(ast.USub(), right)
            yield "sign flipped", ast.BinOp(left, ast.Add(), right)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            # for a constant it is an exponent, or the sign of the whole answer
            yield "sign flipped", operand
        case ast.Call(func=ast.Attribute(attr=method)) if method in _SUMS:
            yield from _other_dimensions(node)
            if method == "sum":
                yield "keepdim", _without_keepdim(node)
        case ast.Call(func=ast.Attribute(value=value, attr="index_add"), args=[_, index, source]):
            put = ast.Attribute(value, "index_put", ast.Load())
            yield "last write", ast.Call(put, [ast.Tuple([index], ast.Load()), source], [])
        case ast.Attribute(value=value, attr="T" | "mT"):
            yield "transposed", value
        case ast.Name(id=name, ctx=ast.Load()) if name in gradients:
            yield "forward for gradient", ast.Name(name.removeprefix("d"), ast.Load())
        case ast.Name(id=name, ctx=ast.Load()) if name in tensors:
            yield "gradient for forward", ast.Name(f"d{name}", ast.Load())


def _other_dimensions(call: ast.Call) -> Iterator[Replacement]:
    """The same call along other dimensions; a function of torch has its tensor before the dimension."""
    first = 1 if _is_of_module(call.func) else 0
    for dim in [*call.args[first : first + 1], *(keyword.value for keyword in call.keywords if keyword.arg == "dim")]:
        for other in _other_dims(dim):
            yield "wrong dimension", copy.deepcopy(call, {id(dim): other})


def _other_dims(dim: ast.expr) -> Iterator[ast.expr]:
    """Dimensions next to ``dim``; of a tuple of dimensions, all but one of them."""
    match dim:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            yield ast.Constant(1 if number == 0 else number - 1)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
            yield ast.UnaryOp(ast.USub(), ast.Constant(2 if number == 1 else number - 1))
        case ast.Tuple(elts=parts):
            for number in range(len(parts)):
                yield ast.Tuple([*parts[:number], *parts[number + 1 :]], ast.Load())


def _without_keepdim(call: ast.Call) -> ast.Call:
    """The same sum without ``keepdim``, or with it if it has none."""
    keywords = [keyword for keyword in call.keywords if keyword.arg != "keepdim"]
    if len(keywords) == len(call.keywords):
        keywords.append(ast.keyword("keepdim", ast.Constant(True)))
    return ast.Call(call.func, call.args, keywords)


def _further(node: ast.AST, gradients: Collection[str]) -> Iterator[Replacement]:
    """Further mistakes: of loops, masks, indices and operators."""
    match node:
        case ast.AugAssign(target=target, value=value):
            yield "= for +=", ast.Assign([target], value, lineno=0)
        case ast.Assign(targets=[ast.Subscript() as target], value=value):
            yield "+= for =", ast.AugAssign(target, ast.Add(), value)
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            yield from _of_product(node)
        case ast.BinOp(
            left=ast.Constant(value=1),
            op=ast.Sub(),
            right=ast.BinOp(left=value, op=ast.Pow(), right=ast.Constant(value=2)),
        ):
            # the slopes of tanh and of a sigmoid, by their results
            yield "another slope", ast.BinOp(value, ast.Mult(), ast.BinOp(ast.Constant(1), ast.Sub(), value))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            yield "exponent", ast.BinOp(left, ast.Pow(), ast.BinOp(right, ast.Add(), ast.Constant(1)))
            yield "exponent", left
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _OPPOSITE:
            yield "condition turned round", ast.Compare(left, [_OPPOSITE[type(operator)]()], [right])
        case ast.UnaryOp(op=ast.Invert() | ast.Not(), operand=operand):
            yield "condition turned round", operand
        case ast.Name(id=name, ctx=ast.Load()) if name in gradients:
            ones = ast.Attribute(ast.Name("torch", ast.Load()), "ones_like", ast.Load())
            yield "upstream left out", ast.Call(ones, [node], [])
        case ast.Call(func=ast.Name(id="range"), args=[end]):
            yield "loop cut short", ast.Call(node.func, [ast.BinOp(end, ast.Sub(), ast.Constant(1))], [])
        case ast.Call(func=ast.Attribute() as function):
            yield from _other_calls(node, function)


def _of_product(node: ast.BinOp) -> Iterator[Replacement]:
    """Mistakes in a product or a quotient: its operator, its parentheses, a slope."""
    left, right = node.left, node.right
    if isinstance(node.op, ast.Div):
        yield "multiplied for divided", ast.BinOp(left, ast.Mult(), right)
    else:
        if ast.unparse(right) == f"1 - {ast.unparse(left)}":
            squared = ast.BinOp(left, ast.Pow(), ast.Constant(2))
            yield "another slope", ast.BinOp(ast.Constant(1), ast.Sub(), squared)
        yield "divided for multiplied", ast.BinOp(left, ast.Div(), right)
        yield from _on_one_term(right, ast.Mult(), left)
    yield from _on_one_term(left, node.op, right)


def _on_one_term(sum_: ast.expr, operator: ast.operator, number: ast.expr) -> Iterator[Replacement]:
    """A factor or divisor of a sum or difference that is one of a single term: parentheses are left out."""
    match sum_:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
            yield "on one term", ast.BinOp(ast.BinOp(left, operator, number), sign, right)
            yield "on one term", ast.BinOp(left, sign, ast.BinOp(right, operator, number))


def _other_calls(call: ast.Call, function: ast.Attribute) -> Iterator[Replacement]:
    """Mistakes in the call of a method, or of a function of torch."""
    match function:
        case ast.Attribute(
            value=ast.BinOp(left=left, op=ast.Mult() | ast.MatMult() as operator, right=right), attr="sum"
        ):
            first, second = (
                ast.Call(ast.Attribute(side, "sum", ast.Load()), call.args, call.keywords) for side in (left, right)
            )
            yield "summed early", ast.BinOp(first, operator, second)
    for kind, others in (("another function", _TWINS), ("last write", _LAST_WRITE)):
        if function.attr in others:
            renamed = ast.Attribute(function.value, others[function.attr], ast.Load())
            yield kind, ast.Call(renamed, call.args, call.keywords)
    if any(keyword.arg == "accumulate" for keyword in call.keywords):
        keywords = [keyword for keyword in call.keywords if keyword.arg != "accumulate"]
        yield "last write", ast.Call(function, call.args, keywords)
    for keyword in call.keywords:
        if keyword.arg == "unbiased" and isinstance(keyword.value, ast.Constant):
            other = ast.Constant(not keyword.value.value)
            yield "unbiased", copy.deepcopy(call, {id(keyword.value): other})
    if function.attr == "where" and len(call.args) == 3:
        condition, yes, no = call.args
        yield "condition turned round", ast.Call(function, [condition, no, yes], call.keywords)
    if not _is_of_module(function):
        yield "call dropped", function.value
    elif call.args:
        yield "call dropped", call.args[0]


def _is_of_module(function: ast.expr) -> bool:
    """Whether a function is one of a module, such as ``F.softmax``, and no method."""
    match function:
        case ast.Attribute(value=ast.Name(id="torch" | "F" | "math")):
            return True
    return False


def _other_names(node: ast.AST, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Replacement]:
    """Other names of the same shape: gradients for a gradient, forward tensors for a forward tensor."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in shapes:
        for name, shape in shapes.items():
            is_gradient = name.removeprefix("d") in shapes and name.startswith("d")
            alike = is_gradient == (node.id.startswith("d") and node.id.removeprefix("d") in shapes)
            if name != node.id and shape == shapes[node.id] and alike:
                yield "another name", ast.Name(name, ast.Load())


def _other_sizes(node: ast.AST, sizes: Mapping[str, int]) -> Iterator[Replacement]:
    """Other names of the same number: right with these sizes, and wrong with others."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in sizes:
        alike = (name for name, number in sizes.items() if name != node.id and number == sizes[node.id])
        yield from (("another size", ast.Name(name, ast.Load())) for name in alike)


def _blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """The statements of the cell, and those of every block in it."""
    return (body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list))


def _without_a_statement(tree: ast.Module) -> Iterator[str]:
    """The cell without one statement, also inside a block; an empty block becomes ``pass``."""
    for body in _blocks(tree):
        for index in range(len(body)):
            if isinstance(statement := body[index], ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            rest = [*body[:index], *body[index + 1 :]] or [ast.Pass()]
            yield ast.unparse(copy.deepcopy(tree, {id(body): rest}))


def _in_the_other_order(tree: ast.Module) -> Iterator[str]:
    """The cell with two neighbouring statements swapped that change the same variable."""
    for body in _blocks(tree):
        for index, (first, second) in enumerate(itertools.pairwise(body)):
            if _changed(first) == _changed(second) != "":
                swapped = [*body[:index], second, first, *body[index + 2 :]]
                yield ast.unparse(copy.deepcopy(tree, {id(body): swapped}))


def _changed(statement: ast.AST) -> str:
    """The variable that a statement changes, of which it is an entry or a slice too; empty if it is no assignment."""
    match statement:
        case ast.Assign(targets=[target]) | ast.AugAssign(target=target):
            while isinstance(target, ast.Subscript):
                target = target.value
            return target.id if isinstance(target, ast.Name) else ""
    return ""
