"""What a cell reaches for: found where it is certain, and nothing said where it is not."""

from handgrad.submission.forbidden_names import MAX_SOURCE, ForbiddenUse, find_forbidden
from helpers.inputs import named

GRADIENTS = ("dprobs", "dh")
BEFORE = ("import random\nimport torch\nimport torch.nn.functional as F",)


def _reach(source: str, *earlier: str) -> ForbiddenUse:
    return find_forbidden([*earlier, source], GRADIENTS, BEFORE)[-1]


COPIES = (
    "dprobs = probs.grad",
    "dprobs = probs.grad.clone() * 1.0",
    "dprobs: torch.Tensor = probs.grad",
    "dprobs += probs.grad",
    "dprobs[:] = probs.grad",
    "dprobs.copy_(probs.grad)",
    "x, dprobs = 1, probs.grad",
    "g = probs.grad\nh2 = g * 1\ndprobs = h2 + 0",
    "dprobs = getattr(probs, 'grad')",
    "dprobs = [p for p in parameters if p.shape == (1,)][0].grad",
    "print(dprobs := probs.grad)",
    "%%time\ndprobs = probs.grad",
    "%time dprobs = probs.grad",
)


def test_copied() -> None:
    """A gradient that is assigned from a .grad is copied."""
    for source in COPIES:
        with named(source):
            assert _reach(source).copied == {"dprobs"}


AUTOGRAD = {
    "dprobs, = torch.autograd.grad(loss, probs)": "torch.autograd.grad",
    "from torch.autograd import grad\ndprobs = grad(loss, probs)": "torch.autograd.grad",
    "import torch.autograd.forward_ad as fwAD": "torch.autograd.forward_ad",
    "dprobs = torch.func.vjp(f, probs)[1](dh)[0]": "torch.func.vjp",
    "from torch.func import jvp": "torch.func.jvp",
    "t = torch\ndprobs = t.autograd.functional.jacobian(f, probs)": "torch.autograd.functional.jacobian",
    "dprobs = getattr(torch, 'autograd').grad(loss, probs)": "torch.autograd.grad",
    "torch.ops.aten.tanh_backward(dh, h)": "torch.ops.aten.tanh_backward",
    "A = torch.ops.aten\nA._softmax_backward_data(dh, h, 1, torch.float32)": "torch.ops.aten._softmax_backward_data",
    "torch.nn.grad.conv1d_input((1, 1, 9), w, dh)": "torch.nn.grad.conv1d_input",
    "loss.backward()": "backward",
    "(y * dh).sum().backward(retain_graph=True)": "backward",
}


def test_autograd() -> None:
    """Whatever gives gradients is named."""
    for source, call in AUTOGRAD.items():
        with named(source):
            found = _reach(source)
            assert call in found.autograd
            assert not found.internals


INTERNALS = {
    "torch._C._set_grad_enabled(True)": "torch._C",
    "from torch import _C": "torch._C",
    "import torch._functorch.eager_transforms as et": "torch._functorch",
    "import ctypes": "ctypes",
    "__import__('ctypes').string_at(0)": "ctypes",
    "import importlib\nimportlib.import_module('cffi')": "cffi",
    "import gc\nfound = gc.get_objects()": "gc.get_objects",
    "from gc import get_referrers as who\nwho(probs)": "gc.get_referrers",
    "import sys\nsys.settrace(spy)": "sys.settrace",
    "import sys\nsys.modules['torch']._C": "torch._C",
    "import sys\nframe = sys._getframe(1)": "sys._getframe",
    "import inspect\ninspect.stack()": "inspect.stack",
    "f.__closure__[0].cell_contents": "__closure__",
    "open('/proc/self/maps').read()": "/proc",
    "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')": "/proc",
    "import os\nos.write(3, b'x')": "os.write",
    "import os\nos._exit(0)": "os._exit",
    "from handgrad.sandbox import child_server": "handgrad.sandbox",
    "def f():\n    import ctypes": "ctypes",
    "dprobs = [torch._C for i in range(3)][0]": "torch._C",
}


def test_internals() -> None:
    """What no formula needs is named."""
    for source, internal in INTERNALS.items():
        with named(source):
            assert internal in _reach(source).internals


def test_imports_hold_for_later_cells() -> None:
    """What one cell imports, under whatever name, the next may use; until the name is the student's own."""
    assert _reach("collector.get_objects()", "import gc as collector").internals == ("gc.get_objects",)
    assert _reach("gc.get_objects()", "import gc", "gc = bngain * 2") == ForbiddenUse()


QUIET = (
    "dprobs = dlogprobs / probs  # not probs.grad, torch._C or ctypes",
    "print(probs.grad)",
    "cmp('probs', dprobs, probs)",
    "(dprobs - probs.grad).abs().max()",
    "print((dprobs - probs.grad).abs().max())",
    "ok = torch.allclose(dprobs, probs.grad)\nassert (dprobs == probs.grad).all()",
    "close = dprobs == probs.grad\ndprobs = dlogprobs / probs",
    "dprobs = torch.zeros_like(probs.grad)",
    "dprobs = torch.zeros(probs.grad.shape)",
    "dprobs = dlogprobs.view(probs.grad.size())",
    "dprobs = 'torch.autograd.grad(loss, probs)'",
    "note = 'see /proc/self/maps and ctypes'",
    "with torch.no_grad():\n    dprobs = dlogprobs / probs",
    "with torch.enable_grad():\n    p = probs.detach().requires_grad_()",
    "torch.autograd.set_grad_enabled(False)",
    "import gc\ngc.collect()",
    "gc = bngain * dhpreact\ngc.get_objects",
    "def f(gc, sys):\n    return gc.get_objects(), sys.settrace",
    "f = lambda torch: torch._C",
    "for torch in range(3):\n    torch._C",
    "x = [gc.get_objects for gc in range(3)]",
    "class ctypes:\n    pass\nctypes.string_at",
    "try:\n    pass\nexcept Exception as sys:\n    sys._getframe",
    "import os\nos.write(1, b'x')",
    "import sys, inspect\nprint(sys.version, inspect.signature(f))",
    "x = open('names.txt').read()",
    "x = grad\nx = model.gradient",
    "dprobs = (",
    "%matplotlib inline\n!ls /proc",
    "?torch._C",
    "%%writefile x.py\nimport ctypes",
    "",
)


def test_nothing_is_said() -> None:
    """Comments, texts, prints, comparisons, sizes and names of the student's own are left alone."""
    for source in QUIET:
        with named(source):
            assert _reach(source) == ForbiddenUse()


def test_odd_cells() -> None:
    """A cell that no person wrote neither stops the reading nor is guessed about."""
    deep = "x = " + "(" * 300 + "1" + ")" * 300
    nested = "x = " + "-" * 3000 + "1"
    long = "?x\n" + "y = 1\n" * MAX_SOURCE
    chain = "x" + ".y" * 5000
    for source in (deep, nested, long, chain, "x = '\\ud800'", "\0", "1 if 1 else" * 2000):
        assert _reach(source) == ForbiddenUse()
    assert _reach("x = 1\n" * MAX_SOURCE + "import ctypes").internals == ("ctypes",)


def test_warnings_of_the_cell_are_its_own() -> None:
    """A cell over which Python warns is read without a warning."""
    assert _reach("x = '\\d'\nimport ctypes").internals == ("ctypes",)
