"""What of a cell is plain arithmetic."""

import numpy as np
import pytest
import torch

from handgrad.submission.plain_code import in_double, plain_cells, real, real_power

PLAIN = (
    "dprobs = dlogprobs / probs",
    "dC = torch.zeros_like(C)\nfor k in range(Xb.shape[0]):\n    dC[Xb[k]] += demb[k]",
    "def back(a: torch.Tensor, b=1) -> torch.Tensor:\n    return a * b\ndb = (lambda x: back(x))(dh)",
    "with torch.no_grad():\n    dh = dlogits @ W2.T",
    "import torch, math\nfrom torch.nn import functional as F\ndx = F.one_hot(ix) * math.sqrt(2)",
    "try:\n    dx = dy.sum(0)\nexcept (ValueError, RuntimeError) as error:\n    print(f'{error}')",
    "input = 3\ndx = dy * input",
    "async def f(a):\n    return a\ndx = await f(dy)",
    "dx = [one for one in dy if (n := one.sum()) > 0]",
    "",
)


@pytest.mark.parametrize("source", PLAIN)
def test_plain(source: str) -> None:
    """Arithmetic in any style is plain."""
    (cell,) = plain_cells([source], {"dlogprobs"})
    assert not cell.left_out


NOT_PLAIN = {
    "x = 1\nexec('dx = 2')": ("exec('dx = 2')", "the name exec"),
    "def f(exec): pass\nexec('dx = 2')": ("exec('dx = 2')", "the name exec"),
    "eval = 3\ndx = eval('y')": ("dx = eval('y')", "the name eval"),
    "dx = getattr(torch, 'autograd').grad(y, x)": (
        "dx = getattr(torch, 'autograd').grad(y, x)",
        "the attribute autograd",
    ),
    "dx = getattr(torch, 'auto' + 'grad').grad(y, x)": (
        "dx = getattr(torch, 'auto' + 'grad').grad(y, x)",
        "the name getattr",
    ),
    "def f():\n    globals()['dx'] = 1": ("globals()['dx'] = 1", "the name globals"),
    "import torch as t\ndx = t.autograd.grad(y, x)": ("dx = t.autograd.grad(y, x)", "the attribute autograd"),
    "torch.Tensor.mul = f": ("torch.Tensor.mul = f", "an assignment to the attribute mul"),
    "torch.Tensor.data = f": ("torch.Tensor.data = f", "an assignment to the attribute data"),
    "class Mine(torch.Tensor): pass": ("class Mine(torch.Tensor): pass", "the class Mine"),
    "import os, math": ("import os, math", "the import of os"),
    "from torch import autograd": ("from torch import autograd", "the import of autograd"),
    "from . import x": ("from . import x", "the import from None"),
    "dx = 1j * dy": ("dx = 1j * dy", "a constant of the type complex"),
    "dx = dy.to(dtype='complex128')": ("dx = dy.to(dtype='complex128')", "the type 'complex128'"),
    "dx = torch.complex(x, h)": ("dx = torch.complex(x, h)", "the attribute complex"),
    "dx = y.__class__": ("dx = y.__class__", "the attribute __class__"),
    "@torch.compile\ndef f(x): return x": ("def f(x): return x", "the attribute compile"),
    "def __getattr__(name): return 1": ("def __getattr__(name): return 1", "the function __getattr__"),
    "with torch.enable_grad(), x: dy = 1": ("with torch.enable_grad(), x: dy = 1", "the attribute enable_grad"),
    "match x:\n    case Foo(): dx = 1": ("match x:", "a match on a class"),
    "dx = type('T', (object,), {})()": ("dx = type('T', (object,), {})()", "the name type"),
    "dx = torch.func.vmap(f)(y)": ("dx = torch.func.vmap(f)(y)", "the attribute func"),
    "%timeit -n1 dx = 1": ("%timeit -n1 dx = 1", "a magic"),
}


