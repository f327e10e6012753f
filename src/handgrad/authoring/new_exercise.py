"""Write the instructor's notebook of a new exercise from a forward pass in plain Python."""

import keyword
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from handgrad.authoring.forward_script import LOSS, ForwardPass, Statement
from handgrad.authoring.small_gradients import small_gradients
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.errors import CourseError
from handgrad.exercise.exercise import PARAMETERS_TAG, Exercise
from handgrad.exercise.solution_marks import marked_solution
from handgrad.gradients.mistakes.mistake import listed
from handgrad.notebook.syntax import ParsedCell

__all__ = ["OPEN", "new_exercise"]

OPEN = "TODO"
"""Marks a text that the author still has to write."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_STUB_TAGS = ["raises-exception"]

_TITLE = """# {title}

{about}

**How to work.** Every gradient has a short text, a cell to fill and a check. The cell begins as \
`{first} = None  # your code here`. Put your expression in place of `None`, run the cell, then run the check below it. \
Go from top to bottom: each gradient is computed from the ones above it, so in your own notebook one mistake makes \
all later values wrong.

**How it is graded.** On numbers that you have not seen, and each gradient on its own: before one of your cells runs, \
all gradients above it are set to their correct values. An early mistake costs one mark, not {count}. Autograd is \
switched off, so `{first} = {tensor}.grad` earns nothing.

**Conventions.** `dX` is always the gradient of the loss with respect to `X`, and has exactly the shape of `X`: \
`(1, 64)` is not `(64,)`. Leave the locked cells as they are, and add as many cells of your own as you like.

**If something goes wrong.** [README.md](README.md), beside this notebook, has the symptoms and what to do. After a \
restart of the kernel every name is gone, and a cell raises `NameError: name 'cmp' is not defined`. Then run the \
notebook from the top (in JupyterLab: *Run*, *Run All Cells*)."""
_ONE_THREAD = "torch.set_num_threads(1)  # tensors this small are computed faster by one thread than by several"
_ABOUT_BACKWARD = """Now autograd computes the gradients. It normally discards those of intermediate tensors; \
`retain_grad()` keeps them, so that the checks can compare with them."""
_BACKWARD = '''named_tensors = [
{rows}
]


def prepare_backward():
    """Clear the gradients of an earlier run, and ask autograd to keep those of the intermediates too."""
    for tensor in named_tensors:
        tensor.grad = None
        tensor.retain_grad()


prepare_backward()
{loss}.backward(retain_graph=True)  # cmp later asks the graph which tensors consume which
print(f'loss {{{loss}.item():.4f}}')'''
_ABOUT_EXERCISE = """## Your turn

1. **The chain rule.** The gradient through a step is the upstream gradient times the local derivative of that step.
2. **Every use counts.** If a value is used in several places, its gradient is the sum of the contributions of all of \
them. A value that is broadcast *is* used in several places.
3. **Check the shape.** `dX` has the shape of `X`. If yours does not, a sum is missing, or there is one too many.

The shapes in the texts below are those of the sizes set at the top."""
_ABOUT_PROGRESS = """## What is left

The map below shows the forward pass. Each box has the status of its gradient: right, wrong, not yet written, or \
*carried*: correct, given an incorrect upstream gradient. Fix the wrong one, run the cells after it again, and the \
carried ones become right. Run this cell whenever you like.

[README.md](README.md) says what each message means, and how to hand in."""


def new_exercise(course: Course, name: str, forward: Path, say: Callable[[str], None] = lambda note: None) -> Path:
    """Write ``source/NAME/NAME.ipynb`` from the script ``forward``; the author fills in the solutions.

    The script runs in ``source/NAME`` if that folder exists (with the files that it reads), else in its own folder.
    ``say`` is called with each sentence on what may be meant, but had better be known.

    Returns
    -------
    The path of the notebook.

    Raises
    ------
    CourseError
        The name cannot be that of an assignment, or the notebook exists already.
    ExerciseError
        No exercise can be made of the script; all faults are listed with their lines.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise CourseError(
            f"{name!r} cannot be the name of an exercise: use letters a to z, digits and _, and begin with a letter."
        )
    path = course.exercise_path(name)
    if path.exists():
        raise CourseError(f"{path} exists already and is not overwritten: choose another name, or move it.")
    folder = path.parent if path.parent.is_dir() else forward.parent
    forward_pass = ForwardPass.read(forward.resolve(), folder)
    notebook = _notebook(name, forward_pass)
    exercise = Exercise.of(notebook, name, folder)
    alike = "are the same number, so no check can see one taken for the other: make them different"
    notes = [*forward_pass.notes, *(f"{names} {alike}" for names in exercise.equal_sizes()), *small_gradients(exercise)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, nbformat.writes(notebook).rstrip() + "\n", replace=False)
    for note in notes:
        say(f"{note}.")
    return path


