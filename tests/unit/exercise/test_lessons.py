"""What the lessons state is true of their own notebooks: shapes, consumers, lines of code, numbers."""

import contextlib
import io
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import nbformat
import pytest
import torch

from handgrad.errors import closest
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.exercise.reference import ForwardFacts, Reference
from helpers import lesson_names
from helpers.inputs import named
from helpers.paths import ASSIGNMENTS, ROOT, TESTS

EXERCISES = {name: Exercise.read(ROOT / "source" / name / f"{name}.ipynb") for name in ASSIGNMENTS}
GRADIENTS = [name for name, exercise in EXERCISES.items() if exercise.tensors]
NOT_RUN = ("picture", "train")
"""Cells at which a run of the worked notebook ends: a picture, and ten seconds of training."""


@dataclass(frozen=True)
class Lesson:
    """A notebook: its exercise, its texts by the ids of their cells, and what its cells leave in their namespace."""

    exercise: Exercise
    texts: dict[str, str]
    namespace: dict[str, Any]


@cache
def lesson(assignment: str) -> Lesson:
    """The instructor's notebook, run with its solutions."""
    path = ROOT / "source" / assignment / f"{assignment}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    threads = torch.get_num_threads()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    calls = {check.id: check for check in EXERCISES[assignment].checks if check.call}
    with contextlib.chdir(path.parent), contextlib.redirect_stdout(io.StringIO()):
        for cell in notebook.cells:
            if grade_id(cell) in NOT_RUN:
                break
            if cell.cell_type == "code":
                exec(compile(cell.source, f"<{cell.id}>", "exec"), namespace)
            if check := calls.get(grade_id(cell)):
                namespace[check.gradient] = eval(check.call, namespace)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)
    exercise, minutes = EXERCISES[assignment], notebook.metadata.get("handgrad", {}).get("minutes")
    known = {"math": math, "exercise": exercise, "minutes": minutes, "slope": slope, "assignments": ASSIGNMENTS}
    steps = [line for cell in exercise.cells if cell.name == "forward" for line in cell.source.splitlines()]
    known |= {"steps": steps} if assignment == "backprop" else {}
    # their functions see this very dictionary
    namespace.update(known)
    return Lesson(exercise, {cell.id: cell.source for cell in notebook.cells if cell.cell_type != "code"}, namespace)


def slope(function: Any, at: float) -> float:
    """The derivative of a function of one number."""
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(function(x), x)
    return float(found)


CLAIMS: dict[str, dict[str, dict[str, str]]] = {
    name: tomllib.loads((TESTS / "cases" / "lessons" / f"{name}.toml").read_text(encoding="utf-8"))
    for name in ASSIGNMENTS
}
"""What each text states, by exercise and the id of its cell: words of it, and what must be true after a run."""

NOT_CLAIMS = re.compile(
    r"```.*?```|`[^`\n]*`|\$[^$]*\$"  # code and formulas: tested by what runs them
    r"|^#+ \d+\.|^\d\. |linear layer \d|makemore Part 4|GPT-2"  # numbers of headings, of rows of a list, names
    r"|[Rr]ule \d|number \d+",  # references: tested below
    re.DOTALL | re.MULTILINE,
)


def claims() -> Iterator[tuple[str, str, str, str]]:
    """Every claim: its exercise, its cell, its words, its condition."""
    for assignment, cells in CLAIMS.items():
        for cell, stated in cells.items():
            for words, condition in stated.items():
                yield assignment, cell, words, condition


def test_what_is_stated_is_true() -> None:
    """Every claim stands in its text, and holds where the notebook has run."""
    for assignment, cell, words, condition in claims():
        with named(assignment, cell, words):
            found = lesson(assignment)
            assert words in found.texts[cell]
            with contextlib.redirect_stdout(io.StringIO()):
                assert eval(condition, found.namespace), condition


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_every_number_is_a_claim(assignment: str) -> None:
    """A number in a text belongs to a claim above: who adds one adds what must be true."""
    for cell, text in lesson(assignment).texts.items():
        rest = NOT_CLAIMS.sub("", text)
        for words in CLAIMS[assignment].get(cell, ()):
            rest = rest.replace(NOT_CLAIMS.sub("", words), "")
        assert not re.findall(r".{20}\d+.{20}", f"{'':20}{rest}{'':20}", re.DOTALL), cell


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_references(assignment: str) -> None:
    """A heading's number is mentioned where its gradient is meant, and a rule has a number that is there."""
    texts = lesson(assignment).texts
    headings = dict(re.findall(r"^### (\d+)\. `d(\w+)`", "\n".join(texts.values()), re.MULTILINE))
    assert [*headings] == [str(number) for number in range(1, len(headings) + 1)]
    for cell, text in texts.items():
        with named(cell):
            assert set(re.findall(r"\bnumber (\d+)", text)) <= {*headings}
            assert set(re.findall(r"\b[Rr]ule (\d)", text)) <= {"1", "2", "3"}
    if assignment == "backprop":
        assert (headings["3"], headings["7"], headings["24"]) == ("counts_sum_inv", "logit_maxes", "b1")


@pytest.mark.parametrize("assignment", GRADIENTS)
def test_shapes_and_consumers(assignment: str) -> None:
    """The sentence above a stub has the tensor's shape and its consumers, in the order of the forward pass."""
    found = lesson(assignment)
    consumers = ForwardFacts.of([Reference.of(found.exercise, {})]).consumers
    for stub, tensor in found.exercise.tensors.items():
        with named(stub):
            text = found.texts[f"about_{stub}"]
            [(shape, users)] = re.findall(
                rf"`{tensor}` is `([^`]+)`(?:, consumed by|:.*?consumer is) ([^:.]+)[:.]", text
            )
            assert shape == str(tuple(found.namespace[tensor].shape))
            stated = re.findall(r"`(\w+)`", users) or ["loss"]
            assert sorted(stated) == sorted(consumers[tensor])


