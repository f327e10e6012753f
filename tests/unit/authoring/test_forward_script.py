"""What a script does with other seeds, and what it does not ask for."""

from pathlib import Path

import pytest

from handgrad.authoring.forward_script import ForwardPass
from handgrad.errors import ExerciseError
from helpers.inputs import named

TOP = """import torch

seed = 1
n, m = 4, 3

g = torch.Generator().manual_seed(seed)
x = torch.randn((n, m), generator=g)
W = torch.randn((m, m), generator=g).requires_grad_()
V = torch.randn((m, m), generator=g).requires_grad_()
z = x @ W
"""
"""Ten lines; the next one is what a test adds."""
FUNCTION = """def branch(z):
    if z.sum() > 0:
        return {returned}
    return x @ V


q = branch(z)
loss = (q + z {rest}).square().mean()
"""


def _read(tmp_path: Path, text: str) -> ForwardPass:
    path = tmp_path / "forward.py"
    path.write_text(TOP + text, encoding="utf-8")
    return ForwardPass.read(path, tmp_path)


def test_another_graph_for_other_data(tmp_path: Path) -> None:
    """A script whose consumers depend on the data is refused, with the line that decides and what it decides."""
    for text, reason in [
        (
            FUNCTION.format(returned="x @ W", rest="+ x @ V"),
            "line 12: `if z.sum() > 0:` depends on the data: q is computed",
        ),
        (
            FUNCTION.format(returned="z * 2", rest=""),
            "line 12: `if z.sum() > 0:` depends on the data: q is computed from",
        ),
        (
            "if z.mean().item() > 9:\n    print('large')\nk = int(z.sum() > 0)\nq = z @ [W, V][k]\n"
            "loss = (q + x @ V).mean()\n",
            "line 13: `k = int(z.sum() > 0)` depends on the data: q is computed from",
        ),
        (
            "which = z.argmax(1)\nout = torch.zeros(n, m)\nfor k, E in enumerate([W, V]):\n    rows = which == k\n"
            "    if rows.any():\n        out[rows] = out[rows] + z[rows] @ E\nloss = (out + x @ V).mean()\n",
            "line 15: `if rows.any():` depends on the data: out is computed from",
        ),
        (
            "import random\nr = random.Random(seed).random()\nq = z @ V if r < 0.5 else z * 2\n"
            "loss = (q + x @ V).mean()\n",
            "line 13: `q = z @ V if r < 0.5 else z * 2` depends on the seed: q is computed from",
        ),
    ]:
        with named(text), pytest.raises(ExerciseError) as caught:
            _read(tmp_path, text)
        assert reason in str(caught.value)
        assert "does not reach" not in str(caught.value)


def test_other_steps_for_other_data(tmp_path: Path) -> None:
    """If only the steps between a tensor and its consumer depend on the data, the author is told where."""
    for text, line in [
        ("if z.sum() > 0:\n    q = z * 2\nelse:\n    q = z * 3\nloss = (q @ V).mean()\n", "line 11: `if z.sum() > 0:`"),
        (
            "hs = [z @ V]\nwhile hs[-1].abs().max().item() > 0.1:\n    hs.append(hs[-1] / 2)\nh = hs[-1] * 2\n"
            "loss = h.square().mean()\n",
            "line 12: `while hs[-1].abs().max().item() > 0.1:`",
        ),
    ]:
        with named(text):
            (note,) = _read(tmp_path, text).notes
            assert note.startswith(f"{line} depends on the data: ")
            assert "must be right for both" in note


def test_the_same_graph_for_all_data(tmp_path: Path) -> None:
    """What reads numbers from tensors and changes no graph is accepted without a word, and so is routing by tensors."""
    for text in [
        "if z.mean().item() > 0:\n    print(float(z.detach().max()))\nloss = (z @ V).mean() / z.shape[0]\n",
        "vals = z.topk(2, 1).values\nwhich = z[:, :2].argmax(1)\npicked = torch.stack([W, V])[which]\n"
        "loss = (vals.sum() + (z[:, None] @ picked)).mean() + (x @ V).mean()\n",
        "h = torch.where(z > 0, z, z @ V)\nloss = h.square().mean()\n",
    ]:
        with named(text):
            assert _read(tmp_path, text).notes == ()


MODULE = "torch.manual_seed(seed)\nnet = torch.nn.Linear(m, m)\nloss = (net(z) @ V).square().mean()\n"


def test_weights_without_a_name(tmp_path: Path) -> None:
    """Weights in a module, a list or a dictionary that lead to the loss are named, and how to ask for them."""
    (note,) = _read(tmp_path, MODULE).notes
    assert note.startswith("line 13: nobody is asked for the gradients of net.weight and net.bias: ")
    assert "(`net_weight = net.weight`)" in note
    followed = MODULE.replace("loss", "net_weight = net.weight\nnet_bias = net.bias\nloss")
    assert set(_read(tmp_path, followed).tensors) == {"W", "V", "z", "net_weight", "net_bias"}
    for text, what in [
        ("layers = [torch.ones(m).requires_grad_()]\nloss = (z @ V * layers[0]).mean()\n", " of layers[0]: "),
        ("layers = {'b': torch.ones(m).requires_grad_()}\nloss = (z @ V * layers['b']).mean()\n", " of layers['b']: "),
        ("loss = (z @ V * torch.ones(m, requires_grad=True)).mean()\n", " of some weights: "),
        (MODULE.replace("torch.nn.Linear(m, m)", "torch.nn.Sequential(torch.nn.Linear(m, m))"), "'0.weight') and "),
        (followed, ""),
        (MODULE.replace("net", "_net"), ""),
        (MODULE.replace("Linear(m, m)", "Linear(m, m).requires_grad_(False)"), ""),
    ]:
        with named(text):
            notes = _read(tmp_path, text).notes
            assert [what in note for note in notes] == ([True] if what else [])
