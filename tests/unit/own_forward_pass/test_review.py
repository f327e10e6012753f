"""Notebooks of other networks, names and styles: right work is right, a mistake is found where it is."""

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from handgrad.notebook.reading import parse_script
from handgrad.own_forward_pass.findings import Findings
from handgrad.student.check import recording
from helpers.own_forward_pass import outcomes, reviewed, reviewed_cells, row
from helpers.own_notebooks import NAMES, OwnNotebook
from helpers.paths import NOTEBOOKS

KINDS = NOTEBOOKS / "kinds"
EXPECTED: Mapping[str, Any] = tomllib.loads((KINDS / "expected.toml").read_text(encoding="utf-8"))


def _spelled(findings: Findings) -> dict[str, str]:
    """The outcomes, with double quotes in the names of items, as in the TOML files."""
    return {name.replace("'", '"'): outcome for name, outcome in outcomes(findings).items()}


def test_helps_left_in_the_notebook() -> None:
    """Calls of `hint`, `nudge` and `counterexample` that were left in a notebook change nothing."""
    forward = (
        "import torch\nfrom handgrad import counterexample, hint, nudge\nx = torch.ones(3, 4, requires_grad=True)\n"
        "h = torch.tanh(x * 0.3)\nh.retain_grad()\nloss = (h**2).mean()\nloss.backward(retain_graph=True)"
    )
    with recording():
        found = reviewed_cells(forward, "dh = 2 * h / 12\nhint('dh')\nnudge(h, [0, 1])\ncounterexample(dh)")
    assert outcomes(found)["h"] == "passed"


@pytest.mark.parametrize("name", NAMES)
def test_right_work_is_right(name: str) -> None:
    """Every hand-written gradient passes, and none is left out."""
    own = OwnNotebook.read(name)
    found = _spelled(reviewed(own.notebook))
    assert {pair.tensor: found.get(pair.tensor) for pair in own.right} == {pair.tensor: "passed" for pair in own.right}
    assert set(found.values()) == {"passed"}


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_found_at_its_place(name: str) -> None:
    """Exactly the steps that are wrong fail, with a sentence; what is made from them is right."""
    own = OwnNotebook.read(name)
    for mistake in own.mistakes:
        findings = reviewed(own.planted(mistake))
        found = _spelled(findings)
        assert {tensor for tensor, outcome in found.items() if outcome != "passed"} == set(mistake.fails), mistake
        for finding in findings.rows:
            if finding.outcome == "failed":
                assert finding.diagnosis or finding.message
                assert finding.variable in (finding.diagnosis.what if finding.diagnosis else finding.message)


@pytest.mark.parametrize("name", EXPECTED)
def test_kinds(name: str) -> None:
    """Verdicts for notebooks with odd names, errors, training, the network, endless loops."""
    notebook = parse_script((KINDS / f"{name}.py").read_text(encoding="utf-8"))
    findings = reviewed(notebook, seconds=2.0)
    found, expected = outcomes(findings), EXPECTED[name]
    assert {tensor for tensor, outcome in found.items() if outcome == "failed"} == set(expected.get("wrong", ()))
    for tensor in (*expected.get("right", ()), *expected.get("carried", ())):
        assert found[tensor] == "passed", tensor
    assert bool(findings.why_not) == (not expected)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("01_names_of_gradients", "g_probs, in cell 4, line 7, is not right."),
        ("03_raises_in_the_middle", "cell 3, line 4: AttributeError: 'Tensor' object has no attribute 'gard'"),
        ("04_loss_without_graph", "Autograd was off where the loss was computed"),
        ("05_numpy_throughout", "computes with numpy and makes no torch tensor"),
        ("06_jax_throughout", "computes with jax"),
        ("07_no_gradients", "No gradient of yours was found"),
        ("08_long_training_before", "Training was left after one turn (cell 2, line 2)"),
        ("10_asks_the_world", "https://example.org/people.csv is not here"),
        ("11_second_backward", "backward() was called 2 times on one loss"),
        ("12_missing_retain_grad", "The .grad of diff, y and z were None"),
        ("13_endless_loop", "cell 3, line 2: TimeLimit: not done after 2 seconds"),
        ("15_shape_crashes_later_line", "dz has no value: cell 3, line 4, stops with RuntimeError"),
    ],
)
def test_what_is_said(name: str, said: str) -> None:
    """What happened around the formulas is told, with its place."""
    findings = reviewed(parse_script((KINDS / f"{name}.py").read_text(encoding="utf-8")), seconds=2.0)
    texts = [findings.why_not, *findings.notes, *(finding.message for finding in findings.rows)]
    assert any(said in text for text in texts), texts


SETUP = """
import torch
torch.manual_seed(3)
x, t = torch.randn(6, 4), torch.randint(0, 3, (6,))
W = torch.randn(4, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
z = x @ W + b
m = z.max(1, keepdim=True).values
s = z - m
e = s.exp()
q = e.sum(1, keepdim=True)
p = e / q
l = p.log()
loss = -l[range(6), t].mean()
for y in (z, m, s, e, q, p, l): y.retain_grad()
loss.backward()
dl = torch.zeros_like(l)
dl[range(6), t] = -1 / 6
dp = dl / p
dq = (dp * -e / q**2).sum(1, keepdim=True)
de = dp / q + dq
ds = de * e
"""