@pytest.mark.parametrize("assignment", GRADIENTS)
def test_lines_of_the_forward_pass(assignment: str) -> None:
    """The code in a text is code of the locked cells; a shape behind it is the shape of its result."""
    found = lesson(assignment)
    locked = {
        line.partition("#")[0].rstrip()
        for cell in found.exercise.cells
        if cell.kind == "locked"
        for line in cell.source.splitlines()
    }
    for cell, text in found.texts.items():
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                with named(cell, line):
                    code, _, comment = line.partition("#")
                    assert code.rstrip() in locked, closest(code.rstrip(), locked)
                    left, _, right = code.partition("=")
                    shapes = re.findall(r"\([\d, ]*\)", comment)
                    tensors = [found.namespace.get(name) for name in re.findall(r"[A-Za-z_]\w*", right)]
                    sizes = [str(tuple(value.shape)) for value in tensors if isinstance(value, torch.Tensor)]
                    if re.fullmatch(r" (.* -> )?\([\d, ]*\)", comment):
                        assert shapes[-1] == str(tuple(found.namespace[left.strip()].shape))
                    elif re.fullmatch(r" \([\d, ]*\)( [-@*+] \([\d, ]*\))+", comment) and len(shapes) == len(sizes):
                        assert shapes == sizes


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_every_name_is_explained(assignment: str) -> None:
    """The table of names has every name of the forward pass that is a tensor or a number made of the data."""
    found = lesson(assignment)
    sources = {cell.name: cell.source for cell in found.exercise.cells}
    # without gradients, the forward pass may stand in the function that goes back
    forward = sources.get("forward") or sources["backward"]
    forward = forward.partition("# backward pass")[0]
    code = re.sub(r"#.*", "", re.sub(r"\"{3}.*?\"{3}", "", forward))
    used = set(re.findall(r"[A-Za-z_]\w*", code))
    made = set(re.findall(r"^ *(\w+) = ", code, re.MULTILINE))
    tensors = {name for name in used if isinstance(found.namespace.get(name), torch.Tensor)}
    explained = {*lesson_names.meanings(assignment)}
    assert made | tensors | (used & {"n", "pairs"}) <= explained
    assert explained <= used | {"n"}


def test_names_on_the_page() -> None:
    """The page of names has the tables of the notebooks (`python -m helpers.lesson_names` in tests writes them)."""
    assert lesson_names.PAGE.read_text(encoding="utf-8") == lesson_names.page()


@pytest.mark.parametrize("assignment", GRADIENTS)
def test_a_second_backward(assignment: str) -> None:
    """A second `loss.backward()` doubles every gradient, as the text says, and the cell itself can be run again."""
    path = ROOT / "source" / assignment / f"{assignment}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    setup = [cell for cell in notebook.cells if cell.cell_type == "code"]
    [last] = [number for number, cell in enumerate(setup) if grade_id(cell) == "backward"]
    with contextlib.chdir(path.parent), contextlib.redirect_stdout(io.StringIO()):
        for cell in setup[: last + 1]:
            exec(cell.source, namespace)
        tensors = {
            name: value
            for name, value in namespace.items()
            if isinstance(value, torch.Tensor) and value.is_leaf | value.retains_grad
        }
        first = {name: value.grad.clone() for name, value in tensors.items() if value.grad is not None}
        assert first
        namespace["loss"].backward(retain_graph=True)
        for name, grad in first.items():
            assert torch.equal(tensors[name].grad, 2 * grad), name
        exec(setup[last].source, namespace)
        for name, grad in first.items():
            assert torch.equal(tensors[name].grad, grad), name
    assert "A second `loss.backward()` would *add*" in lesson(assignment).texts["about_backward"]


def test_a_wrong_bias_that_the_loss_does_not_see() -> None:
    """In `training`, a wrong gradient of b1 leaves the loss as it is, and the comparison shows it."""
    found = lesson("training")
    namespace = found.namespace
    right, bias = namespace["backward"], namespace["b1"]

    def wrong(contexts: torch.Tensor, labels: torch.Tensor) -> Any:
        loss, gradients = right(contexts, labels)
        return loss, (*gradients[:2], gradients[2] + 0.01, *gradients[3:])

    namespace["backward"] = wrong
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            namespace["compare"]()
        before = namespace["split_loss"](namespace["Xdev"], namespace["Ydev"])
        namespace["b1"] = bias + 3
        assert namespace["split_loss"](namespace["Xdev"], namespace["Ydev"]) == pytest.approx(before, abs=1e-5)
    finally:
        namespace.update(backward=right, b1=bias)
    assert re.search(r"^db1 +\| not yet", printed.getvalue(), re.MULTILINE)
    assert "the loss does not depend on it" in found.texts["training-05"]


def test_threads() -> None:
    """The first locked cell that imports torch limits it to one thread, with one comment."""
    for assignment in ASSIGNMENTS:
        with named(assignment):
            exercise = lesson(assignment).exercise
            first = next(
                cell.source for cell in exercise.cells if cell.kind == "locked" and "import torch" in cell.source
            )
            assert re.search(r"^torch\.set_num_threads\(1\)  # .+$", first, re.MULTILINE)


def test_links_lead_to_what_is_released() -> None:
    """The first and the last text link to the page beside the notebook; no link leads to what is not released."""
    for assignment in ASSIGNMENTS:
        with named(assignment):
            texts = [text for name, text in lesson(assignment).texts.items() if name != "names"]
            assert all("[README.md](README.md)" in text for text in (texts[0], texts[-1]))
            for text in texts:
                for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
                    assert (ROOT / "release" / assignment / target).is_file(), target
