"""Evenings of students that go wrong: the cells that they run in the released notebook, and what they are told."""

from dataclasses import dataclass, field

import nbformat

from helpers.paths import ROOT

NAME = "backprop"
OLDER = "older than the forward pass, which has run again in In ["
AGAIN = "run your cells again from the cell of dlogprobs"


def _sources(kind: str) -> dict[str, str]:
    """The code cells of a notebook, by their grade_ids."""
    notebook = nbformat.read(ROOT / kind / NAME / f"{NAME}.ipynb", as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


RELEASED, SOLVED = _sources("release"), _sources("solutions")
_names = list(RELEASED)
SETUP = tuple(RELEASED[name] for name in _names[: _names.index("backward") + 1])
FORWARD, BACKWARD, MINIBATCH = (RELEASED[name] for name in ("forward", "backward", "minibatch"))
_GRADIENTS = [name for name in _names if name.startswith("d") and f"check_{name}" in RELEASED]


def _until(gradient: str) -> tuple[str, ...]:
    """The solved cells of the gradients before this one."""
    return tuple(SOLVED[name] for name in _GRADIENTS[: _GRADIENTS.index(gradient)])


def _check(gradient: str) -> str:
    return RELEASED[f"check_{gradient}"]


@dataclass(frozen=True)
class Evening:
    """What a student does after the setup, and what the last cell says.

    Attributes
    ----------
    cells
        The cells that are run, in order.
    said, not_said
        Parts of what the last cell says where there is a history of cells, and what it must not say.
    setup
        The cells before (default: the locked cells of the release).
    in_a_script
        What it says in a script; None if a script ends before the last cell.
    """

    cells: tuple[str, ...]
    said: tuple[str, ...]
    not_said: tuple[str, ...] = ()
    setup: tuple[str, ...] = field(default=SETUP, repr=False)
    in_a_script: tuple[str, ...] | None = None


_LOOP = "for k in range(Xb.shape[0]):\n    for j in range(Xb.shape[1]):\n        dC[Xb[k, j]] += demb[k, j]"
_DOUBLED = "The backward pass of this loss ran 2 times, and each run adds to logprobs.grad"
_IN_PLACE = "`h` is not what the forward pass computed: it was changed in place by the cell of dh."
_MULTIPLE = "dprobs is 2 times what it should be"
_EDITED = FORWARD.replace("1/(n-1) * bndiff2", "1/n * bndiff2")

EVENINGS = {
    "the cell raised": Evening(
        (*_until("dprobs"), "dprobs = None", "x = 1\ndprobs = dlogprobs @ probs", _check("dprobs")),
        (
            "The cell of dprobs stopped with RuntimeError in line 2: mat1 and mat2 shapes cannot be multiplied",
            "dprobs has no value yet.",
        ),
        ("is not written yet",),
    ),
    "the cell raised, and there is an older answer": Evening(
        (*_until("dcounts_sum_inv"), "dprobs = dlogprobs @ probs", _check("dprobs")),
        ("The cell of dprobs stopped with RuntimeError in line 1", "dprobs has its value from before."),
    ),
    "the cell raised after the answer": Evening(
        (*_until("dprobs"), "dprobs = dlogprobs / probs\nplot(dprobs)", _check("dprobs")),
        ("approximate: True", "stopped with NameError in line 2", "dprobs was assigned before that."),
    ),
    "the cell is no Python": Evening(
        (*_until("dprobs"), "dprobs = None", "dprobs = (dlogprobs / probs", _check("dprobs")),
        ("The cell of dprobs stopped with SyntaxError in line 1", "dprobs has no value yet."),
        ("is not written yet",),
    ),
    "the cell is no Python, and there was no value": Evening(
        (*_until("dprobs"), "dprobs = (dlogprobs / probs", _check("dprobs")),
        ("The cell of dprobs stopped with SyntaxError in line 1", "dprobs has no value yet."),
        ("NameError", "is not written yet"),
    ),
    "the cell did not run": Evening(
        (*_until("dprobs"), _check("dprobs"), "dprobs", _check("dprobs")),
        ("dprobs is not written yet",),
        ("NameError",),
    ),
    "another name": Evening(
        (
            *_until("dlogit_maxes"),
            "dlogit_maxes = None",
            "dlogit_max = -dnorm_logits.sum(1, keepdim=True)",
            _check("dlogit_maxes"),
        ),
        ("= -dnorm_logits.sum(1, keepdi ...`) assigns `dlogit_max`; the name asked for is `dlogit_maxes`",),
        ("is not written yet",),
        in_a_script=("There is a `dlogit_max`; the name asked for is `dlogit_maxes`",),
    ),
    "a loop over n": Evening(
        (
            "for n in range(3):\n    print(n)",
            "dlogprobs = torch.zeros_like(logprobs)\ndlogprobs[range(32), Yb] = -1 / n",
            _check("dlogprobs"),
        ),
        ("`n` was 32 in the forward pass, and is 2 since In [", "(`for n in range(3):`)"),
        ("times what it should be",),
        in_a_script=("dlogprobs is",),
    ),
    "h for something else": Evening(
        (*_until("dW2"), "h = 1e-4", "dW2 = h * dlogits", _check("dW2")),
        ("`h` was a tensor of shape (32, 64) in the forward pass, and is 0.0001 since In [", "(`h = 1e-4`)"),
        in_a_script=("dW2: its shape is (32, 27) instead of (64, 27)",),
    ),
    "h for something else, checked": Evening(
        (*_until("dh"), "h = 1e-4", "dh = dlogits @ W2.T", _check("dh")),
        ("`h` was a tensor of shape (32, 64) in the forward pass, and is 0.0001 since In [",),
        in_a_script=("h is not a tensor any more",),
    ),
    "the forward cell alone": Evening(
        (*_until("dcounts_sum_inv"), FORWARD, _check("dprobs")),
        ("The forward pass has run again since `loss.backward()` ran", AGAIN),
        in_a_script=("autograd has no gradient for probs",),
    ),
    "the forward cell alone, and the map": Evening(
        (*_until("dcounts_sum_inv"), FORWARD, "progress()"),
        ("The forward pass has run again since `loss.backward()` ran", AGAIN),
        ("Of 7 gradients",),
    ),
    "another minibatch": Evening(
        (*_until("dcounts_sum_inv"), MINIBATCH, FORWARD, BACKWARD, _check("dprobs")),
        (f"dprobs is {OLDER}", AGAIN[1:]),
        in_a_script=("dprobs",),
    ),
    "another minibatch, and the map": Evening(
        (*_until("dcounts_sum_inv"), MINIBATCH, FORWARD, BACKWARD, "progress()"),
        ("2 old", AGAIN, "older than the forward pass"),
        ("wrong",),
    ),
    "another seed": Evening(
        (*_until("dcounts_sum_inv"), SETUP[0].replace("2147483647", "5"), *SETUP[1:], _check("dprobs")),
        (f"dprobs is {OLDER}", AGAIN[1:]),
        in_a_script=("dprobs",),
    ),
    "the same again": Evening(
        (*_until("dcounts_sum_inv"), *SETUP, _check("dprobs")),
        ("exact: True",),
        ("older",),
        in_a_script=("exact: True",),
    ),
    "all cells again, and a mistake": Evening(
        (*_until("dcounts"), *SETUP, *_until("dcounts"), "dcounts = counts_sum_inv * dprobs", _check("dcounts")),
        ("dcounts lacks the contribution through counts_sum.",),
        ("In [",),
        in_a_script=("dcounts lacks the contribution through counts_sum.",),
    ),
    "backward again": Evening(
        ("loss.backward(retain_graph=True)", *_until("dprobs"), _check("dlogprobs")),
        ("approximate: True", _DOUBLED),
        in_a_script=("approximate: True", _DOUBLED),
    ),
    "backward again, and a wrong answer": Evening(
        (
            "loss.backward(retain_graph=True)",
            *_until("dprobs"),
            "dprobs = 2 * dlogprobs / probs",
            _check("dprobs"),
        ),
        (_MULTIPLE, "each run adds to probs.grad"),
        in_a_script=(_MULTIPLE, "each run adds to probs.grad"),
    ),
    "backward again, and the map": Evening(
        ("loss.backward(retain_graph=True)", *_until("dcounts_sum_inv"), "progress()"),
        ("2 right, 24 not yet",),
        in_a_script=("2 right, 24 not yet",),
    ),
    "backward again, and the graph is gone": Evening(
        ("loss.backward()", *_until("dprobs"), _check("dlogprobs")),
        ("approximate: True", _DOUBLED),
        in_a_script=("approximate: False",),
    ),
    "autograd.grad": Evening(
        ("torch.autograd.grad(loss, W2, retain_graph=True)[0].shape", *_until("dprobs"), _check("dlogprobs")),
        ("approximate: True", _DOUBLED),
        in_a_script=("approximate: True", _DOUBLED),
    ),
    "changed in place": Evening(
        (*_until("dh"), "dh = h\ndh *= 0", SOLVED["dW2"], _check("dW2")),
        (_IN_PLACE, "`h.clone()`"),
        in_a_script=("dW2 is not right yet",),
    ),
    "changed in place by the answer itself": Evening(
        (*_until("dh"), "dh = h\ndh *= 0", _check("dh")),
        (_IN_PLACE,),
        ("swapped",),
        in_a_script=("dh is not right yet",),
    ),
    "changed in place, and the map": Evening(
        (*_until("dh"), "dh = h\ndh *= 0", "progress()"),
        (_IN_PLACE,),
        in_a_script=("a tensor of the forward pass was changed in place",),
    ),
    "arguments swapped": Evening(
        (*_until("dcounts_sum_inv"), "cmp('probs', probs, dprobs)"),
        ("The two arguments are swapped", "`cmp('probs', dprobs, probs)`"),
        in_a_script=("The two arguments are swapped", "`cmp('probs', dprobs, probs)`"),
    ),
    "a locked cell edited": Evening(
        (*_until("dbnvar"), "dbnvar = dbnvar_inv", _check("dbnvar")),
        ("ran the locked cell `forward`, but not as it was released", "`bnvar = 1/n * bndiff2", "was released as"),
        setup=tuple(_EDITED if cell == FORWARD else cell for cell in SETUP),
        in_a_script=("dbnvar is dbnvar_inv",),
    ),
    "a locked cell edited, and a right answer": Evening(
        (*_until("dprobs"), _check("dlogprobs")),
        ("approximate: True", "ran the locked cell `forward`, but not as it was released"),
        setup=tuple(_EDITED if cell == FORWARD else cell for cell in SETUP),
        in_a_script=("approximate: True",),
    ),
    "a locked cell edited and put back": Evening(
        (_EDITED, FORWARD, BACKWARD, *_until("dprobs"), _check("dlogprobs")),
        ("approximate: True",),
        ("locked cell",),
        in_a_script=("approximate: True",),
    ),
    "an import more": Evening(
        (*_until("dprobs"), _check("dlogprobs")),
        ("exact: True",),
        ("locked cell",),
        setup=tuple(f"import math\n{cell}" if cell == RELEASED["imports"] else cell for cell in SETUP),
        in_a_script=("exact: True",),
    ),
    "a change that failed": Evening(
        (*_until("dcounts_sum_inv"), "dprobs[99] = 0", _check("dprobs")),
        ("exact: True",),
        ("stopped",),
    ),
    "another loss": Evening(
        (*_until("dprobs"), "loss = F.cross_entropy(logits, Yb)", "dprobs = -dlogprobs / probs", _check("dprobs")),
        ("`loss` was another one in the forward pass", "since In [", "(`loss = F.cross_entropy(logits, Yb)`)"),
        ("has run again",),
        in_a_script=("dprobs",),
    ),
    "another loss, and the map": Evening(
        (*_until("dprobs"), "loss = F.cross_entropy(logits, Yb)", "progress()"),
        ("`loss` was another one in the forward pass",),
        ("Of ",),
    ),
    "another loss, and a right answer": Evening(
        (*_until("dcounts_sum_inv"), "loss = F.cross_entropy(logits, Yb)", _check("dprobs")),
        ("exact: True",),
        ("older",),
        in_a_script=("exact: True",),
    ),
    "a loop that adds, twice": Evening(
        (*_until("dC"), "dC = torch.zeros_like(C)", _LOOP, _LOOP, _check("dC")),
        ("The cell of dC ran 2 times, and each run adds to what was there", "`dC = torch.zeros_like(C)`"),
        ("which factors",),
        in_a_script=("dC is 2 times what it should be",),
    ),
    "a locked cell interrupted": Evening(
        (
            *_until("dprobs"),
            f"{FORWARD.partition('# linear layer 2')[0]}raise KeyboardInterrupt\nloss = 0",
            "progress()",
        ),
        ("was interrupted in line", "So the forward pass is not complete. Run that cell again"),
        ("Of ",),
    ),
}
"""What happens, by a name for it."""
