"""Which gradients an answer is made from."""

from handgrad.submission.alignment import StudentCell
from handgrad.submission.gradients_read import gradients_read
from helpers.inputs import named

TENSORS = {"dloss": "loss", "dy": "y", "dh": "h", "dx": "x"}

READS = {
    "in its own cell": (["dx = dh * W + dy"], {"h", "y"}),
    "none": (["dx = (probs - onehot) / n"], set()),
    "through a helper of the cell": (["t = dh * W\ndx = t.sum(0)"], {"h"}),
    "a helper that is lost": (["t = dh * W\nt = dy\ndx = t"], {"y"}),
    "a helper that is added to": (["t = dh\nt += dy\ndx = t"], {"h", "y"}),
    "a helper that is written into": (["t = dh\nt[0] = dy\ndx = t"], {"h", "y"}),
    "two at once": (["s, t = dh, dy\ndx = s"], {"h", "y"}),
    "a helper of another cell": (["t = dh * W", "dx = t.sum(0)"], {"h"}),
    "what is shown only": (["print(dy)\ndx = dh * W"], {"h"}),
    "accumulated": (["dx = torch.zeros_like(x)\nfor t in range(8):\n    dx += dh[t]"], {"h"}),
    "started in another cell": (["dx = dh * W", "dx = dx + dy"], {"h", "y"}),
    "a function": (["def back():\n    return dh * W", "dx = back()"], {"h"}),
    "a function that calls another": (["def f(): return dh\ndef g(): return f()\ndx = g()"], {"h"}),
    "a function defined before the gradient": (["f = lambda: dh", "dx = f()"], {"h"}),
    "autograd's own": (["dx = y.grad * W"], {"y"}),
    "magic": (["%time dx = dh * W"], {"h"}),
    "not Python": (["dx = dh *"], set()),
}


def test_reads() -> None:
    """An answer is made from the gradients that its statements load, directly or through helpers."""
    for name, (sources, expected) in READS.items():
        cells = [StudentCell(source, ("dx",) if source == sources[-1] else (), None) for source in sources]
        given = [StudentCell("dy = f + dloss", ("dy",), None), StudentCell("dh = dy", ("dh",), None)]
        with named(name):
            assert gradients_read([*given, *cells], TENSORS)["dx"] == expected


def test_what_replaces_an_answer_is_read() -> None:
    """After its stub a gradient is the one that replaced it, whatever it was made from."""
    cells = [StudentCell("dy = dloss", ("dy",), None), StudentCell("dh = dy * dy", ("dh",), None)]
    assert gradients_read(cells, TENSORS) == {"dy": {"loss"}, "dh": {"y"}}


def test_intermediate_of_an_answer() -> None:
    """What a stub keeps from before its answer was replaced is made from what the stub read."""
    cells = [StudentCell("own = dy * 2\ndh = own", ("dh",), None), StudentCell("dx = own * W", ("dx",), None)]
    assert gradients_read(cells, TENSORS)["dx"] == {"y"}
