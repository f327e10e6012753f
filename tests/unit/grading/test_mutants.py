"""Mutants of an answer cell: which mistakes are made, one at a time, and that each is Python."""

import ast

from handgrad.grading.mutants import mutants
from helpers.inputs import named

SHAPES = {"x": (2, 3), "y": (2, 3), "dx": (2, 3), "dy": (2, 3), "w": (3,)}


def test_rules() -> None:
    """Each rule makes its mistake in its place."""
    for source, kind, made in [
        ("dx = dy * y", "factor dropped", "dx = dy"),
        ("dx = dy + y", "term dropped", "dx = y"),
        ("dx = dy - y", "sign flipped", "dx = dy + y"),
        ("dx = dy / 3", "multiplied for divided", "dx = dy * 3"),
        ("dx = dy * 3", "divided for multiplied", "dx = dy / 3"),
        ("dx = dy.sum(0)", "keepdim", "dx = dy.sum(0, keepdim=True)"),
        ("dx = dy.sum(1, keepdim=True)", "keepdim", "dx = dy.sum(1)"),
        ("dx = dy.sum(0)", "wrong dimension", "dx = dy.sum(1)"),
        ("dx = dy.sum(-1)", "wrong dimension", "dx = dy.sum(-2)"),
        ("dx = dy.softmax(dim=2)", "wrong dimension", "dx = dy.softmax(dim=1)"),
        ("dx = dy.sum((0, 2))", "wrong dimension", "dx = dy.sum((2,))"),
        ("dx = dy.mT @ y", "transposed", "dx = dy @ y"),
        ("dx = dy @ y", "transposed", "dx = y @ dy"),
        ("dx = dy @ y", "transposed", "dx = (dy @ y).T"),
        ("dx = dy / (n - 1)", "n for n-1", "dx = dy / n"),
        ("dx = dy * y", "forward for gradient", "dx = y * y"),
        ("dx = dy * y", "gradient for forward", "dx = dy * dy"),
        ("dx = dy * y", "upstream left out", "dx = torch.ones_like(dy) * y"),
        ("dx = dy * y", "another name", "dx = dy * x"),
        ("dx = dy ** 2", "exponent", "dx = dy ** (2 + 1)"),
        ("dx = dy.masked_fill(~mask, 0)", "condition turned round", "dx = dy.masked_fill(mask, 0)"),
        ("dx = torch.where(y > 0, dy, 0)", "condition turned round", "dx = torch.where(y > 0, 0, dy)"),
        ("dx = torch.where(y > 0, dy, 0)", "condition turned round", "dx = torch.where(y <= 0, dy, 0)"),
        ("dx = dy.exp()", "call dropped", "dx = dy"),
        ("dx = torch.exp(dy)", "call dropped", "dx = dy"),
        ("dx = dy.sum(0)", "another function", "dx = dy.mean(0)"),
        ("dx = z.index_add(0, i, dy)", "last write", "dx = z.index_put((i,), dy)"),
        ("dx = z.scatter_add(0, i, dy)", "last write", "dx = z.scatter(0, i, dy)"),
        ("dx.index_put_((i,), dy, accumulate=True)", "last write", "dx.index_put_((i,), dy)"),
        ("dx = z\ndx[i] += dy", "= for +=", "dx = z\ndx[i] = dy"),
        ("dx = z\ndx[i] = dy", "+= for =", "dx = z\ndx[i] += dy"),
        ("dx = z\nfor i in range(n):\n    dx += dy", "loop cut short", "dx = z\nfor i in range(n - 1):\n    dx += dy"),
        ("dx = z\nfor i in range(n):\n    dx += dy", "statement dropped", "dx = z\nfor i in range(n):\n    pass"),
        ("a = dy\ndx = y", "statement dropped", "dx = y"),
        ("dx = dy * (1 - y**2)", "another slope", "dx = dy * (y * (1 - y))"),
        ("dx = dy * (y * (1 - y))", "another slope", "dx = dy * (1 - y**2)"),
        ("dx = (dy * y).sum(0)", "summed early", "dx = dy.sum(0) * y.sum(0)"),
        ("dx = F.softmax(dy, 1)", "wrong dimension", "dx = F.softmax(dy, 0)"),
        ("dx = F.softmax(dy, 1)", "another function", "dx = F.log_softmax(dy, 1)"),
        ("dx = (dy - y) / 3", "on one term", "dx = dy / 3 - y"),
        ("dx = (dy - y) / 3", "on one term", "dx = dy - y / 3"),
        ("dx = 3 * (dy + y)", "on one term", "dx = dy + y * 3"),
        ("dx = dy * y.var(0, unbiased=False)", "unbiased", "dx = dy * y.var(0, unbiased=True)"),
        ("dx = y\ndx[0] -= 1\ndx = dx / 3", "other order", "dx = y\ndx = dx / 3\ndx[0] -= 1"),
        ("dx = dy", "zero", "dx = dy\ndx = torch.zeros_like(dx)"),
    ]:
        with named(source, kind, made):
            found = mutants("dx", source, ["dy"], SHAPES)
            assert ast.unparse(ast.parse(made)) in [mutant.source for mutant in found if mutant.kind == kind], found


def test_sizes_of_the_same_number() -> None:
    """A size is swapped for another one of the same number, which no value shows."""
    found = mutants("dx", "dx = dy / rows", ["dy"], SHAPES, {"rows": 4, "width": 4, "steps": 3})
    assert [mutant.source for mutant in found if mutant.kind == "another size"] == ["dx = dy / width"]


def test_each_is_made_once() -> None:
    """No mutant is made twice, none is the solution, all are Python, and the diff has what changes."""
    source = "a = dy * y + dy.sum(1, keepdim=True)\ndx = a @ w.T  # a remark"
    found = mutants("dx", source, ["dy"], SHAPES)
    texts = [mutant.source for mutant in found]
    assert len(set(texts)) == len(texts)
    assert ast.unparse(ast.parse(source)) not in texts
    for mutant in found:
        ast.parse(mutant.source)
        lines = mutant.diff.splitlines()
        assert lines
        assert all(line.startswith(("- ", "+ ")) for line in lines)


def test_an_answer_that_is_no_gradient() -> None:
    """A cell that trains parameters is broken as well: its name is no gradient's."""
    source = "for step in range(k):\n    W = W - rate * slope(W)\ntrained = [W, b]"
    kinds = {mutant.kind for mutant in mutants("trained", source, [], {})}
    assert {"sign flipped", "factor dropped", "term dropped", "loop cut short", "statement dropped"} <= kinds