@pytest.mark.parametrize(("source", "first"), NOT_PLAIN.items(), ids=NOT_PLAIN)
def test_left_out(source: str, first: tuple[str, str]) -> None:
    """What is more than arithmetic is left out, with the reason."""
    (cell,) = plain_cells([source], set())
    assert cell.left_out
    assert (cell.left_out[0].text, cell.left_out[0].why) == first


def test_the_rest_stays() -> None:
    """Statements are left out one by one, inside blocks too; a block's body outlives its manager."""
    source = """
import os, math
for i in range(3):
    dx += i
    eval('1')
with evil.manager():
    dy = math.exp(1)
%time dz = 2
class A:
    pass
"""
    (cell,) = plain_cells([source], set())
    assert cell.source == "import math\nfor i in range(3):\n    dx += i\ndy = math.exp(1)\ndz = 2"
    assert [statement.line for statement in cell.left_out] == [2, 5, 6, 9]


def test_every_value_is_looked_at_with_numpy() -> None:
    """Where numbers can be complex or long without a power, what calls and operators give is looked at."""
    (cell,) = plain_cells(["import numpy as np\ndx = np.log(x) * dy\nu[0] **= 0.5"], {"x", "dy", "u"})
    assert cell.source.splitlines()[1:] == ["dx = _real(_real(np.log(x)) * dy)", "u[0] = _real(u[0] ** 0.5)"]
    for value in (1j, np.ones(1, "D"), np.ones(1, "longdouble"), np.array([None]), torch.ones(1) * 1j):
        with pytest.raises(ValueError, match="a value is of the type"):
            real(value)
    assert real(np.ones(2)) is not None


def test_names_that_are_written() -> None:
    """A name in quotes that is not computed is a name."""
    (cell,) = plain_cells(["globals()['dx'] = getattr(y, 'T') * vars()['z']"], set())
    assert (cell.source, cell.left_out) == ("dx = y.T * z", ())


def test_what_is_not_bound_is_not_read() -> None:
    """What reads a name that only left-out statements bind is left out too, in all cells, and the rest stays."""
    sources = [
        "import matplotlib.pyplot as plt\nfrom IPython.display import display\nimport math as m",
        "fig, ax = plt.subplots()\nfor i in range(3):\n    ax.imshow(dx)\n    display(fig)\n    dx += i",
        "class Foo: pass\nfoo = Foo()\nfig = 3\ndy = fig * dx",
    ]
    cells = plain_cells(sources, {"dx"})
    assert [cell.source for cell in cells] == [
        "import math as m",
        "for i in range(3):\n    dx += i",
        "fig = 3\ndy = fig * dx",
    ]
    why = [[(statement.line, statement.why) for statement in cell.left_out] for cell in cells]
    assert why[1] == [(1, "the attribute subplots"), (3, "the attribute imshow"), (4, "the name display")]
    assert [statement.text for statement in cells[2].left_out] == ["class Foo: pass", "foo = Foo()"]
    # a parameter of a function that is left out is no name of the notebook
    assert plain_cells(["@torch.compile\ndef f(dx): return dx\ny = dx"], set())[0].source == "y = dx"


def test_double_precision() -> None:
    """What names single precision names double, and a power is real."""
    source = "dx = y.float() ** n\ndx = dx.to(torch.float32) + y.to('float32')\ndx **= 0.5\nz = pow(x, 2) ** -2"
    (cell,) = plain_cells([source], set())
    assert cell.source.splitlines() == [
        "dx = _real(y.double() ** n)",
        "dx = dx.to(torch.float64) + y.to('float64')",
        "dx = _real(dx ** 0.5)",
        "z = _real_power(x, 2) ** (-2)",
    ]
    assert in_double("x = y.float() ** 2\n") == "x = y.double() ** 2"
    assert in_double("%magic") == "%magic"
    assert real_power(2, 3) == 8
    with pytest.raises(ValueError, match="complex"):
        real_power(-1, 0.5)


def test_as_it_is() -> None:
    """A plain cell keeps its text, comments and all."""
    source = "# mine\ndx = dy * 2  # twice"
    assert plain_cells([source], set())[0].source == source
