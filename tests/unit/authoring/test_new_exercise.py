"""`handgrad new`: from a forward pass to an instructor's notebook, and why a script is refused."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from handgrad.authoring.forward_script import ForwardPass
from handgrad.authoring.new_exercise import new_exercise
from handgrad.course.course import Course
from handgrad.errors import CourseError, ExerciseError
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.notebook.syntax import is_untouched
from helpers.inputs import named
from helpers.paths import ROOT

ATTENTION = '''"""One head of attention.

Every place looks back at those before it.
"""

import math

import torch

seed = 7  # decides the weights
batch, places, width = 2, 4, 3

# the data
g = torch.Generator().manual_seed(seed)
x = torch.randn((batch, places, width), generator=g)
Yb = torch.randint(0, width, (batch, places), generator=g)
mask = torch.ones(places, places).tril().bool()
Wq = torch.randn((width, width), generator=g)
Wk = torch.randn((width, width), generator=g)
for p in (Wq, Wk):
    p.requires_grad_()


def shrunk(scores):
    """Keep the softmax from saturating."""
    return scores / math.sqrt(width)


# who looks at whom
q = x @ Wq
k = x @ Wk
scores = shrunk(q @ k.transpose(-2, -1))
masked = scores.masked_fill(~mask, float('-inf'))
weights = masked.softmax(-1)  # each row sums to one
mixed = torch.zeros(batch, places, width)
for place in range(places):
    piece = weights[:, :, place : place + 1] * x[:, place : place + 1]
    mixed = mixed + piece
best = mixed.argmax(-1)
temperature = mixed.square().mean()
logprobs = (mixed / temperature).log_softmax(-1)
loss = -logprobs.gather(-1, Yb[..., None]).mean()
'''


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """An empty course with the project's configuration."""
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    return Course.at(tmp_path)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Write a script."""

    def write(text: str) -> Path:
        path = tmp_path / "forward.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_new_exercise(course: Course, script: Callable[[str], Path]) -> None:
    """A forward pass becomes an exercise that can be graded: a text, a stub and a check for each named tensor."""
    path = new_exercise(course, "attention", script(ATTENTION))
    assert path == course.root / "source/attention/attention.ipynb"
    exercise = Exercise.read(path)
    assert exercise.stubs == tuple(
        f"d{name}" for name in ("logprobs", "temperature", "mixed", "weights", "masked", "scores", "q", "k", "Wk", "Wq")
    )
    reference = Reference.of(exercise, {"seed": 8, "width": 5})
    assert reference.gradients["Wq"].shape == (5, 5)
    facts = ForwardFacts.of([reference])
    for name, consumers in facts.consumers.items():
        above = exercise.stubs[: exercise.stubs.index(f"d{name}")]
        assert {f"d{consumer}" for consumer in consumers if consumer != "loss"} <= set(above), "consumers come first"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = {cell.id: cell for cell in notebook.cells}
    assert cells["title"].source.startswith("# One head of attention\n\nEvery place looks back at those before it.")
    assert cells["parameters"].source == "seed = 7  # decides the weights\nbatch, places, width = 2, 4, 3"
    imports, _, threads = cells["imports"].source.rpartition("\n\n")
    assert imports == "import math\n\nimport torch\n\nfrom handgrad import cmp, counterexample, hint, nudge, progress"
    assert threads.startswith("torch.set_num_threads(1)  # ")
    assert cells["forward"].source.startswith("# who looks at whom\nq = x @ Wq")
    assert "### 3. `dmixed`" in cells["about_dmixed"].source
    assert "temperature = mixed.square().mean()    # ()" in cells["about_dmixed"].source
    assert "`mixed` is `(2, 4, 3)`, consumed by `temperature` and `logprobs`." in cells["about_dmixed"].source
    assert "    mixed = mixed + piece" in cells["about_dweights"].source
    assert "a single number" in cells["about_dtemperature"].source
    assert notebook.cells[-1].source == "progress()"
    assert all(is_untouched(cell.source, cell.name) for cell in exercise.cells if cell.kind == "stub")
    assert all(check.points == 1 for check in exercise.checks)


def test_new_looks_like_backprop(course: Course, script: Callable[[str], Path], source: Path) -> None:
    """Each kind of cell carries the metadata that it has in the exercise written by hand."""

    def facts(path: Path) -> dict[str, list[object]]:
        found: dict[str, list[object]] = {}
        for cell in nbformat.read(path, as_version=4).cells:
            kind = "parameters" if grade_id(cell) == "parameters" else kind_of(cell)
            metadata = {key: dict(value) if key == "nbgrader" else value for key, value in cell.metadata.items()}
            metadata.get("nbgrader", {}).pop("grade_id", None)
            if metadata not in found.setdefault(kind, []):
                found[kind].append(metadata)
        return found

    assert facts(new_exercise(course, "attention", script(ATTENTION))) == facts(source)


TOP = "import torch\nseed = 1\ng = torch.Generator().manual_seed(seed)\nw = torch.randn(3, 4, generator=g)\n"
"""Four lines to begin with; the fifth is what a test adds."""
LEAF = TOP.replace("generator=g)", "generator=g).requires_grad_()")


def test_refused(course: Course, script: Callable[[str], Path]) -> None:
    """A script of which no exercise can be made is refused with the line and the reason, and nothing is written."""
    for text, reasons in [
        (LEAF + "h = w.tanh(\nloss = h.sum()", ["is not valid Python: line 5"]),
        (LEAF + "h = w.tanh()", ["line 5: the script ends without a loss"]),
        (LEAF + "loss = w.tanh().mean(0)", ["line 5: loss has the shape (4,): it must be a scalar"]),
        (LEAF + "loss = w.argmax()", ["line 5: loss holds int64"]),
        (LEAF + "loss = 3.0", ["line 5: loss is not a tensor but float"]),
        (LEAF + "loss = (w / 0).sum() / 0", ["line 5: loss is"]),
        (TOP + "loss = w.sum()", ["line 5: loss has no gradient"]),
        (
            LEAF + "u = w * 2\nr = u.round().long()\nloss = w.sum()",
            ["line 5: u does not reach", "r (line 6) is computed from it"],
        ),
        (
            LEAF + "u = w * 2\nloss = w.sum() + 0 * u.sum()",
            ["line 5: the gradient of u is zero: leave it out, or change the seed"],
        ),
        (LEAF + "h = w * 2\nh += 1\nloss = h.sum()", ["line 6: changes h in place"]),
        (LEAF + "h = w * 2\nh[0] = 1\nloss = h.sum()", ["line 6: changes h in place"]),
        (LEAF + "h = w * 2\nv = h.view(-1)\nv.mul_(2)\nloss = v.sum()", ["line 7: changes h in place", "changes v in"]),
        (LEAF + "w += 1\nloss = w.sum()", ["line 5: raises RuntimeError: a leaf Variable"]),
        (LEAF + "h = w * 2\nh = h + 1\nloss = h.sum()", ["line 6: assigns h a second time"]),
        (LEAF + "h = w * 2\nz = h\nloss = (z + h).sum()", ["line 6: z and h are the same tensor"]),
        (LEAF + "h = w * torch.rand(4)\nloss = h.sum()", ["line 5: h differs in a second run"]),
        (
            LEAF + "n = w.long().requires_grad_()\nloss = w.sum()",
            ["line 5: raises RuntimeError: only Tensors of float"],
        ),
        (LEAF + "h = w * 1j\nloss = h.abs().sum()", ["line 5: h holds complex64"]),
        (LEAF + "h = w.bfloat16()\nloss = h.float().sum()", ["line 5: h holds bfloat16, which is exact to 0.008"]),
        (LEAF + "h = w.half()\nloss = h.float().sum()", ["line 5: h holds float16, which is exact to 0.001"]),
        (LEAF + "el = w * 2\nloss = el.sum()", ["line 5: the gradient of el would be called del, which is a word"]),
        (LEAF + "h = w * 2\nloss = h.sum()\ndel h", ["line 7: deletes h, which the checks of the notebook need"]),
        (
            LEAF.replace("w = ", "p = {'w': ").replace("requires_grad_()", "requires_grad_()}") + "loss = p['w'].sum()",
            ["line 5: no tensor with a gradient has a name"],
        ),
        (
            LEAF + "v = torch.zeros(4).requires_grad_()\nh = w * 2\nloss = (h @ v).square().sum()",
            ["line 6: the gradient of h is zero: let v begin with other numbers than zeros"],
        ),
        (LEAF.replace("seed = 1", "seed = 2**3 - 1") + "loss = w.sum()", ["line 2: seed is not a literal at the top"]),
        (LEAF + "dw = 2\nloss = (dw * w).sum()", ["line 4: the gradient of w is called dw"]),
        (LEAF + "progress = 1\nloss = w.sum()", ["line 5: defines progress, as the notebook does"]),
        (LEAF + "loss = w.sum()\nloss.backward()", ["line 6: calls backward: delete it"]),
        (LEAF + "a = 1; b = 2\nloss = w.sum()", ["line 5: has two statements"]),
        (LEAF + "loss = w.sum() / x", ["line 5: raises NameError"]),
        (
            LEAF.replace("seed = 1", "other = 1").replace("(seed)", "(1)") + "loss = w.sum()",
            ["line 1: there is no integer `seed`"],
        ),
        (LEAF.replace("(seed)", "(1)") + "loss = w.sum()", ["line 2: seed changes no tensor"]),
        (LEAF + "wé = w * 2\nloss = wé.sum()", ["line 5: wé cannot be the name of a cell"]),
        (
            LEAF + "h = w * 2\nh += 1\nz = w * 3\nz += 1\nloss = (h + z).sum()",
            ["line 6: changes h in place", "line 8: changes z in place"],
        ),
    ]:
        with named(text, reasons):
            with pytest.raises(ExerciseError) as caught:
                new_exercise(course, "small", script(text))
            for reason in reasons:
                assert reason in str(caught.value)
            assert not (course.root / "source").exists()


def test_several_outputs(course: Course, script: Callable[[str], Path]) -> None:
    """An operation with several outputs makes several named tensors."""
    for made in (
        "q.chunk(2, 1)",
        "q.split(1, -1)",
        "q.unbind(1)",
        "torch.var_mean(q, 1)",
        "torch.linalg.eigh(q @ q.T)",
    ):
        text = LEAF + f"q = w.view(-1, 2) * 2\na, b = {made}\nloss = (a.sum() * b.tanh().sum())\n"
        path = script(text)
        with named(made):
            forward = ForwardPass.read(path, path.parent)
            found = {name: set(consuming) for name, consuming in forward.consumers.items()}
            assert found == {"w": {"q"}, "q": {"a", "b"}, "a": {"loss"}, "b": {"loss"}}


def test_annotations(course: Course, script: Callable[[str], Path]) -> None:
    """A literal may have an annotation."""
    path = new_exercise(course, "small", script(LEAF.replace("seed = 1", "seed: int = 1") + "loss = w.sum()\n"))
    assert Exercise.read(path).tensors == {"dw": "w"}


def test_what_a_block_makes_is_a_helper(script: Callable[[str], Path]) -> None:
    """A buffer that a loop fills is a named tensor; what the loop and an underscore name is not."""
    text = LEAF + (
        "cols = torch.zeros(2, 3)\nfor i in range(2):\n    part = w[:, i]\n    cols[i] = part\n"
        "_half = cols / 2\nloss = _half.square().sum()\n"
    )
    path = script(text)
    forward = ForwardPass.read(path, path.parent)
    assert list(forward.tensors) == ["w", "cols"]
    assert forward.consumers == {"w": ("cols",), "cols": ("loss",)}
    assert [statement.line for statement in forward.lines["cols"]] == [5, 6]


def test_files_of_the_script(course: Course, script: Callable[[str], Path]) -> None:
    """The script finds its files in the exercise's folder where that is there already, else beside itself."""
    text = LEAF + "from pathlib import Path\nscale = float(Path('scale.txt').read_text())\nloss = (w * scale).sum()\n"
    path = script(text)
    with pytest.raises(ExerciseError, match=r"line 6: raises FileNotFoundError.*scale\.txt"):
        new_exercise(course, "small", path)
    folder = course.root / "source/small"
    folder.mkdir(parents=True)
    (folder / "scale.txt").write_text("2.5")
    Reference.of(Exercise.read(new_exercise(course, "small", path)), {})