def _notebook(name: str, forward: ForwardPass) -> NotebookNode:
    """The instructor's notebook, with empty solutions and :data:`OPEN` in the texts that the author has to write."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    tensors = forward.backwards()
    notebook.cells = [
        _text("title", _title(name, forward, tensors)),
        _code("parameters", _source(forward.parameters), tags=[PARAMETERS_TAG]),
        _code("imports", _imports(_source(forward.imports))),
    ]
    if forward.setup:
        notebook.cells += [_text("about_setup", "## The data and the weights"), _code("setup", _source(forward.setup))]
    notebook.cells += [
        _text("about_forward", f"## The forward pass\n\n{OPEN}: what is computed here, and why."),
        _code("forward", _source(forward.steps)),
        _text("about_backward", _ABOUT_BACKWARD),
        _code("backward", _backward(forward)),
        _text("about_exercise", _ABOUT_EXERCISE),
    ]
    for number, tensor in enumerate(tensors, start=1):
        notebook.cells += [
            _text(f"about_d{tensor}", _lead(number, tensor, forward)),
            _code(f"d{tensor}", marked_solution(f"d{tensor} = None"), _STUB_TAGS, locked=False, solution=True),
            _code(f"check_d{tensor}", f"cmp({tensor!r}, d{tensor}, {tensor})", _STUB_TAGS, grade=True, points=1),
        ]
    notebook.cells += [_text("about_progress", _ABOUT_PROGRESS), _code("progress", "progress()")]
    return notebook


def _title(name: str, forward: ForwardPass, tensors: Sequence[str]) -> str:
    first, _, rest = (forward.about or name.replace("_", " ").capitalize()).partition("\n")
    about = rest.strip() or f"{OPEN}: what this network does, and what there is to learn from it."
    return _TITLE.format(
        title=first.strip().rstrip("."), about=about, first=f"d{tensors[0]}", tensor=tensors[0], count=len(tensors)
    )


def _backward(forward: ForwardPass) -> str:
    names = " ".join(f"{name}," for name in forward.tensors)
    rows = textwrap.fill(names, 102, initial_indent="    ", subsequent_indent="    ")
    return _BACKWARD.format(rows=rows, loss=LOSS)


def _lead(number: int, name: str, forward: ForwardPass) -> str:
    """The text above a stub: the lines that use the tensor, its shape, and :data:`OPEN` for the author's text."""
    consumers, tensor = forward.consumers[name], forward.tensors[name]
    shape = f"`{tuple(tensor.shape)}`" if tensor.dim() else "a single number, with the shape `()`"
    used_by = ["the loss" if consumer == LOSS else f"`{consumer}`" for consumer in consumers]
    return "\n\n".join(
        [
            f"### {number}. `d{name}`",
            f"```python\n{forward.shown(name)}\n```",
            f"`{name}` is {shape}, consumed by {listed(used_by)}.",
            f"{OPEN}: two or three sentences on what this step does, and what to think about.",
        ]
    )


def _imports(source: str) -> str:
    """The imports of a script, those of handgrad, and the number of threads."""
    parsed = ParsedCell.of(source)
    own = source if parsed and "torch" in parsed.bound() else f"import torch\n{source}"
    return f"{own.strip()}\n\nfrom handgrad import cmp, counterexample, hint, nudge, progress\n\n{_ONE_THREAD}"


def _source(statements: Iterable[Statement]) -> str:
    """The source of statements, with comments and blank lines."""
    return "\n".join(statement.source for statement in statements).strip("\n")


def _text(name: str, source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, id=name)


def _code(name: str, source: str, tags: Sequence[str] = (), **nbgrader: Any) -> NotebookNode:
    """A locked cell, unless ``nbgrader`` says something else."""
    cell = nbformat.v4.new_code_cell(source, id=name)
    facts = {"grade": False, "grade_id": name, "locked": True, "schema_version": 3, "solution": False, "task": False}
    cell.metadata["nbgrader"] = {**facts, **nbgrader}
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell
