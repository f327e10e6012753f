"""Right answers that are not plain arithmetic are held for manual review; a formula in any style is not."""

from collections.abc import Callable

import pytest

from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.report.records import Verdict
from handgrad.submission.submission import Submission
from helpers.warm_grader import warm_grader

Submit = Callable[..., Submission]

DIFFERENCES = """
def back(x, h=1e-6):
    p = x.double()
    return (((p + h).log() - (p - h).log()) / (2 * h) * dlogprobs.double()).float()
dprobs = back(probs)
"""
NUMPY = """
import numpy as np
k, h = 'D', 1e-20
i = np.sqrt(np.array(-1.0).astype(k))
p = probs.double().numpy()
z = np.log(p.astype(k) + h * i) - np.log(p)
dprobs = torch.tensor((z / h / i).astype('float64')).float() * dlogprobs
"""
LARGE_STEPS = """
def jacobian(f, x, dy, h=1.0):
    grad = torch.zeros_like(x)
    for i in range(x.numel()):
        e = torch.zeros_like(x).view(-1)
        e[i] = h
        e = e.view(x.shape)
        grad.view(-1)[i] = ((f(x + e) - f(x - e)) / (2 * h) * dy).sum()
    return grad
"""
COLUMNS = """
dh = torch.zeros_like(h)
base = (h @ W2 + b2).detach()
for k in range(n_hidden):
    t = h.detach().clone()
    t[:, k] += 1
    dh[:, k] = ((t @ W2 + b2 - base) * dlogits).sum(1)
"""
SHIFTS = """
dprobs = torch.zeros_like(probs)
weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
for k, w in weights.items():
    dprobs = dprobs + w * (probs + k * 1e-3).log() / 1e-3
dprobs = dprobs * dlogprobs
"""
VIEWED = """
import numpy as np
kind = 'complex128'
z = probs.detach().numpy().astype(kind)
z.view('float64')[:, 1::2] = 1e-30
dprobs = torch.tensor(np.log(z).view('float64')[:, 1::2] / 1e-30) * dlogprobs
"""
SUBSCRIPT = """
u = [-1.0]
u[0] **= 0.5
z = (probs.detach().double() + 1e-30 * u[0]).log()
dprobs = z.view(torch.float64)[:, 1::2] / 1e-30 * dlogprobs
"""
LONG = """
import numpy as np
x, k = np.array(probs.detach().numpy(), 'longdouble'), np.array(1e-3, 'longdouble')
d = lambda k: (np.log(x * (1 + k)) - np.log(x * (1 - k))) / (2 * k * x)
r = [d(k), d(k / 2), d(k / 4)]
r = [(4 * r[1] - r[0]) / 3, (4 * r[2] - r[1]) / 3]
dprobs = torch.tensor(np.array((16 * r[1] - r[0]) / 15, 'float64')) * dlogprobs
"""
PROBING = "its cell tries several values near one of the forward pass, as numerical differentiation does"
HELD = {
    "central differences": (DIFFERENCES, "as numerical differentiation is"),
    "text that is executed": ("exec('dprobs = dlogprobs / probs')", "uses the name exec"),
    "a computed name": ("dprobs = getattr(dlogprobs, 'd' + 'iv')(probs)", "uses the name getattr"),
    "a class": ("class Answer:\n    value = dlogprobs / probs\ndprobs = Answer.value", "uses the class Answer"),
    "a complex step": (
        "h = 1e-20\nz = torch.complex(probs.double(), torch.full_like(probs, h).double()).log()\n"
        "dprobs = (z.imag / h * dlogprobs).float()",
        "uses the attribute complex",
    ),
    "a complex number from a power": (
        "i = (-1) ** 0.5\nh = 1e-20\ndprobs = ((probs.double() + i * h).log().imag / h * dlogprobs).float()",
        "",
    ),
    "a patched function": (
        "torch.Tensor.relu = lambda self: self / probs\ndprobs = dlogprobs.relu()",
        "uses an assignment to the attribute relu",
    ),
    "numpy's complex numbers": (NUMPY, ""),
    "complex numbers seen as pairs": (VIEWED, ""),
    "a complex number in a list": (SUBSCRIPT, ""),
    "long numbers": (LONG, ""),
    "another module": (
        "import operator\ndprobs = operator.truediv(dlogprobs, probs)",
        "`import operator` in line 1 uses the import of operator",
    ),
}