def test_documented_script(course: Course, script: Callable[[str], Path]) -> None:
    """The script in the author's page is one that an exercise can be made of."""
    page = (ROOT / "docs/author/forward-pass.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exercise = Exercise.read(new_exercise(course, "attention", script(text)))
    assert exercise.stubs == ("dlogprobs", "dmixed", "dweights", "dscores", "dq", "dk", "dWk", "dWq")


def test_names(course: Course, script: Callable[[str], Path]) -> None:
    """An exercise is called as a Python name is."""
    for name in ["", "two words", "../up", "3d", "über", "class", "a/b", "a-b"]:
        with named(name), pytest.raises(CourseError, match="cannot be the name of an exercise"):
            new_exercise(course, name, script(ATTENTION))


def test_never_overwrites(course: Course, script: Callable[[str], Path]) -> None:
    """What is there already stays as it is."""
    path = new_exercise(course, "attention", script(ATTENTION))
    path.write_text("mine")
    with pytest.raises(CourseError, match="exists already"):
        new_exercise(course, "attention", script(ATTENTION))
    assert path.read_text() == "mine"


def test_no_script(course: Course, tmp_path: Path) -> None:
    """A script that is not there is named."""
    with pytest.raises(ExerciseError, match=r"nowhere\.py cannot be read"):
        new_exercise(course, "small", tmp_path / "nowhere.py")
