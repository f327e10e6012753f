"""The worked neighbours: each equation in their words holds, and each entry is autograd's."""

import re

import pytest

from handgrad.student.helps.hint import hint
from handgrad.student.helps.neighbours import NEIGHBOURS
from handgrad.student.helps.output import Code, Tables
from helpers.exercises import WITH_GRADIENTS
from helpers.played_notebooks import code_of, play
from helpers.printed_numbers import number

EQUATION = re.compile(r"(-?[\d/]+(?: [-+*] -?[\d/]+)*) = (-?[\d/]+)")
ENTRY = re.compile(r"d(\w)\[([\d, ]+)\]: (-?[\d/]+(?: [-+*] -?[\d/]+)*) = (-?[\d/]+)")


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_words(kind: str) -> None:
    """At least two entries are worked out in words: each side of each equation is right, and it is the gradient's."""
    neighbour = NEIGHBOURS[kind]
    _, gradient = neighbour.solved()
    entries = ENTRY.findall(neighbour.words)
    assert len(entries) + len(EQUATION.findall(neighbour.words)) >= 2
    assert entries
    for left, right in EQUATION.findall(neighbour.words):
        assert eval(left) == pytest.approx(number(right)), neighbour.words
    for of, index, _, value in entries:
        assert of == neighbour.of
        assert float(gradient[tuple(map(int, index.split(", ")))]) == pytest.approx(number(value))


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_other_numbers_in_words(kind: str) -> None:
    """A number that the words give for an entry of t is that entry."""
    neighbour = NEIGHBOURS[kind]
    tensors, _ = neighbour.solved()
    for name, index, value in re.findall(
        r"\b([a-z])\[([\d, ]+)\] (?:is|= |stays|grows from) (-?[\d/]+)", neighbour.words
    ):
        if name in tensors:
            assert float(tensors[name][tuple(map(int, index.split(", ")))]) == pytest.approx(number(value)), index


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_small_and_complete(kind: str) -> None:
    """A neighbour shows its line, its inputs, the upstream gradients and the gradient: at most 9 numbers each."""
    title, code, tables, *words = NEIGHBOURS[kind].parts()
    assert title == f"A neighbour: {NEIGHBOURS[kind].title}, solved."
    assert isinstance(code, Code)
    assert isinstance(tables, Tables)
    titles = [table.title for table in tables.tables]
    assert titles[-1] == f"d{NEIGHBOURS[kind].of}"
    assert {*NEIGHBOURS[kind].inputs, *NEIGHBOURS[kind].upstream} <= set(titles)
    assert all(len(row) <= 4 for table in tables.tables for row in table.rows)
    assert words


def test_all_are_used() -> None:
    """Every gradient of every exercise has a neighbour, and nearly every neighbour is one of theirs."""
    shown = set()
    for assignment in WITH_GRADIENTS:
        code = code_of(play(assignment))
        for name in code.tensors:
            shown |= set(re.findall(r"A neighbour: (.*), solved\.", hint(code, name, 3).text()))
    titles = {neighbour.title: kind for kind, neighbour in NEIGHBOURS.items()}
    assert {titles[title] for title in shown} >= {
        "entrywise",
        "two uses",
        "lookup",
        "overlap",
        "softmax and loss",
        "gate",
    }