def verdict(grader: Grader, submission: Submission) -> Verdict:
    """The verdict on dprobs; all others pass."""
    report = grader.grade(submission).report
    assert {check.outcome for check in report.checks if check.gradient != "dprobs"} == {"passed"}
    return report.verdicts()["check_dprobs"]


@pytest.mark.parametrize(("text", "why"), HELD.values(), ids=HELD)
def test_held(grader: Grader, submit: Submit, text: str, why: str) -> None:
    """It has no points until an instructor has looked at it, and the report says why."""
    found = verdict(grader, submit(dprobs=text))
    if found.outcome == "failed":
        pytest.fail(f"the attack itself does not work: {found}")
    assert (found.outcome, found.points) == ("held", 0.0)
    assert found.message.startswith("dprobs is right, but ")
    assert why in found.message


@pytest.mark.parametrize(
    "text",
    [
        "dprobs = dlogprobs / probs",
        "dprobs = probs**-1 * dlogprobs",
        "import numpy as np\ndprobs = torch.from_numpy(dlogprobs.numpy() / probs.numpy())",
        "def recip(x):\n    return 1.0 / x\ndprobs = dlogprobs.double().mul(recip(probs.double())).float()",
        "dprobs = torch.stack([a / b for a, b in zip(dlogprobs, probs)])",
        "%time dprobs = dlogprobs / probs",
        "print('shape', dlogprobs.shape)\ndprobs: torch.Tensor = dlogprobs / probs",
        "eval('1 + 1')\ndprobs = dlogprobs / probs",
        "import matplotlib.pyplot as plt\nplt.hist(probs.view(-1))\nplt.show()\ndprobs = dlogprobs / probs",
        "from IPython.display import Markdown, display\ndisplay(Markdown('*x*'))\ndprobs = dlogprobs / probs",
        "dprobs = torch.vmap(torch.div)(dlogprobs, probs)",
        "device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\n"
        "dprobs = (dlogprobs / probs).to(device)",
        "import matplotlib.pyplot as plt\ndef show(ax, x):\n    ax.imshow(x)\nfig, ax = plt.subplots()\n"
        "show(ax, probs)\nplt.close(fig)\ndel fig\ndprobs = dlogprobs / probs",
        "import os\nlevel = len(os.environ)\nlevel += 1\ndprobs = dlogprobs / probs",
        "try:\n    import numpy as np\nexcept ImportError:\n    print('numpy is missing')\n"
        "dprobs = torch.from_numpy(np.divide(dlogprobs.numpy(), probs.numpy()))",
        "@torch.inference_mode()\ndef back(x: torch.Tensor) -> torch.Tensor:\n    return dlogprobs / x\n"
        "dprobs = back(probs)",
        "import functools\ndef timed(f):\n    @functools.wraps(f)\n    def run(*xs):\n        return f(*xs)\n"
        "    return run\n"
        "@timed\ndef back(x):\n    return dlogprobs / x\ndprobs = back(probs)",
        "db1 = torch.zeros_like(b1)\nother = torch.zeros(vocab_size)\ndprobs = torch.zeros_like(probs)\n"
        "for i in range(n):\n    for j in range(vocab_size):\n        dprobs[i, j] = dlogprobs[i, j] / probs[i, j]",
        "import numpy as np\ndprobs = torch.tensor(np.vectorize(lambda a, b: a / b)(dlogprobs.numpy(), probs.numpy()))",
        "globals()['dprobs'] = dlogprobs / probs",
        "def back():\n    global dprobs\n    dprobs = dlogprobs / probs\nback()",
        "dprobs = torch.empty_like(probs)\nfor i in range(n):\n    dprobs[i] = dlogprobs[i] * probs[i].pow(-1)",
    ],
)
def test_a_formula_is_not(grader: Grader, submit: Submit, text: str) -> None:
    """Formulas pass in any style, whatever stands beside them."""
    assert verdict(grader, submit(dprobs=text)).outcome == "passed"


