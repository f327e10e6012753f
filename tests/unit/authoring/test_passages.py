"""The lines above a stub: those that lead from the tensor to its consumers, each once, in the order of the script."""

from pathlib import Path

from handgrad.authoring.forward_script import ForwardPass
from helpers.inputs import named

TOP = """import torch

seed = 1
n, m, steps = 4, 3, 5
mode = "tanh"

g = torch.Generator().manual_seed(seed)
x = torch.randn((steps, n, m), generator=g)
W = torch.randn((m, m), generator=g).requires_grad_()
V = torch.randn((m, m), generator=g).requires_grad_()
"""

LIST = """hs = [torch.zeros(n, m)]
for t in range(steps):
    hs.append(torch.tanh(x[t] @ W + hs[-1] @ V))
last = hs[-1]
loss = last.square().mean()
"""
FUNCTIONS = '''def net(t):
    """What it computes."""
    def inner(u):
        return u @ V

    t = torch.tanh(t)
    return inner(t)


z = x[0] @ W
q = net(z)
loss = q.square().mean()
'''

LEADS = {
    "hidden states in a list": (
        LIST,
        {
            "W": [
                "for t in range(steps):",
                "    hs.append(torch.tanh(x[t] @ W + hs[-1] @ V))",
                "last = hs[-1]    # (4, 3)",
            ]
        },
    ),
    "a list that begins with a named tensor": (
        LIST.replace("[torch.zeros(n, m)]", "[h0]").replace("hs = [h0]", "h0 = torch.tanh(x[0] @ W)\nhs = [h0]"),
        {
            "h0": [
                "hs = [h0]",
                "for t in range(steps):",
                "    hs.append(torch.tanh(x[t] @ W + hs[-1] @ V))",
                "last = hs[-1]    # (4, 3)",
            ]
        },
    ),
    "a dictionary": (
        "states = {'h': torch.zeros(n, m)}\nfor t, piece in enumerate(x):\n    states['t'] = t\n"
        "    states['h'] = torch.tanh(piece @ W + states['h'] @ V)\nlast = states['h']\nloss = last.square().mean()\n",
        {
            "V": [
                "for t, piece in enumerate(x):",
                "    states['h'] = torch.tanh(piece @ W + states['h'] @ V)",
                "last = states['h']    # (4, 3)",
            ]
        },
    ),
    "named tensors in a list": (
        "z1 = x[0] @ W\nz2 = x[1] @ V\nzs = [z1, z2]\nout = torch.zeros(n, m)\nfor z in zs:\n    out = out + z.tanh()\n"
        "loss = out.square().mean()\n",
        {
            "z2": ["zs = [z1, z2]", "out = torch.zeros(n, m)    # (4, 3)", "for z in zs:", "    out = out + z.tanh()"],
            "W": ["z1 = x[0] @ W    # (4, 3)"],
        },
    ),
    "a comprehension": (
        "zs = [piece @ W for piece in x]\nz = torch.stack(zs) @ V\nloss = z.square().mean()\n",
        {
            "W": ["zs = [piece @ W for piece in x]", "z = torch.stack(zs) @ V    # (5, 4, 3)"],
            "V": ["z = torch.stack(zs) @ V    # (5, 4, 3)"],
        },
    ),
    "an attribute": (
        "probs = (x[0] @ W @ V).softmax(1)\ntop = probs.max(1)\ngate = top.values\nloss = gate.square().mean()\n",
        {"probs": ["top = probs.max(1)", "gate = top.values    # (4,)"]},
    ),
    "several outputs": (
        "z = x[0] @ W @ V\nmu, var = z.mean(), z.var(0)\nloss = ((z - mu) ** 2 / var).mean()\n",
        {"z": ["mu, var = z.mean(), z.var(0)    # (), (3,)", "loss = ((z - mu) ** 2 / var).mean()"]},
    ),
    "a branch on a parameter": (
        'z = x[0] @ W\nif mode == "relu":\n    q = z.relu()\nelse:\n    q = z.tanh()\nloss = (q @ V).mean()\n',
        {
            "z": [
                'if mode == "relu":',
                "    q = z.relu()",
                "else:",
                "    q = z.tanh()",
                "loss = (q @ V).mean()",
            ]
        },
    ),
    "a branch without the tensor": (
        'z = x[0] @ W\nif mode == "relu":\n    print("slow")\nelse:\n    q = z.tanh()\nloss = (q @ V).mean()\n',
        {"z": ['if mode == "relu":', "    ...", "else:", "    q = z.tanh()", "loss = (q @ V).mean()"]},
    ),
    "functions": (
        FUNCTIONS,
        {
            "z": [
                "def net(t):",
                "    def inner(u):",
                "        return u @ V",
                "    t = torch.tanh(t)",
                "    return inner(t)",
                "q = net(z)    # (4, 3)",
            ],
            "V": [
                "def net(t):",
                "    def inner(u):",
                "        return u @ V",
                "    return inner(t)",
                "q = net(z)    # (4, 3)",
            ],
        },
    ),
    "a with statement and underscores": (
        "z = x[0] @ W\nwith torch.enable_grad():\n    _q = z @ V\n    _r = _q.tanh()\nout = _r + 1\n"
        "loss = out.mean()\n",
        {
            "z": [
                "with torch.enable_grad():",
                "    _q = z @ V",
                "    _r = _q.tanh()",
                "out = _r + 1    # (4, 3)",
            ]
        },
    ),
    "a while loop": (
        "z = x[0] @ W\ni, hs = 0, []\nwhile i < steps:\n    hs.append((z + x[i]) @ V)\n    i += 1\nh = sum(hs)\n"
        "loss = h.mean()\n",
        {"z": ["while i < steps:", "    hs.append((z + x[i]) @ V)", "h = sum(hs)    # (4, 3)"]},
    ),
    "a walrus": (
        "loss = ((z := x[0] @ W) ** 2).mean() + (z @ V).mean()\n",
        {"W": ["loss = ((z := x[0] @ W) ** 2).mean() + (z @ V).mean()"]},
    ),
    "an augmented assignment": (
        "total = torch.zeros(n, m)\nfor piece in x:\n    total += piece @ W\nloss = (total @ V).mean()\n",
        {"W": ["total = torch.zeros(n, m)    # (4, 3)", "for piece in x:", "    total += piece @ W"]},
    ),
    "an operation of the author's own": (
        "class Square(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, t):\n"
        "        ctx.save_for_backward(t)\n        return t**2\n\n    @staticmethod\n    def backward(ctx, upstream):\n"
        "        return 2 * ctx.saved_tensors[0] * upstream\n\n\n"
        "z = x[0] @ W\n_s = Square.apply(z)\nh = _s @ V\nloss = h.mean()\n",
        {"z": ["_s = Square.apply(z)", "h = _s @ V    # (4, 3)"]},
    ),
}


def _read(tmp_path: Path, text: str) -> ForwardPass:
    path = tmp_path / "forward.py"
    path.write_text(TOP + text, encoding="utf-8")
    return ForwardPass.read(path, tmp_path)


def test_lines_that_use_a_tensor(tmp_path: Path) -> None:
    """Lists, attributes and helpers between a tensor and its consumer are shown with it, and nothing twice."""
    for about, (text, leads) in LEADS.items():
        forward = _read(tmp_path, text)
        for name, lines in leads.items():
            with named(about, name):
                assert forward.shown(name).splitlines() == lines


def test_a_loop_that_computes_is_a_step(tmp_path: Path) -> None:
    """The forward pass begins with the first statement whose operations lead to the loss, named or not."""
    forward = _read(tmp_path, LIST)
    assert forward.steps[0].code.startswith("for t in range(steps):")
    assert forward.setup[-1].code == "hs = [torch.zeros(n, m)]"