def test_a_change_through_another_name() -> None:
    """A gradient that a later cell changes through an alias is right, and the cell is named."""
    found = reviewed_cells(
        SETUP, "dm = -ds.sum(1, keepdim=True)\nassert torch.allclose(ds, s.grad)", "dz = ds\ndz += 1"
    )
    assert row(found, "s").outcome == "passed"
    assert "cell 3, line 2, changes it, because dz is another name" in row(found, "s").message
    assert row(found, "z").outcome == "failed"


def test_autograd_as_upstream_and_as_answer() -> None:
    """A formula with a .grad in it is right, and says so; a .grad alone is a copy."""
    found = reviewed_cells(SETUP.partition("de =")[0], "de = p.grad / q + q.grad", "dW = W.grad.clone()")
    assert "dW is a copy of W.grad" in row(found, "W").message
    assert row(found, "W").outcome == "failed"
    assert row(found, "e").message == "It is made from q.grad and p.grad, which are autograd's."


def test_right_on_this_loss_only() -> None:
    """The branch through the maximum is zero here: without it the gradient is partly right."""
    found = reviewed_cells(SETUP, "dm = -ds.sum(1, keepdim=True)\ndz = ds.clone()")
    finding = row(found, "z")
    assert finding.outcome == "partial"
    assert finding.diagnosis is not None
    assert finding.diagnosis.mistake == "invisible-branch"
    assert "through m" in finding.diagnosis.what


def test_a_later_attempt_is_right() -> None:
    """The first right answer counts; another one is named."""
    found = reviewed_cells(
        SETUP,
        "dz = 2 * ds\nprint(torch.allclose(dz, z.grad))",
        "dm = -ds.sum(1, keepdim=True)",
        "dz = ds + torch.nn.functional.one_hot(z.argmax(1), 3) * dm",
    )
    assert row(found, "z").outcome == "passed"
    assert "An earlier attempt, in cell 2, is not right." in row(found, "z").message


def test_an_error_comes_first() -> None:
    """What a statement raised is told before what its variable lacks."""
    found = reviewed_cells(SETUP, "dm = -ds.sum(1, keepdim=True)\ndz = ds.clone()\ndz += dm * z.max(1).indexes")
    assert row(found, "z").message.startswith("Cell 2, line 3, stops with AttributeError")
    assert reviewed_cells(SETUP, "dW = x.T @ dzz").rows[-1].message == (
        "dW has no value: cell 2, line 1, stops with NameError: name 'dzz' is not defined."
    )


@pytest.mark.parametrize(
    "answer",
    [
        "d = torch.zeros_like(l)\nfor k, r in enumerate(d): r[t[k]] = -1/6\nassert torch.allclose(d, l.grad)",
        "d = torch.zeros(18)\nd.view(6, 3)[range(6), t] -= 1/6\nprint((d.view(6, 3) - l.grad).abs().max())",
        "import operator\ndl = torch.zeros_like(l)\nfor k in range(6): dl[k].index_fill_(0, t[k], -1/6)",
        "def back():\n    global dl\n    dl = torch.zeros_like(l)\n    dl[range(6), t] = -1/6\nback()",
        "globals()['dl'] = -torch.nn.functional.one_hot(t, 3) / 6",
        "dl = torch.empty_like(l)\ntorch.mul(torch.nn.functional.one_hot(t, 3), -1/6, out=dl)",
        "dl = torch.zeros_like(l)\ndl.numpy()[range(6), t.numpy()] = -1/6",
        "@torch.compile\ndef f(a): return -torch.nn.functional.one_hot(a, 3) / 6\ndl = f(t)",
        "l_grad = -torch.nn.functional.one_hot(t, 3) / 6",
        "#@title Form\n%%time\ndl = -torch.nn.functional.one_hot(t, 3) / 6",
        "%time dl = -torch.nn.functional.one_hot(t, 3) / 6",
    ],
)
def test_ways_to_write(answer: str) -> None:
    """However a value comes into a variable, it is seen."""
    found = reviewed_cells(SETUP.partition("dl =")[0], answer)
    assert outcomes(found)["l"] == "passed"


def test_rename() -> None:
    """A variable whose partner cannot be known is told by --rename."""
    cells = SETUP.partition("dp =")[0], "upstream = 2 * dl / p"
    assert "p" not in outcomes(reviewed_cells(*cells))
    assert row(reviewed_cells(*cells, renames={"upstream": "p"}), "p").outcome == "failed"


def test_time_of_the_whole_notebook() -> None:
    """A cell that catches everything is still ended, and the rest of the notebook is checked."""
    found = reviewed_cells(SETUP, "import time\ntime.sleep(30)", "print(1)", seconds=0.5)
    assert any("cell 2, line 2: TimeLimit: not done after 0.5 seconds" in note for note in found.notes)
    assert row(found, "s").outcome == "passed"
