"""`hint`, `nudge` and `counterexample` as a notebook calls them: in a kernel, in a script, in the grader."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbclient
import nbformat
import pytest
import torch

from handgrad import cmp, counterexample, hint, nudge
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.student import check
from handgrad.submission.submission import Submission
from helpers.exercises import EXERCISES
from helpers.paths import ROOT
from helpers.played_notebooks import play

SCRIPT = """
import torch
from handgrad import counterexample, hint, nudge
n = 3
x = torch.ones(2, n, requires_grad=True)
y = torch.tanh(x)
y.retain_grad()
loss = y.sum()
loss.backward(retain_graph=True)
dy = torch.ones(2, 3)
dx = dy * y
"""
CALLS = "hint('dx')\nhint('x')\nhint(x)\nnudge(x, [1, 2])\nnudge('dx', (0, 0))\ncounterexample(dx)\n"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[[dict[str, Any], str], str]:
    """What a call in a played notebook prints."""

    def run(namespace: dict[str, Any], call: str) -> str:
        capsys.readouterr()
        namespace |= {"hint": hint, "nudge": nudge, "counterexample": counterexample, "cmp": cmp}
        with chdir(EXERCISES["backprop"].directory):
            exec(call, namespace)
        return capsys.readouterr().out

    return run


def test_three_steps_and_begin_again(ask: Callable[[dict[str, Any], str], str]) -> None:
    """Each call goes a step further, for each gradient on its own; a new answer begins again."""
    namespace = play("backprop", "dcounts = counts_sum_inv * dprobs", "dh = -dh")
    assert "counts goes into 2 tensors" in ask(namespace, "hint('dcounts')")
    assert "the entry where yours is furthest off" in ask(namespace, "hint('counts')")
    assert "h goes into 1 tensor" in ask(namespace, "hint('dh')")
    assert "A neighbour: " in ask(namespace, "hint(counts)")
    assert "counts goes into 2 tensors" in ask(namespace, "hint('dcounts')")
    assert "the entry where yours is furthest off" in ask(namespace, "hint(dcounts)")
    namespace |= {"dcounts": namespace["dcounts"] * 2}
    assert "counts goes into 2 tensors" in ask(namespace, "hint('dcounts')")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("hint('dprob')", "hint: dprob is no tensor of the forward pass. These are: C, W1,"),
        ("hint(torch.ones(3))", "hint: this is no tensor of the forward pass: give its name"),
        ("nudge('probs', [99, 0])", "nudge: probs has the shape (32, 27): give an index from [0, 0] to [31, 26]."),
        ("counterexample('dprobs')", "counterexample: dprobs is right."),
        ("hint('dprobs')", "hint: dprobs is right."),
        ("counterexample('dnothing')", "counterexample: dnothing is no tensor of the forward pass."),
    ],
)
def test_reasons(call: str, sentence: str, ask: Callable[[dict[str, Any], str], str]) -> None:
    """Whoever asks for what is not there is told so in a sentence, and nothing is raised."""
    assert ask(play("backprop"), call).startswith(sentence)


def test_before_anything_is_written(ask: Callable[[dict[str, Any], str], str]) -> None:
    """There is no formula yet that could fail; a hint and a nudge do without one."""
    namespace = play("backprop", "dprobs = None")
    assert ask(namespace, "counterexample('dprobs')") == "counterexample: dprobs is not written yet.\n"
    assert ask(namespace, "hint('dprobs')").startswith("probs goes into 1 tensor:")
    assert "Yours" not in ask(namespace, "nudge(probs, [0, 1])")


@pytest.mark.parametrize("call", ["hint('dprobs')", "nudge('probs', [0, 0])", "counterexample('dprobs')"])
def test_without_a_forward_pass(call: str, ask: Callable[[dict[str, Any], str], str]) -> None:
    """Before the forward pass, and without a history, the sentence says what to run."""
    assert "there is no loss yet: run the cells from the top first" in ask({}, call)
    namespace = play("backprop")
    namespace["In"] = [""]
    assert "the cells of the forward pass are not in the history of this session" in ask(namespace, call)
    namespace = play("backprop")
    namespace["loss"] = namespace["loss"].detach()
    assert "there is no loss yet" in ask(namespace, call)


def test_with_autograd_off(ask: Callable[[dict[str, Any], str], str]) -> None:
    """A notebook that has switched autograd off gets the same help."""
    namespace = play("backprop", "dcounts = counts_sum_inv * dprobs")
    with torch.no_grad():
        assert "dcounts fails already here" in ask(namespace, "counterexample('dcounts')")
        assert "Change / step" in ask(namespace, "nudge('counts', [0, 1])")


def test_the_example_in_the_documentation(ask: Callable[[dict[str, Any], str], str]) -> None:
    """What `docs/student/stuck.md` shows is what is printed."""
    shown = ask(play("backprop", "dcounts = counts_sum_inv * dprobs"), "counterexample('dcounts')")
    assert f"```text\n{shown}```" in (ROOT / "docs/student/stuck.md").read_text(encoding="utf-8")


def test_a_script(tmp_path: Path) -> None:
    """In a script the statements above the call are what was run, and torch's slow imports are not asked for."""
    inside = "def inside():\n    counterexample('dx')\n\ninside()\nimport sys\nprint('sympy' in sys.modules)\n"
    source = f"{SCRIPT}{CALLS}\n{inside}"
    (tmp_path / "work.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "work.py"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr == ""
    shown = done.stdout
    assert shown.count("x goes into 1 tensor:") == 1
    assert "the entry where yours is furthest off" in shown
    assert "A neighbour: a function of each entry, solved." in shown
    assert shown.count("Change / step: +0.42") == 2
    assert shown.count("dx fails already here (n = ") == 2
    assert shown.endswith("False\n")


def test_in_a_kernel(tmp_path: Path) -> None:
    """In a notebook, outputs are HTML with the same text beside it, the cards say how to ask, and magics work."""
    cells = [SCRIPT, "%%time\ndx = dy * y", "from handgrad import cmp\ncmp('x', dx, x)", *CALLS.splitlines()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [[output for output in cell.outputs if output.output_type != "stream"] for cell in notebook.cells]
    assert "hint('dx') shows the next step." in outputs[2][0].data["text/plain"]
    for shown in outputs[3:]:
        (output,) = shown
        html, text = output.data["text/html"], output.data["text/plain"]
        words = "".join(ElementTree.fromstring(html).itertext())
        for sentence in text.splitlines():
            assert "".join(sentence.split()) in "".join(words.split()) or "   " in sentence
    assert "dx fails already here (n = " in outputs[-1][0].data["text/plain"]


def test_the_card_says_how_to_import(finished: dict[str, Any]) -> None:
    """What the card offers can be typed as it is."""
    shown: list[Mapping[str, str]] = []
    bare = {name: value for name, value in finished.items() if name != "hint"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "in_notebook", lambda: True)
        patch.setattr(check, "show", lambda html, text: shown.append({"html": html, "text": text}))
        for ready in ({}, {"hint": hint}):
            with pytest.raises(AssertionError):
                exec("cmp('probs', -dprobs, probs)", bare | ready | {"cmp": cmp})
    assert "from handgrad import hint; hint('dprobs') shows the next step." in shown[0]["text"]
    assert shown[1]["text"].splitlines()[-1] == "hint('dprobs') shows the next step."


@pytest.fixture
def finished() -> dict[str, Any]:
    """A student's notebook with every stub solved."""
    return play("backprop")


def test_graded_as_if_it_were_not_there(
    grader: Grader, submit: Callable[..., Submission], solutions: dict[str, str], exercise: Exercise
) -> None:
    """Helps that a student left in the notebook cost no point, and no notebook is held for them."""
    asking = "\nfrom handgrad import counterexample, hint, nudge\nhint('dprobs')\nnudge('probs', [0, 0])\n"
    stubs = {
        "dprobs": solutions["dprobs"] + asking + "counterexample(dprobs)",
        "dcounts": "from handgrad import hint\n" + solutions["dcounts"] + "\nhint(dcounts)",
    }
    report = grader.grade(submit(**stubs)).report
    assert {verdict.outcome for verdict in report.checks} == {"passed"}
    with check.recording() as calls:
        hint("dprobs")
        nudge("probs", [0, 0])
        counterexample("dprobs")
    assert not calls