HIDDEN = """
def numeric(h=1e-4):
    return (dhprebn.sum(0) * (b1.double() + h) - dhprebn.sum(0) * (b1.double() - h)) / (2 * h)
db1 = torch.zeros_like(b1)
exec('db1 = numeric().float()')
"""


def test_large_steps_on_a_linear_line(grader: Grader, submit: Submit) -> None:
    """Differences of a linear line are exact, whatever the step: it is seen that it tries them."""
    linear = {
        "db2": f"{LARGE_STEPS}db2 = jacobian(lambda b: h @ W2 + b, b2, dlogits)",
        "dbnmeani": "dbnmeani = jacobian(lambda m: hprebn - m, bnmeani, dbndiff)",
        "dprobs": SHIFTS,
        "dh": COLUMNS,
    }
    found = grader.grade(submit(**linear)).report.verdicts()
    for name in ("db2", "dbnmeani", "dh"):
        assert (found[f"check_{name}"].outcome, PROBING in found[f"check_{name}"].message) == ("held", True), name
    assert found["check_dprobs"].outcome in ("held", "failed")
    assert {check.outcome for check in found.values() if check.gradient not in linear} == {"passed"}


def test_a_note_excuses_no_trick(grader: Grader, submit: Submit) -> None:
    """Without the small constant of the variance a formula has a note; what plain statements do not give is held."""
    formula = "dbnvar = -0.5 * bnvar**-1.5 * dbnvar_inv"
    plain = grader.grade(submit(dbnvar=formula)).report.verdicts()["check_dbnvar"]
    trick = grader.grade(submit(dbnvar=f"exec({formula!r})")).report.verdicts()["check_dbnvar"]
    assert (plain.outcome, trick.outcome) == ("passed", "held")


def test_zeros_prove_nothing(grader: Grader, submit: Submit) -> None:
    """Where the loss shows nothing, zeros by plain arithmetic do not confirm what was found in another way."""
    found = grader.grade(submit(db1=HIDDEN)).report.verdicts()["check_db1"]
    assert found.outcome == "held", found


def test_nothing_is_held_in_ones_own_check(exercise: Exercise, submit: Submit) -> None:
    """With ``holds=False`` it has its points, and the report says what an instructor would look at."""
    with warm_grader(exercise, [5], GradingSettings(holds=False)) as grader:
        found = verdict(grader, submit(dprobs="exec('dprobs = dlogprobs / probs')"))
    assert (found.outcome, found.points) == ("passed", 1.0)
    assert found.message.endswith("uses the name exec. In a course an instructor has to look at it.")


def test_a_wider_list(exercise: Exercise, submit: Submit) -> None:
    """A module that the instructor names is plain, with its functions."""
    with warm_grader(exercise, [5], GradingSettings(plain_modules=("operator",))) as grader:
        assert verdict(grader, submit(dprobs=HELD["another module"][0])).outcome == "passed"


def test_a_cell_that_ends_its_process(grader: Grader, submit: Submit) -> None:
    """It costs its own gradient only."""
    report = grader.grade(submit(dh="while True: pass", dC="import os\nos.kill(os.getpid(), 9)")).report
    wrong = {check.gradient: check.outcome for check in report.checks if check.outcome != "passed"}
    assert wrong == {"dh": "timeout", "dC": "crashed"}
