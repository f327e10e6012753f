"""What the lessons state is true of their own notebooks: shapes, consumers, lines of code, numbers."""

import contextlib
import io
import math
import re
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
from helpers.paths import ASSIGNMENTS, ROOT

GRADIENTS = [name for name in ASSIGNMENTS if name != "training"]
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
    with contextlib.chdir(path.parent), contextlib.redirect_stdout(io.StringIO()):
        for cell in notebook.cells:
            if grade_id(cell) in NOT_RUN:
                break
            if cell.cell_type == "code":
                exec(compile(cell.source, f"<{cell.id}>", "exec"), namespace)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)
    exercise = Exercise.read(path)
    known = {"math": math, "exercise": exercise, "slope": slope, "assignments": ASSIGNMENTS}
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


LETTERS = (
    (
        "80% to train on, 10% to tune, 10% to test",
        "(train_end, dev_end) == (int(len(words) * 0.8), int(len(words) * 0.9))",
    ),
    ("`.` is 0, `a` is 1, `z` is 26", "(stoi['.'], stoi['a'], stoi['z']) == (0, 1, 26)"),
)
CLAIMS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "backprop": {
        "title": (("26 gradients", "len(exercise.stubs) == 26"),),
        "about_data": (
            *LETTERS,
            ("so the name `ada` makes four examples", "len(build_dataset(['ada'])[0]) == 4"),
        ),
        "about_forward": (
            ("so none is above 0", "(logprobs <= 0).all()"),
            ("the exponentials of each row add up to 1", "torch.allclose(logprobs.exp().sum(1), torch.ones(n))"),
            ("The two differ by one number in each row", "(logits - logprobs).std(1).max() < 1e-5"),
        ),
        "names": (
            ("the scores of the 27 characters", "logits.shape[1] == 27"),
            ("so none is above 0", "(norm_logits <= 0).all()"),
            ("all above 0", "(counts > 0).all()"),
        ),
        "about_backward": (
            ("a loss of log 27, about 3.30", "vocab_size == 27 and f'{math.log(27):.2f}' == '3.30'"),
            ("should not be far from it", "abs(loss - math.log(27)) < 0.3"),
        ),
        "about_dlogprobs": (
            (
                "row 0 with the first label, row 1 with the second",
                "dlogprobs[0, Yb[0]] != 0 and dlogprobs[1, Yb[1]] != 0",
            ),
            ("the mean of these 32 numbers", "n == 32"),
            ("The other 832 entries", "int((dlogprobs == 0).sum()) == 832"),
            (
                "the product of its 32 probabilities, a number so small that 32-bit floats round it to 0",
                "probs[range(n), Yb].shape == (32,) and probs[range(n), Yb].prod() == 0",
            ),
        ),
        "about_dprobs": (
            ("The slope of the logarithm is 1 where the probability is 1", "slope(torch.log, 1.0) == 1"),
            ("and has no bound towards 0", "slope(torch.log, 1e-300) > 1e299"),
            (
                "rounded to exactly 0, in a column that the loss never looks at. What would your formula give there? "
                "(Autograd gives `nan` as well.",
                "math.isnan(slope(lambda x: 0 * x.log() + 1, 0.0))",
            ),
        ),
        "about_dcounts_sum_inv": (
            ("one number, 27 uses", "counts.shape[1] == 27 and counts_sum_inv.shape == (n, 1)"),
            ("over all 27 columns of `counts`", "counts.shape[1] == 27"),
            ("used 27 times", "counts.shape[1] == 27"),
        ),
        "about_dcounts_sum": (
            ("The largest entry in each row of `counts` is `exp(0)`, which is 1", "(counts.max(1).values == 1).all()"),
            ("lies between 1 and 27", "((counts_sum > 1) & (counts_sum < 27)).all()"),
        ),
        "about_dcounts": (
            ("harms all 27 probabilities of its row", "counts.shape[1] == 27"),
            ("one number went to 27 places. Here, 27 numbers flow into one place", "counts.shape[1] == 27"),
            ("any one of the 27 counts", "counts.shape[1] == 27"),
            (
                "its two effects add up; nothing is counted twice",
                "torch.allclose(counts.grad, dprobs * counts_sum_inv + counts_sum.grad.expand_as(counts))",
            ),
        ),
        "about_dnorm_logits": (("next to nothing left", "dnorm_logits.sum(1).abs().max() < 1e-7"),),
        "about_dlogit_maxes": (
            (
                "In 32-bit floats, `exp(89)` is already infinite",
                "torch.tensor([88.0, 89.0]).exp().isinf().tolist() == [False, True]",
            ),
            ("keeps every exponent at or below 0", "(norm_logits <= 0).all()"),
            ("around 1e-9, are rounding", "dlogit_maxes.abs().max() < 2e-8"),
            (
                "zeros pass, and so does the wrong sign",
                "cmp('logit_maxes', 0 * dlogit_maxes, logit_maxes) is None"
                " and cmp('logit_maxes', -dlogit_maxes, logit_maxes) is None",
            ),
            ("a column stretched over 27", "norm_logits.shape[1] == 27"),
        ),
        "about_dh": (
            ("in all 27 of them", "W2.shape[1] == 27"),
            ("each neuron votes on 27 characters", "W2.shape[1] == 27"),
        ),
        "about_dW2": (
            ("All 32 of them", "n == 32"),
            ("one row of 64 numbers and one of 27", "(h.shape[1], logits.shape[1]) == (64, 27)"),
            ("its 1,728 entries", "W2.numel() == 1728"),
            (
                "each row of `dlogits` has its `1/n` from there",
                "torch.allclose(dlogits * n, probs - F.one_hot(Yb, 27), atol=1e-6)",
            ),
        ),
        "about_db2": (
            (
                "these 27 numbers are taken for a row and added to each of the 32 examples",
                "(b2.numel(), n) == (27, 32)",
            ),
            (
                "add up the 27 entries. Apart from rounding, the total is zero",
                "db2.sum().abs() < 1e-6 * db2.abs().max() * 27",
            ),
        ),
        "about_dhpreact": (
            ("when a neuron is near -1 or 1", "slope(torch.tanh, 9.0) < 1e-6 and slope(torch.tanh, -9.0) < 1e-6"),
            ("differences around 1e-9", "(dhpreact - hpreact.grad).abs().max() < 2e-8"),
        ),
        "about_dbngain": (
            ("every neuron has mean 0", "bnraw.mean(0).abs().max() < 1e-6"),
            ("variance 1 over the batch", "torch.allclose(bnraw.var(0), torch.ones(n_hidden), atol=1e-3)"),
            ("The 32 examples share it", "n == 32"),
            ("a first dimension of size 1", "bngain.shape[0] == 1"),
        ),
        "about_dbnbias": (("from one row to 32", "n == 32"),),
        "about_dbnvar_inv": (
            ("shared by its 27 characters", "counts.shape[1] == 27"),
            ("shared by the 32 examples", "bnraw.shape[0] == 32"),
            ("look where the 1 is", "bnvar_inv.shape[0] == 1"),
        ),
        "about_dbnvar": (
            (
                "Its variance is 0, and without the guard the inverse would be infinite",
                "(torch.ones(n).var()**-0.5).isinf()",
            ),
        ),
        "about_dbndiff2": (
            ("32 numbers flow into one", "n == 32"),
            ("the mean of these same 32 numbers", "n == 32"),
            ("off by one part in 32", "math.isclose(1 - (1/n) / (1/(n-1)), 1 / 32)"),
        ),
        "about_dbndiff": (("together with the 31 others", "n == 32"),),
        "about_dbnmeani": (
            ("But this gradient is not zero", "dbnmeani.abs().min() > 1e-6"),
            ("one of the two contributes nothing", "(dbndiff2 * 2 * bndiff).sum(0).abs().max() < 1e-6"),
        ),
        "about_dhprebn": (
            ("from which all 32 are measured", "n == 32"),
            ("sum `dhprebn` over the 32 examples", "dhprebn.sum(0).abs().max() < 1e-7"),
        ),
        "about_dembcat": (("each row of the answer has 30 numbers", "dembcat.shape[1] == 30"),),
        "about_dW1": (
            (
                "the first 10 rows of `W1` read the oldest of the three characters, "
                "the next 10 the middle one, the last 10 the newest",
                "W1.shape[0] == 30 and torch.equal(embcat[:, 20:], C[Xb[:, 2]])",
            ),
            ("the same value in all 32 examples", "n == 32"),
        ),
        "about_db1": (
            ("it adds for all 32 examples", "n == 32"),
            ("a true gradient of zero", "db1.abs().max() < 1e-7"),
        ),
        "about_demb": (
            ("The 960 numbers", "emb.numel() == 960"),
            (
                "the 10 numbers of the first character come first, then the 10 of the second, then the 10 of the third",
                "torch.equal(embcat.view(n, 3, 10), emb)",
            ),
        ),
        "about_dC": (
            ("96 lookups in a table of 27 rows", "(Xb.numel(), C.shape[0]) == (96, 27)"),
            ("The one for `.` is the busiest by far", "Xb.view(-1).bincount().sort().values[-2] * 2 < (Xb == 0).sum()"),
            ("a row of 26 zeros and a single one", "vocab_size == 27"),
        ),
        "closing": (
            (
                "the eight steps between the loss and `logits`",
                "sum(' = ' in line for line in steps[steps.index('# cross-entropy loss, one step at a time') :]) == 8",
            ),
            (
                "Three exercises go on from here with this network. In `cross_entropy`",
                "{'cross_entropy', 'batch_norm', 'training'} <= {*assignments}",
            ),
            ("Three more, `layer_norm`, `attention` and `convolution`", "len(assignments) == 1 + 3 + 3"),
        ),
    },
    "batch_norm": {
        "about_data": LETTERS[1:],
        "names": (("the scores of the 27 characters", "logits.shape[1] == 27"),),
        "about_variance": (
            ("the mean of these 32 examples, and no other number lies as close to these 32", "n == 32"),
            (
                "by one part in `n`",
                "torch.allclose(hprebn.var(0, unbiased=False) / hprebn.var(0), torch.tensor(1 - 1 / n))",
            ),
        ),
        "about_dhprebn": (
            (r"32 numbers $x_1, \dots, x_{32}$", "hprebn.shape[0] == 32"),
            (
                "two combinations of the 32 entries of a column of `dhprebn` must come to zero",
                "((dhprebn * torch.stack([torch.ones(n, n_hidden), hprebn - bnmeani])).sum(1).abs()"
                " < 1e-4 * dhprebn.abs().max()).all()",
            ),
        ),
        "closing": (
            (
                "Each subtraction is a projection. The second takes away the part that points along `bnraw`",
                "torch.allclose(dhprebn,"
                " bngain * bnvar_inv * (dhpreact - dhpreact.mean(0) - bnraw * (bnraw * dhpreact).sum(0)"
                " / (bnraw**2).sum(0)), rtol=0, atol=1e-3 * dhprebn.abs().max().item())",
            ),
            (
                "This length is `n-1` here",
                "torch.allclose((bnraw**2).sum(0), torch.full((n_hidden,), n - 1.0), rtol=1e-3)",
            ),
            (
                "with the biased variance it would be `n`",
                "torch.allclose((hprebn - bnmeani).square().sum(0) / hprebn.var(0, unbiased=False), 0 * bnvar + n)",
            ),
        ),
    },
    "cross_entropy": {
        "about_data": LETTERS[1:],
        "names": (("the scores of the 27 characters", "logits.shape[1] == 27"),),
        "about_softmax": (
            ("the probabilities of a row add up to 1", "torch.allclose(F.softmax(logits, 1).sum(1), torch.ones(n))"),
            ("pull and push are exactly equal", "dlogits.sum(1).abs().max() < 1e-7"),
        ),
    },
    "training": {
        "training-00": (
            ("30,000 steps, which is some 10 seconds", "steps == 30000"),
            ("for 1 step and for 10 steps", "[run['steps'] for run in exercise.training.hidden] == [1, 10]"),
            ("half a point if it is right after 1 step and not after 10", "len(exercise.training.hidden) == 2"),
        ),
        "training-03": (
            ("80% to train on, 10% to tune, 10% to test", LETTERS[0][1]),
            ("`.` is 0", "stoi['.'] == 0"),
        ),
        "names": (("the scores of the 27 characters", "vocab_size == 27"),),
        "training-13": (
            ("counted from 0", "'for i in range(steps):' in exercise.solution()[-1][1]"),
            (
                "The learning rate is 0.1 before step `decay_step`, and 0.01 from there on",
                "'0.1 if i < decay_step else 0.01' in exercise.solution()[-1][1]",
            ),
        ),
        "training-15": (
            ("where 1 step and 10 steps lead to", "[run['steps'] for run in exercise.training.hidden] == [1, 10]"),
        ),
        "training-23": (
            ("reaches 2.219, and 0.02 more is still fine", "'dev_loss <= 2.219 + 0.02' in exercise.checks[-1].source"),
            ("has 3.30", "f'{math.log(vocab_size):.2f}' == '3.30'"),
        ),
    },
    "layer_norm": {
        "title": (("16 gradients", "len(exercise.stubs) == 16"), ("not 16", "len(exercise.stubs) == 16")),
        "about_dy": (("48 of them at these sizes, and not over the 6 rows", "(y.numel(), y.shape[0]) == (48, 6)"),),
        "about_dW2": (
            ("each row of `dy` has its share from there", "torch.allclose(dy * y.numel(), 2 * (y - target))"),
        ),
        "about_dcdf": (("0 is shut, 1 is wide open", "((cdf > 0) & (cdf < 1)).all()"),),
        "about_dgain": (
            (
                "This gain and the shift are the only places in layer norm where rows meet",
                "(gain.shape[0], shift.shape[0]) == (1, 1)",
            ),
        ),
        "about_dinv_std": (
            ("used 8 times", "centred.shape[1] == 8"),
            ("the answer for row 0 change if the other five rows were thrown away", "batch_size == 6"),
        ),
        "about_dmean": (
            ("One number is subtracted from 8", "x.shape[1] == 8"),
            ("adds nothing here", "(dvar * 2 / n_embd * centred).sum(1).abs().max() < 1e-6"),
        ),
    },
    "attention": {
        "title": (("17 gradients", "len(exercise.stubs) == 17"), ("not 17", "len(exercise.stubs) == 17")),
        "about_data": (
            (
                "`mask` is 1 where a token (the row) may look at another (the column), and 0 above the diagonal",
                "torch.equal(mask, torch.ones(block_size, block_size).tril())",
            ),
        ),
        "about_forward": (
            (
                "minus infinity where the mask is 0",
                "torch.allclose(scores.masked_fill(mask == 0, -math.inf).softmax(2), att, atol=1e-6)",
            ),
        ),
        "names": (
            (
                "1 where a token may look at another, 0 where the other lies in the future",
                "mask[0, 1] == 0 and mask[1, 0] == 1",
            ),
            ("the others are 0", "(kept[:, mask == 0] == 0).all()"),
        ),
        "about_dsums": (("dimension 2 here", "sums.shape == (batch_size, block_size, 1)"),),
        "about_datt": (("Is this gradient zero there as well?", "(datt[:, mask == 0] != 0).any()"),),
        "about_dkept": (("Why is it zero?", "(dkept * kept).sum(2).abs().max() < 1e-6"),),
        "about_dmaxes": (("the true gradient is zero", "dmaxes.abs().max() < 1e-6"),),
        "about_dscores": (("where the mask is 0", "(scores.argmax(2) > torch.arange(block_size)).any()"),),
        "about_dbk": (("a true gradient of zero", "dbk.abs().max() < 1e-6"),),
        "about_dWk": (
            (
                "Which of the three would still learn if the scores were held fixed?",
                # with the attention held fixed, queries and keys have no way to the loss
                "torch.autograd.grad(((att.detach() @ v @ Wo - target)**2).mean(), (Wq, Wk, Wv), allow_unused=True,"
                " retain_graph=True)[:2] == (None, None)",
            ),
        ),
    },
    "convolution": {
        "title": (("11 gradients", "len(exercise.stubs) == 11"), ("not 11", "len(exercise.stubs) == 11")),
        "about_network": (("its 9 weights", "W1.shape[0] == 9"),),
        "about_forward": (
            ("patches of 3 by 3", "kernel_size == 3"),
            ("those of a 6 by 6 picture", "conv.shape[1] == 6 * 6"),
            ("squares of 2 by 2", "windows.shape[2] == 2 * 2"),
            ("dimension 2", "windows.shape[2] == 4"),
        ),
        "names": (
            ("0, 1 or 2", "set(labels.tolist()) <= {0, 1, 2} and logits.shape[1] == 3"),
            ("squares of 3 by 3 pixels", "kernel_size == 3"),
            ("each square of 2 by 2, in dimension 2", "windows.shape[2] == 2 * 2"),
        ),
        "about_dwindows": (
            ("some windows are zero all over", "(windows == 0).all(2).any()"),
            ("finds *every* place that is equally large", "(windows == pooled[:, :, None]).sum() > pooled.numel()"),
        ),
        "about_dpooled": (("which shape does the product give", "(dlogits @ W2.T).shape == (n, 45)"),),
        "about_dW1": (("all 36 places of all 7 pictures", "conv.shape[:2] == (7, 36)"),),
        "about_dimages": (
            (
                "part of 9 patches, one in a corner of a single one",
                "F.fold(torch.ones(1, 9, 36), image_size, kernel_size)[0, 0, (4, 0), (4, 0)].tolist() == [9, 1]",
            ),
        ),
    },
}
"""What a text states, by the id of its cell: words of the text, and what must be true where the notebook has run."""

NOT_CLAIMS = re.compile(
    r"```.*?```|`[^`\n]*`|\$[^$]*\$"  # code and formulas: tested by what runs them
    r"|^#+ \d+\.|^\d\. |linear layer \d|makemore Part 4"  # numbers of headings, of rows of a list, names
    r"|[Rr]ule \d|number \d+",  # references: tested below
    re.DOTALL | re.MULTILINE,
)


def claims() -> Iterator[tuple[str, str, str, str]]:
    """Every claim: its exercise, its cell, its words, its condition."""
    for assignment, cells in CLAIMS.items():
        for cell, stated in cells.items():
            for words, condition in stated:
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
        for words, _ in CLAIMS[assignment].get(cell, ()):
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
    forward = next(
        cell.source
        for cell in found.exercise.cells
        if cell.name == ("backward" if assignment == "training" else "forward")
    )
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
