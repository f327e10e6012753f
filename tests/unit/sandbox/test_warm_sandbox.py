"""The sandbox: what crosses its border, what a child can do, and how it ends."""

import gc
import itertools
import json
import os
import random
import signal
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from handgrad.errors import ExerciseError, SandboxError
from handgrad.gradients import tensor_bytes
from handgrad.gradients.tensor_bytes import DTYPES, FrameError, pack_tensor, unpack_tensor
from handgrad.sandbox import child_client, frames
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.fork_server import ForkServer
from handgrad.sandbox.frames import FrameReader, pack
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Answer, Death, ParameterSet, PassResult, Run
from handgrad.sandbox.warm_process import WarmProcess
from handgrad.sandbox.warm_sandbox import WarmSandbox
from helpers.inputs import named

SETUP = """
import torch
x = torch.arange(6.).reshape(2, 3) * scale + 1
x.requires_grad_()
y = x * 2
y.retain_grad()
z = y.detach().clone()
parameters = [x]
loss = y.sum()
loss.backward(retain_graph=True)
print("ready", scale)
"""
STATES = (ParameterSet("one", ("scale = 1", SETUP)), ParameterSet("two", ("scale = 2", SETUP)))
X = {"one": torch.arange(6.0).reshape(2, 3) + 1, "two": torch.arange(6.0).reshape(2, 3) * 2 + 1}
REFERENCE = torch.full((2, 3), 0.25)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmSandbox]:
    """A warm process with two parameter sets; a cell may take a second and half a gigabyte."""
    limits = Limits(cell_seconds=1.0, submission_seconds=10.0, memory_mb=512)
    with WarmSandbox(STATES, tmp_path_factory.mktemp("exercise"), limits, preload=()) as sandbox:
        yield sandbox


def _run_in(
    child: ChildClient,
    number: int,
    collect: Mapping[int, Sequence[str]] | None = None,
    *,
    state: str = "one",
    at_end: Sequence[str] = (),
    references: Mapping[str, torch.Tensor] | None = None,
    outputs: bool = False,
    seconds: float | None = None,
) -> PassResult:
    """One pass over the first ``number`` cells; with ``references`` it helps."""
    run = Run(
        parameter_set=state,
        cells=tuple(range(number)),
        collect={index: tuple(names) for index, names in (collect or {}).items()},
        at_end=tuple(at_end),
        help=references is not None,
        outputs=outputs,
    )
    return child.run(run, (references or {}).__getitem__, seconds)


def _run(
    sandbox: WarmSandbox, *cells: str, collect: Mapping[int, Sequence[str]] | None = None, **rest: Any
) -> PassResult:
    """One pass over ``cells`` in a child of its own."""
    with sandbox.child(cells) as child:
        return _run_in(child, len(cells), collect, **rest)


def _value(answer: Answer) -> torch.Tensor:
    assert answer.kind == "tensor"
    assert answer.value is not None
    return answer.value


def _is_gone(pid: int) -> bool:
    """Whether the process has ended, waiting a moment for it; one that nobody has waited for yet has ended too."""
    for _ in range(40):
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return True
        if status.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.05)
    return False


# frames


def _bytes(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor in row-major order, element by element."""
    flat = tensor.reshape(-1).tolist()
    if tensor.dtype is torch.bfloat16:
        # the upper half of a float32
        return b"".join(struct.pack("<f", number)[2:] for number in flat)
    codes = {"float16": "e", "float32": "f", "float64": "d", "bool": "?", "complex64": "ff", "complex128": "dd"}
    codes |= {f"int{size}": code for size, code in zip((8, 16, 32, 64), "bhiq", strict=True)}
    code = "<" + codes.get(tensor_bytes.type_name[tensor.dtype], "B")
    parts = ((number.real, number.imag) if tensor.dtype.is_complex else (number,) for number in flat)
    return b"".join(struct.pack(code, *part) for part in parts)


SHAPES = [(), (1,), (5,), (2, 3), (0,), (2, 0, 4), (1, 1, 1, 3), (1,) * 16]


def test_tensor_round_trip() -> None:
    """A tensor of any dtype and shape crosses bit for bit, its bytes being its elements in row-major order."""
    for shape in SHAPES:
        for name in DTYPES:
            with named(shape, name):
                tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3).abs().to(DTYPES[name])
                description, data = pack_tensor(tensor)
                assert data == _bytes(tensor)
                back = unpack_tensor(json.loads(json.dumps(description)), data)
                assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
                assert torch.equal(back, tensor)
                if back.numel():
                    back.zero_()  # its memory is its own


def test_tensor_layouts() -> None:
    """Views cross as what they show."""
    for name in ["transposed", "expanded", "sliced", "with a graph", "flipped"]:
        with named(name):
            base = torch.arange(12.0).reshape(3, 4)
            tensor = {
                "transposed": base.T,
                "expanded": base[:1].expand(5, 4),
                "sliced": base[::2, 1::2],
                "with a graph": base.clone().requires_grad_() * 2,
                "flipped": base.flip(0),
            }[name]
            back = unpack_tensor(*pack_tensor(tensor))
            assert torch.equal(back, tensor.detach())
            assert not back.requires_grad


def test_bits_of_odd_numbers() -> None:
    """NaN, infinities and minus zero cross with all their bits."""
    bits = torch.tensor([0x7FC00001, 0x7F800000, -0x800000, -0x80000000, 1], dtype=torch.int32)
    tensor = bits.view(torch.float32)
    assert torch.equal(unpack_tensor(*pack_tensor(tensor)).view(torch.int32), bits)


BAD_TENSORS: dict[str, tuple[dict[str, Any], bytes]] = {
    "no dtype": ({"shape": [1]}, bytes(4)),
    "unknown dtype": ({"dtype": "object", "shape": [1]}, bytes(4)),
    "dtype is a list": ({"dtype": ["float32"], "shape": [1]}, bytes(4)),
    "no shape": ({"dtype": "float32"}, bytes(4)),
    "shape is a number": ({"dtype": "float32", "shape": 1}, bytes(4)),
    "negative": ({"dtype": "float32", "shape": [-1, -1]}, bytes(4)),
    "fraction": ({"dtype": "float32", "shape": [1.0]}, bytes(4)),
    "truth": ({"dtype": "float32", "shape": [True]}, bytes(4)),
    "text": ({"dtype": "float32", "shape": ["1"]}, bytes(4)),
    "too few bytes": ({"dtype": "float32", "shape": [2]}, bytes(4)),
    "too many bytes": ({"dtype": "float32", "shape": [1]}, bytes(5)),
    "huge": ({"dtype": "float32", "shape": [1 << 26] * 16}, bytes(4)),
    "a size over the limit": ({"dtype": "float32", "shape": [0, 1 << 40]}, b""),
    "too many dimensions": ({"dtype": "float32", "shape": [1] * 17}, bytes(4)),
    "a terabyte of nothing": ({"dtype": "float32", "shape": [1 << 26, 1 << 14]}, b""),
}


def test_bad_tensors() -> None:
    """A description that does not fit its bytes is refused before anything is made of it."""
    for name, tensor in BAD_TENSORS.items():
        with named(name), pytest.raises(FrameError):
            unpack_tensor(*tensor)


def test_empty_and_huge() -> None:
    """An empty tensor whose other sizes are enormous is refused like any other bad one."""
    with pytest.raises(FrameError):
        unpack_tensor({"dtype": "float32", "shape": [0, 1 << 26, 1 << 26, 1 << 26]}, b"")


def test_any_pieces() -> None:
    """Frames come out whole and in order, whatever the pieces in which their bytes arrive."""
    draw = random.Random(8)
    sent = [
        ({"number": number, "text": "ü" * draw.randrange(40)}, draw.randbytes(draw.randrange(300)))
        for number in range(40)
    ]
    sent += [({}, b""), ({"a": {"b": [None, 1.5, True]}}, b"")]
    stream = b"".join(pack(*frame) for frame in sent)
    for largest in (1, 2, 7, 8, 9, 100, 1000, len(stream)):
        reader, received, start = FrameReader(), [], 0
        while start < len(stream):
            size = draw.randint(1, largest)
            received += list(reader.feed(stream[start : start + size]))
            start += size
        assert received == sent


def test_half_a_frame_is_none() -> None:
    """Nothing comes out before a frame is whole."""
    data = pack({"a": 1}, b"xyz")
    for cut in range(len(data)):
        reader = FrameReader()
        assert list(reader.feed(data[:cut])) == []
        assert list(reader.feed(data[cut:])) == [({"a": 1}, b"xyz")]


def _framed(text: bytes, payload: bytes = b"") -> bytes:
    return struct.pack("<II", len(text), len(payload)) + text + payload


BAD_FRAMES = {
    "four gigabytes of header": struct.pack("<II", 2**32 - 1, 0),
    "four gigabytes of payload": struct.pack("<II", 2, 2**32 - 1) + b"{}",
    "a byte over": struct.pack("<II", frames.MAX_HEADER + 1, 0),
    "a payload's byte over": struct.pack("<II", 2, tensor_bytes.MAX_PAYLOAD + 1),
    "not JSON": _framed(b"{'a': 1}"),
    "half JSON": _framed(b'{"a": '),
    "nothing": _framed(b""),
    "not UTF-8": _framed(b'{"a": "\xff"}'),
    "list": _framed(b"[1]"),
    "text": _framed(b'"a"'),
    "null": _framed(b"null"),
    "deep": _framed(b'{"a":' + b"[" * 200_000),
    "deep and closed": _framed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of 200,000 digits": _framed(b'{"a":' + b"9" * 200_000 + b"}"),
}


def test_bad_frames() -> None:
    """What is no frame is refused as soon as it can be, after the good frames before it."""
    for name, frame in BAD_FRAMES.items():
        with named(name):
            reader = FrameReader()
            received = reader.feed(pack({"good": 1}) + frame)
            assert next(received) == ({"good": 1}, b"")
            with pytest.raises(FrameError):
                next(received)


def test_a_claim_takes_no_memory() -> None:
    """Four claimed gigabytes are refused by the eight bytes that claim them."""
    reader = FrameReader()
    with pytest.raises(FrameError, match="over the limit"):
        list(reader.feed(BAD_FRAMES["four gigabytes of payload"][:8]))
    small = FrameReader(max_header=10, max_payload=3)
    assert list(small.feed(pack({"a": 1}, b"xyz"))) == [({"a": 1}, b"xyz")]
    with pytest.raises(FrameError):
        list(small.feed(pack({"a": 1}, b"wxyz")))


# answers


def test_answers_are_taken_at_the_right_moment(sandbox: WarmSandbox) -> None:
    """An answer is the value when its cell has run, and once more at the end; what lies between is not seen."""
    cells = ("a = x * 1", "a += 1", "a = x * 3\nb = 7", "a.mul_(10)")
    result = _run(sandbox, *cells, collect={0: ("a",), 2: ("a", "b")}, at_end=("a", "c"))
    assert result.death is None
    assert list(result.cells) == [0, 1, 2, 3]
    assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])
    assert torch.equal(_value(result.cells[2].answers["a"]), X["one"] * 3)
    assert result.cells[2].answers["b"] == Answer("other", type="int")
    assert torch.equal(_value(result.at_end["a"]), X["one"] * 30)
    assert result.at_end["c"].kind == "undefined"
    assert result.cells[1].answers == {}


def test_each_state_has_its_own_values(sandbox: WarmSandbox) -> None:
    """A second pass in the same child starts from its own state, not from what the first left."""
    with sandbox.child(["seen = torch.tensor('a' in globals())\na = x * 1"]) as child:
        for state in ("one", "two"):
            result = _run_in(child, 1, {0: ("a", "seen")}, state=state)
            assert torch.equal(_value(result.cells[0].answers["a"]), X[state])
            assert not bool(_value(result.cells[0].answers["seen"]))


def test_a_new_child_starts_afresh(sandbox: WarmSandbox) -> None:
    """What one child did to the state, another does not see."""
    _run(sandbox, "x.data.fill_(0)\ntorch.relu = None")
    result = _run(sandbox, "a = torch.relu(x)", collect={0: ("a",)})
    assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])


KINDS = {
    "None": ("a = None", "none", ""),
    "...": ("a = ...", "none", ""),
    "deleted": ("a = 1\ndel a", "undefined", ""),
    "list": ("a = [1.0]", "other", "list"),
    "class": ("a = torch.Tensor", "other", "_TensorMeta"),
    "too large": ("a = torch.empty(1 << 23).expand(2, 1 << 23)", "too-large", ""),
    "meta": ("a = torch.empty(3, device='meta')", "other", "Tensor"),
    "raised before": ("1 / 0\na = x", "undefined", ""),
}


def test_what_is_no_tensor(sandbox: WarmSandbox) -> None:
    """What is no tensor, or too large a one, is told by its kind."""
    for name, (source, kind, type_) in KINDS.items():
        with named(name):
            answer = _run(sandbox, source, collect={0: ("a",)}).cells[0].answers["a"]
            assert (answer.kind, answer.type, answer.value) == (kind, type_, None)


def test_tensors_of_every_kind(sandbox: WarmSandbox) -> None:
    """Sparse, conjugate, subclassed and transposed tensors cross by their values, however the cell ended."""
    for source in [
        "a = x.to_sparse()",
        "a = torch.nn.Parameter(x)",
        "a = x.T.contiguous().T",
        "a = torch.complex(x, x).conj().imag.neg()",
        "class Mine(torch.Tensor): pass\na = x.as_subclass(Mine)",
        "a = x\n1 / 0",
        "%%time\na = x",
        "import asyncio\nawait asyncio.sleep(0)\na = x",
    ]:
        with named(source):
            result = _run(sandbox, source, collect={0: ("a",)})
            assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])


def test_errors_and_outputs(sandbox: WarmSandbox) -> None:
    """An error has its class, message and traceback, the cells after it run, and outputs come where they are wanted."""
    cells = ("print('hi')\nraise ValueError('why')", "import sys\nsys.exit(2)", "x.shape")
    with sandbox.child(cells) as child:
        shown = _run_in(child, 3, outputs=True)
        silent = _run_in(child, 3, state="two")
    for result in (shown, silent):
        assert result.death is None
        errors = [result.cells[index].error for index in range(3)]
        assert [error and (error.name, error.message) for error in errors] == [
            ("ValueError", "why"),
            ("SystemExit", "2"),
            None,
        ]
    assert shown.cells[0].outputs == [{"output_type": "stream", "name": "stdout", "text": "hi\n"}]
    assert shown.cells[2].outputs[0]["data"]["text/plain"] == "torch.Size([2, 3])"
    assert shown.cells[0].error is not None
    assert "why" in "".join(shown.cells[0].error.traceback)
    assert all(not cell.outputs and not (cell.error and cell.error.traceback) for cell in silent.cells.values())


@pytest.mark.parametrize("source", ["raise ValueError('x' * 150_000)", "raise ValueError('ü' * 60_000)"])
def test_a_long_error_is_an_error(source: str, sandbox: WarmSandbox) -> None:
    """An exception with a very long message is an error of its cell, not an attack."""
    result = _run(sandbox, source, outputs=True)
    assert result.death is None
    assert result.cells[0].error is not None
    assert result.cells[0].error.name == "ValueError"


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ('{"text/plain": 5}', {"text/plain": "5"}),
        ('{"application/json": [1, None]}', {"application/json": [1, None]}),
        ('{"application/json": print}', None),
        ('{"application/json": deep}', None),
    ],
    ids=["a number as text", "data", "no data", "many levels"],
)
def test_odd_displays(shown: str, kept: dict[str, Any] | None, sandbox: WarmSandbox) -> None:
    """What a notebook cannot hold is shown as text or left out with a note; it is no fault, and costs no answer."""
    deep = "deep = []\nfor _ in range(500): deep = [deep]"
    source = f"from IPython.display import display\n{deep}\ndisplay({shown}, raw=True)\na = x"
    result = _run(sandbox, source, collect={0: ("a",)}, outputs=True)
    assert result.death is None
    assert result.cells[0].error is None
    (output,) = result.cells[0].outputs
    if kept is None:
        assert "of this cell were" in output["text"]
    else:
        assert output["data"] == kept
    assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])


def test_what_locked_cells_print(sandbox: WarmSandbox) -> None:
    """What the locked cells print is kept, state by state and cell by cell."""
    sandbox.wait_until_ready()
    texts = {name: [[output["text"] for output in cell] for cell in cells] for name, cells in sandbox.printed.items()}
    assert texts == {"one": [[], ["ready 1\n"]], "two": [[], ["ready 2\n"]]}


# help


def test_references_take_the_place_of_answers(sandbox: WarmSandbox) -> None:
    """With help the answer is taken first, then the reference stands in its place, whether or not the cell worked."""
    cells = ("da = x * 2", "1 / 0", "dc = da + db")
    references = {"da": REFERENCE, "db": REFERENCE * 4, "dc": REFERENCE * 9}
    result = _run(sandbox, *cells, collect={0: ("da",), 1: ("db",), 2: ("dc",)}, references=references)
    assert torch.equal(_value(result.cells[0].answers["da"]), X["one"] * 2)
    assert result.cells[1].answers["db"].kind == "undefined"
    assert torch.equal(_value(result.cells[2].answers["dc"]), REFERENCE + REFERENCE * 4)


def test_without_help_answers_stay(sandbox: WarmSandbox) -> None:
    """Without help the student's own value stands, right or wrong."""
    result = _run(sandbox, "da = x * 2", "db = da + 1", collect={0: ("da",), 1: ("db",)})
    assert torch.equal(_value(result.cells[1].answers["db"]), X["one"] * 2 + 1)


def test_references_cannot_be_spoilt(sandbox: WarmSandbox) -> None:
    """What a cell does to a reference, in place or by a new name for it, the next stub does not see."""
    cells = ("da = x", "keep = da\nda += 1\nda = None\ndb = x", "dc = da * 1", "de = keep * 1\nda = 3", "df = da * 1")
    names = ("da", "db", "dc", "de", "df")
    result = _run(
        sandbox,
        *cells,
        collect={index: (name,) for index, name in enumerate(names)},
        references=dict.fromkeys(names, REFERENCE),
    )
    assert torch.equal(_value(result.cells[2].answers["dc"]), REFERENCE)
    assert torch.equal(_value(result.cells[3].answers["de"]), REFERENCE + 1)
    assert torch.equal(_value(result.cells[4].answers["df"]), REFERENCE)


SPOILS = ["x = None", "del x", "x = x * 0", "x += 1", "x.zero_()", "x.detach().add_(1)", "x[0] = 7", "torch = None"]
UNSEEN = ["x.data += 1", "x.data.zero_()", "x.detach().numpy()[:] = 5"]


def _after(sandbox: WarmSandbox, spoil: str) -> torch.Tensor:
    cells = ("da = x", spoil, "db = torch.clone(x)")
    references = {"da": REFERENCE, "db": REFERENCE}
    result = _run(sandbox, *cells, collect={0: ("da",), 2: ("db",)}, references=references)
    assert result.cells[1].error is None
    return _value(result.cells[2].answers["db"])


@pytest.mark.parametrize("spoil", SPOILS)
def test_forward_tensors_are_put_back(spoil: str, sandbox: WarmSandbox) -> None:
    """Before each stub, forward tensors and imports are what the locked cells made them."""
    assert torch.equal(_after(sandbox, spoil), X["one"])


@pytest.mark.parametrize("spoil", UNSEEN)
def test_forward_tensors_are_put_back_whatever_the_way(spoil: str, sandbox: WarmSandbox) -> None:
    """The lecture's own ``p.data += ...`` is undone like any other change."""
    assert torch.equal(_after(sandbox, spoil), X["one"])


def test_nothing_is_put_back_without_help(sandbox: WarmSandbox) -> None:
    """Without help the notebook runs as it is written."""
    result = _run(sandbox, "da = x", "x = x * 0", "db = x", collect={0: ("da",), 2: ("db",)})
    assert torch.equal(_value(result.cells[2].answers["db"]), torch.zeros(2, 3))


def test_references_are_not_there_early(sandbox: WarmSandbox) -> None:
    """Before its answer was taken, no reference waits in the child's socket or in its memory."""
    peek = f"""
import gc, os, socket, stat
waiting = 0
for descriptor in range(3, 256):
    try:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            sock = socket.socket(fileno=os.dup(descriptor))
            try:
                waiting += len(sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except OSError:
                pass
            sock.close()
    except OSError:
        pass
held = [tensor for tensor in gc.get_objects() if isinstance(tensor, torch.Tensor) and tensor.numel() == 6]
held = sum(bool((tensor == {float(REFERENCE[0, 0])}).all()) for tensor in held)
seen = torch.tensor([waiting, held])
"""
    cells = (f"{peek}\nda = x", f"{peek}\ndb = da")
    references = {"da": REFERENCE, "seen": torch.zeros(2), "db": REFERENCE}
    result = _run(sandbox, *cells, collect={0: ("da", "seen"), 1: ("db", "seen")}, references=references)
    assert [result.cells[index].error for index in (0, 1)] == [None, None]
    assert _value(result.cells[0].answers["seen"]).tolist() == [0, 0]
    waiting, held = _value(result.cells[1].answers["seen"]).tolist()
    assert waiting == 0
    assert held > 0  # the way of looking works: the first reference has come by now


# autograd


def test_gradients_are_not_numbers(sandbox: WarmSandbox) -> None:
    """Where the notebook would hold a gradient there is NaN of its shape, and elsewhere None as in Jupyter."""
    result = _run(sandbox, "a = x.grad\nb = y.grad\nc = z.grad", collect={0: ("a", "b", "c")})
    for name in ("a", "b"):
        value = _value(result.cells[0].answers[name])
        assert value.shape == (2, 3)
        assert bool(value.isnan().all())
    assert result.cells[0].answers["c"].kind == "none"


def test_gradients_stay_not_numbers_after_help(sandbox: WarmSandbox) -> None:
    """A forward tensor that was put back has no gradient either."""
    references = {"da": REFERENCE, "db": REFERENCE}
    cells = ("da = x", "x += 1\nx.grad = x", "db = x.grad")
    result = _run(sandbox, *cells, collect={0: ("da",), 2: ("db",)}, references=references)
    assert bool(_value(result.cells[2].answers["db"]).isnan().all())


FUNCTION = "f = lambda t: (t * 2).sum()\n"
REFUSED = {
    "backward": "x.requires_grad_()\n(x * 2).sum().backward()\na = x.grad",
    "loss.backward": "loss.backward()\na = x.grad",
    "torch.autograd.backward": "torch.autograd.backward((x * 2).sum())\na = x.grad",
    "torch.autograd.grad": "a = torch.autograd.grad((x * 2).sum(), x)[0]",
    "torch.func.grad": FUNCTION + "a = torch.func.grad(f)(x)",
    "torch.func.vjp": FUNCTION + "a = torch.func.vjp(f, x)[1](torch.tensor(1.))[0]",
    "torch.func.jvp": FUNCTION + "a = torch.func.jvp(f, (x,), (torch.ones_like(x),))[1]",
    "torch.func.jacrev": FUNCTION + "a = torch.func.jacrev(f)(x)",
    "torch.func.jacfwd": FUNCTION + "a = torch.func.jacfwd(f)(x)",
    "functional.jacobian": FUNCTION + "a = torch.autograd.functional.jacobian(f, x)",
    "functional.vjp": FUNCTION + "a = torch.autograd.functional.vjp(f, x)[1]",
    "functional.jvp": FUNCTION + "a = torch.autograd.functional.jvp(f, x, torch.ones_like(x))[1]",
    "forward_ad": (
        "import torch.autograd.forward_ad as fw\n"
        "with fw.dual_level():\n"
        "    a = fw.unpack_dual((fw.make_dual(x, torch.ones_like(x)) * 2).sum()).tangent"
    ),
    "enable_grad": (
        "with torch.enable_grad():\n"
        "    t = x.detach().clone().requires_grad_()\n"
        "    (t * 2).sum().backward()\n"
        "a = t.grad"
    ),
    "set_grad_enabled": "torch.set_grad_enabled(True)\na = torch.autograd.grad((x * 2).sum(), x)[0]",
    "torch.ops": "a = torch.ops.aten.tanh_backward(x, x)",
    "torch.ops with a result": "torch.ops.aten.tanh_backward.grad_input(x, x, grad_input=torch.empty(2, 3))",
    "torch.ops below a key": (
        "C = torch._C\na = torch.ops.aten.tanh_backward.default.redispatch(C.DispatchKeySet(C.DispatchKey.CPU), x, x)"
    ),
    "vmap": "a = torch.vmap(torch.ops.aten.sigmoid_backward)(x, x)",
    "softmax": "a = torch._softmax_backward_data(x, x, 1, torch.float32)",
    "batch norm": (
        "a = torch.ops.aten.native_batch_norm_backward(x, x, None, None, None, x[0], x[0], True, 1e-5, [True] * 3)"
    ),
    "embedding": "a = torch.ops.aten.embedding_dense_backward(x, torch.tensor([0, 1]), 2, -1, False)",
    "torch.nn.grad": "a = torch.nn.grad.conv1d_input((1, 1, 5), torch.ones(1, 1, 3), torch.ones(1, 1, 3))",
    "formulas": "a = torch._decomp.decompositions.tanh_backward(x, x)",
    "table of formulas": "a = torch._decomp.decomposition_table[torch.ops.aten.tanh_backward.default](x, x)",
    "gamma": "a = torch._standard_gamma_grad(x, x)",
    "dual numbers": "torch.ops.aten._make_dual(x, x, 0)",
    "dual numbers below": "torch._VF._make_dual(x, x, level=0)",
    "functorch": "import functorch\n" + FUNCTION + "a = functorch.grad(f)(x)",
    "functorch below": FUNCTION + "a = torch._functorch.eager_transforms._vjp_with_argnums(f, x)",
    "TorchScript": "torch.jit.CompilationUnit('def f(x):\\n    return x')",
    "TorchScript by type": (
        "unit, = [one for one in torch._C.Graph.__base__.__subclasses__() if one.__name__ == 'CompilationUnit']\n"
        "unit('def f(x):\\n    return x')"
    ),
    "TorchScript that is there": "torch.jit._state._python_cu.define('def f(x):\\n    return x', None)",
    "TorchScript's graph": "torch._C.Graph()",
    "TorchScript's text": "torch._C.parse_ir('graph(%b : bool):\\n  return (%b)\\n')",
    "TorchScript's text by another name": "torch.parse_ir('graph(%b : bool):\\n  return (%b)\\n')",
    "TorchScript's switches": "torch._C._jit_set_profiling_executor(False)",
    "TorchScript's tracer": "torch.jit.trace_module(torch.nn.Linear(2, 2), {})",
    "TorchScript's files": "import io\ntorch.jit.load(io.BytesIO(b''))",
    "TorchScript's files below": "torch._C._load_for_lite_interpreter_from_buffer(b'', None)",
    "TorchScript's backward": "torch.ops.aten.backward((x * 2).sum())",
    "lazy tensors": "torch._C._lazy_ts_backend._init()",
    "the engine": "torch.autograd.graph._engine_run_backward((x,), (x,), False, False, (x,))",
    "the engine's type": (
        "kind, = [one for one in object.__subclasses__() if one.__name__ == '_EngineBase']\n"
        "kind().run_backward((x,), (x,), False, False, (x,))"
    ),
    "optimizer": "t = torch.nn.Parameter(x.detach().clone())\n(t * 2).sum().backward()\na = t.grad",
}


@pytest.mark.parametrize("name", REFUSED)
def test_autograd_is_off(name: str, sandbox: WarmSandbox) -> None:
    """Every way to ask torch for a gradient is an error that says why, and leaves nothing behind."""
    result = _run(sandbox, REFUSED[name], collect={0: ("a",)})
    error = result.cells[0].error
    assert error is not None
    assert error.name == "AutogradOff"
    assert "switched off while your notebook is graded" in error.message
    assert result.cells[0].answers["a"].kind == "undefined"


def test_no_operator_computes_a_derivative(sandbox: WarmSandbox) -> None:
    """Every operator whose name says that it computes a derivative raises, whatever it is given."""
    source = """
from handgrad.sandbox.refusing import AutogradOff
SAMPLE = {"Tensor": x, "int": 1, "SymInt": 1, "float": 1.0, "bool": True, "number": 1.0, "str": "", "ScalarType": 6}

def sample(argument):
    text = str(argument.type)
    if text.startswith("Optional"):
        return None
    if text.startswith("List"):
        return [sample_of(text[5:-1])] * (argument.N or 3)
    return sample_of(text)

def sample_of(text):
    return None if text.startswith("Optional") else SAMPLE.get(text, 1)

refused = still = 0
for schema in torch._C._jit_get_all_schemas():
    namespace, name = schema.name.split("::")
    if namespace != "aten" or "backward" not in name or name == "backward":
        continue
    packet = getattr(torch.ops.aten, name)
    operator = getattr(packet, schema.overload_name or "default", packet)
    given = [sample(argument) for argument in schema.arguments if not argument.kwarg_only]
    named = {argument.name: sample(argument) for argument in schema.arguments if argument.kwarg_only}
    try:
        operator(*given, **named)
        still += 1
        print(schema)
    except AutogradOff:
        refused += 1
    except NotImplementedError:
        pass  # not for this kind of tensors
a = torch.tensor([refused, still])
"""
    result = _run(sandbox, source, collect={0: ("a",)}, outputs=True)
    assert result.cells[0].error is None, result.cells[0].error
    refused, still = _value(result.cells[0].answers["a"]).tolist()
    assert still == 0, result.cells[0].outputs
    assert refused > 200


def test_functions_run_as_they_are_written(sandbox: WarmSandbox) -> None:
    """``torch.compile``, ``torch.jit.script`` and ``torch.jit.trace`` return their function, also as decorators."""
    source = """
def f(t):
    return t * 2

@torch.compile(dynamic=False)
def g(t):
    return t * 2

same = [torch.compile(f) is f, torch.jit.script(f) is f, torch.jit.trace(f, (x,)) is f, bool((g(x) == f(x)).all())]
a = torch.tensor(same)
"""
    assert _value(_run(sandbox, source, collect={0: ("a",)}).cells[0].answers["a"]).all()


def test_no_graph_is_recorded(sandbox: WarmSandbox) -> None:
    """No result of the locked cells or of the student's has a history, also where gradients were asked for."""
    source = """
with torch.enable_grad(), torch.set_grad_enabled(True):
    new = x * 2

@torch.enable_grad()
def double(t):
    return t * 2

found = torch.tensor([tensor.requires_grad for tensor in (x, y, loss, new, double(x), double(y))])
"""
    answer = _run(sandbox, source, collect={0: ("found",)}).cells[0].answers["found"]
    assert _value(answer).tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    "source",
    [
        "with torch.no_grad():\n    a = x",
        "@torch.no_grad()\ndef f(): return x\na = f()",
        "a = x.detach()",
        "y.retain_grad()\na = x",
        "x.requires_grad_(False)\na = x",
        "x.grad = None\na = x",
    ],
)
def test_what_honest_notebooks_do(source: str, sandbox: WarmSandbox) -> None:
    """What an honest notebook does beside its gradients still works."""
    result = _run(sandbox, source, collect={0: ("a",)})
    assert result.cells[0].error is None
    assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])


# ends


DRIP = """
import os, struct, time
channel, = [one for one in range(3, 64) if is_socket(one)]
os.write(channel, struct.pack("<II", 2, 1 << 24) + b"{{}}")
while True:
    os.write(channel, b"x" * {size})
    time.sleep({pause})
"""
IS_SOCKET = """
def is_socket(descriptor):
    import os, stat
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False
"""


@pytest.mark.parametrize(
    "loop",
    [
        IS_SOCKET + DRIP.format(size=1, pause=0),
        IS_SOCKET + DRIP.format(size=7, pause=0.05),
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import time\ntime.sleep(60)",
        "import signal\nfor one in (2, 15): signal.signal(one, signal.SIG_IGN)\nwhile True: pass",
        "from threading import Thread, Event\nThread(target=Event().wait).start()\nEvent().wait()",
    ],
    ids=["drip", "slow drip", "loop", "catches all", "sleep", "ignores signals", "threads"],
)
def test_time_out(loop: str, sandbox: WarmSandbox) -> None:
    """A cell that does not end costs itself: the death names it, and the answers before it are kept."""
    with sandbox.child(("a = x", loop, "b = x")) as child:
        pid = child.pid
        started = time.monotonic()
        result = _run_in(child, 3, {0: ("a",), 2: ("b",)})
        # its own time, prolonged where the machine has other things to do, and far from that of the submission
        assert time.monotonic() - started < (1 + child_client.MOST_QUEUED) * sandbox.limits.cell_seconds + 1
        assert result.death is not None
        assert (result.death.index, result.death.reason) == (1, "timeout")
        assert list(result.cells) == [0]
        assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])
        assert _is_gone(pid)


class _Dripping:
    """A child's channel on which a byte is always there."""

    def __init__(self) -> None:
        self.pid = 1 << 30
        self.connection = self
        self._start = [b"\x02\0\0\0\0\0\0\x01", b"{}"]

    def settimeout(self, timeout: float | None, /) -> None:
        assert timeout is not None

    def recv(self, size: int, /) -> bytes:
        return self._start.pop(0) if self._start else b"x" * min(size, 3)

    def sendall(self, data: bytes, /) -> None:
        pass

    def close(self) -> None:
        pass

    def end(self) -> int:
        return 0


def test_bytes_without_pause_do_not_move_the_deadline() -> None:
    """The deadline holds while bytes arrive, whatever the machine does."""
    child = ChildClient(_Dripping(), [], Limits(cell_seconds=0.2), set())
    started = time.monotonic()
    death = child.hear(0.2)
    assert isinstance(death, Death)
    assert death.reason == "timeout"
    assert 0.2 <= time.monotonic() - started < 2


def test_time_of_the_submission(sandbox: WarmSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the submission's time ends a cell long before its own time is up."""
    sandbox.wait_until_ready()
    monkeypatch.setattr(sandbox, "limits", Limits(cell_seconds=60.0, submission_seconds=10.0, memory_mb=512))
    started = time.monotonic()
    result = _run(sandbox, "while True: pass", seconds=0.2)
    # on a busy machine the time in the queue for a processor is added
    assert time.monotonic() - started < 30
    assert result.death is not None
    assert result.death.reason == "timeout"


DEATHS = {
    "exit": ("import os\nos._exit(3)", "3"),
    "exit with nothing wrong": ("import os\nos._exit(0)", "0"),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "abort": ("import os\nos.abort()", "SIGABRT"),
    "kills itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "kills its group": ("import os, signal\nos.killpg(os.getpgid(0), signal.SIGTERM)", "SIGTERM"),
    "closes its descriptors": ("import os\nos.closerange(0, 256)", ""),
}


@pytest.mark.parametrize("name", DEATHS)
def test_crash(name: str, sandbox: WarmSandbox) -> None:
    """A cell that ends its process is a crash of this cell with exit status or signal, and costs no other child."""
    source, detail = DEATHS[name]
    with sandbox.child(("a = x", source, "b = x")) as other, sandbox.child(("a = x", source, "b = x")) as child:
        result = _run_in(child, 3, {0: ("a",), 2: ("b",)})
        assert result.death is not None
        assert (result.death.index, result.death.reason) == (1, "crashed")
        assert detail in result.death.detail
        assert list(result.cells) == [0]
        assert torch.equal(_value(result.cells[0].answers["a"]), X["one"])
        assert _run_in(other, 1).death is None


@pytest.mark.parametrize(
    "hog",
    [
        "a = bytearray(3 << 30)",
        "a = torch.empty(3 << 30, dtype=torch.uint8)",
        "a = []\nwhile True: a.append(bytes(1 << 26))",
    ],
    ids=["bytes", "tensor", "bit by bit"],
)
def test_memory(hog: str, sandbox: WarmSandbox) -> None:
    """A cell that asks for too much memory gets an error about it, and the child lives on."""
    result = _run(sandbox, hog, "a = x", collect={1: ("a",)})
    assert result.death is None
    error = result.cells[0].error
    assert error is not None
    assert error.name == "MemoryError" or "can't allocate memory" in error.message
    assert torch.equal(_value(result.cells[1].answers["a"]), X["one"])


def test_a_dead_child_can_be_closed_again(sandbox: WarmSandbox) -> None:
    """Closing tells the exit code once, then nothing."""
    child = sandbox.child(["pass"])
    pid = child.pid
    assert _run_in(child, 1).death is None
    assert child.close() in (0, -signal.SIGKILL)
    assert child.close() is None
    assert _is_gone(pid)


def test_a_child_starts_no_process(sandbox: WarmSandbox) -> None:
    """A cell starts nothing that could be left."""
    source = "import subprocess\np = subprocess.Popen(['sleep', '60'])"
    error = _run(sandbox, source).cells[0].error
    assert error is not None
    assert error.name == "PermissionError"


# a child that talks to the grader by itself

FORGE = """
import json, os, socket, stat, struct

def forge(header, payload=b""):
    text = json.dumps(header).encode()
    shout(struct.pack("<II", len(text), len(payload)) + text + payload)

def shout(data):
    for descriptor in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, data)
        except OSError:
            pass

def answer(index, name):
    data = torch.full((2, 3), 66.).numpy().tobytes()
    described = {"name": name, "kind": "tensor", "dtype": "float32", "shape": [2, 3], "size": len(data)}
    forge({"done": index, "error": None, "answers": [described], "outputs": 0}, data)
"""
FORGERIES = {
    "an answer ahead of its turn": "answer(1, 'db')",
    "its own answer for the next cell": "answer(1, 'da')",
    "a cell that is none": "answer(True, 'da')\nanswer(None, 'da')",
    "the end": "forge({'finished': True, 'answers': [], 'outputs': 0})",
    "another name": "answer(0, 'db')",
    "no answers": "forge({'done': 0, 'error': None})",
    "answers are a text": "forge({'done': 0, 'answers': 'x'})",
    "an unknown kind": "forge({'done': 0, 'answers': [{'name': 'da', 'kind': 'pickle'}]})",
    "a size that is not there": (
        "forge({'done': 0, 'answers': [{'name': 'da', 'kind': 'tensor', 'dtype': 'int8', 'shape': [9], 'size': 9}]})"
    ),
    "a negative size": (
        "forge({'done': 0, 'answers': [{'name': 'da', 'kind': 'tensor', 'dtype': 'float32', 'shape': [], 'size': -4}]})"
    ),
    "an error that is none": ("forge({'done': 0, 'error': 5, 'answers': [{'name': 'da', 'kind': 'none'}]})"),
    "outputs that are none": "forge({'done': 0, 'answers': [{'name': 'da', 'kind': 'none'}]}, b'{\"a\": 1}')",
    "a pickle": "import pickle\nforge({'done': 0, 'answers': [{'name': 'da', 'kind': 'none'}]}, pickle.dumps(print))",
    "noise": "shout(os.urandom(1 << 12))",
    "four gigabytes": "shout(struct.pack('<II', 2**32 - 1, 2**32 - 1))",
    "no JSON": "shout(struct.pack('<II', 3, 0) + b'abc')",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_frames(name: str, sandbox: WarmSandbox) -> None:
    """A child that writes to the grader's channel is found out, and no answer counts out of its turn."""
    cells = (f"{FORGE}\nda = x\n{FORGERIES[name]}", "db = x")
    result = _run(sandbox, *cells, collect={0: ("da",), 1: ("db",)}, references={"da": REFERENCE, "db": REFERENCE})
    assert result.death is not None
    assert (result.death.index, result.death.reason) == (0, "tampered")
    assert result.cells == {}
    assert result.at_end == {}


def test_a_forged_answer_in_turn_is_found_out_at_the_next(sandbox: WarmSandbox) -> None:
    """An answer that was forged in its turn makes the true one come out of turn; no later answer is taken."""
    cells = (f"{FORGE}\nda = x\nanswer(0, 'da')", "db = x", "dc = x")
    references = dict.fromkeys(("da", "db", "dc"), REFERENCE)
    result = _run(sandbox, *cells, collect={0: ("da",), 1: ("db",), 2: ("dc",)}, references=references)
    assert result.death is not None
    assert (result.death.index, result.death.reason) == (1, "tampered")
    assert list(result.cells) == [0]


def test_a_broken_frame_is_blamed_on_its_own_cell(sandbox: WarmSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that stand before a broken one are taken first, though all of them are read at once."""
    send = ChildClient.send_frame

    def send_and_wait(self: ChildClient, frame: bytes, deadline: float) -> None:
        send(self, frame, deadline)
        time.sleep(0.3)

    monkeypatch.setattr(ChildClient, "send_frame", send_and_wait)
    cells = ("da = x", "db = x", f"{FORGE}\nshout(os.urandom(1 << 12))")
    result = _run(sandbox, *cells, collect={0: ("da",), 1: ("db",)})
    assert result.death is not None
    assert (result.death.index, result.death.reason) == (2, "tampered")
    assert list(result.cells) == [0, 1]


def test_outputs_are_limited_by_the_grader_too(sandbox: WarmSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that forgets its limits of output is kept to those of the grader, over all its cells."""
    monkeypatch.setattr(child_client, "MAX_SHOWN", 3000)
    raised = "import handgrad.notebook.execution as c\nc.MAX_TEXT = 1 << 40"
    result = _run(sandbox, raised, "print('x' * 2000)", "print('y' * 2000)", "print('z' * 500)", outputs=True)
    shown = [cell.outputs[0]["text"][:1] for cell in result.cells.values() if cell.outputs]
    assert shown == ["x", "(", "z"]


def test_the_sandbox_lives_on(sandbox: WarmSandbox) -> None:
    """After everything above the warm process still gives children."""
    assert torch.equal(_value(_run(sandbox, "a = x", collect={0: ("a",)}).cells[0].answers["a"]), X["one"])


# the warm process


def _start(states: Sequence[ParameterSet], folder: Path) -> WarmSandbox:
    return WarmSandbox(states, folder, Limits(cell_seconds=1.0), preload=())


def test_warm_process_killed(tmp_path: Path) -> None:
    """Where the warm process is killed that is an error of the grader's own, and closing still cleans up."""
    with _start(STATES[:1], tmp_path) as sandbox:
        child = sandbox.child(["pass"])
        home, pid = sandbox._process.home, sandbox._process.process.pid
        assert home.is_dir()
        sandbox._process.process.kill()
        sandbox._process.process.wait()
        with pytest.raises(SandboxError, match="warm process"):
            sandbox.child(["pass"])
        with pytest.raises(SandboxError, match="warm process"):
            child.close()
    assert _is_gone(pid)
    assert not home.exists()
    sandbox.close()
    gc.collect()


def test_locked_cell_raises(tmp_path: Path) -> None:
    """A locked cell that raises in the sandbox is an error of the exercise, with the cell and the parameters."""
    states = [ParameterSet("good", ("a = 1",)), ParameterSet("bad", ("a = 1", "b = a / 0"))]
    with _start(states, tmp_path) as sandbox, pytest.raises(ExerciseError) as caught:
        sandbox.wait_until_ready()
    for part in ("locked cell 2", "ZeroDivisionError", "bad parameters", str(tmp_path)):
        assert part in str(caught.value)


def test_everything_ends_with_the_sandbox(tmp_path: Path) -> None:
    """On exit the warm process and the children that were closed are gone, and so is the folder that it lived in."""
    (tmp_path / "here.txt").write_text("found", encoding="utf-8")
    with _start([ParameterSet("one", ("text = open('here.txt').read()",))], tmp_path) as sandbox:
        home, pids = sandbox._process.home, [sandbox._process.process.pid]
        for _ in range(2):
            with sandbox.child(["assert text == 'found'"]) as child:
                pids.append(child.pid)
                assert _run_in(child, 1).cells[0].error is None
        assert len(set(pids)) == 3
    assert all(_is_gone(pid) for pid in pids)
    assert not home.exists()


def test_open_children_end_with_the_sandbox(tmp_path: Path) -> None:
    """A child that nobody closed is gone as well when the sandbox is."""
    with _start([ParameterSet("one", ("a = 1",))], tmp_path) as sandbox:
        child = sandbox.child(["pass"])
        pid = child.pid
    try:
        assert _is_gone(pid)
    finally:
        child._connection.close()  # which ends it
        assert _is_gone(pid)


def test_a_fork_server(tmp_path: Path) -> None:
    """A fork server forks a warm process per request, also before it is ready; they have nothing in common."""
    server = ForkServer(preload=())
    processes = [server.client.warm() for _ in range(2)]
    limits = Limits(cell_seconds=5.0)
    other_states = [ParameterSet("one", ("import torch", "x = torch.zeros(3)", "scale = 5"))]
    with (
        WarmSandbox(STATES, tmp_path, limits, process=processes[0]) as ours,
        WarmSandbox(other_states, tmp_path, limits, process=processes[1]) as other,
    ):
        other.wait_until_ready()
        ours.wait_until_ready()
        assert ours.isolation == other.isolation
        assert set(ours.printed) == {"one", "two"}
        assert set(other.printed) == {"one"}
        source = "x += scale\na = x.clone()"
        # more than those after which a warm process becomes cheap to fork
        for _ in range(4):
            first, second = (
                _value(_run(sandbox, source, collect={0: ("a",)}).cells[0].answers["a"]) for sandbox in (ours, other)
            )
            assert first.shape == (2, 3)
            assert second.tolist() == [5, 5, 5]
        children = [sandbox.child(["pass"]).pid for sandbox in (ours, other)]
    server.close()
    assert all(map(_is_gone, children))
    assert _is_gone(server.process.pid)
    assert not server.client.log.exists()
    server.close()
    assert server.client.warm() is None


def test_a_fork_server_keeps_to_processors(tmp_path: Path) -> None:
    """A warm process, and so its children, keep to the processors of who asked; the fork server itself does not."""
    processors = os.sched_getaffinity(0)
    server = ForkServer(preload=())
    try:
        os.sched_setaffinity(0, {max(processors)})
        asked = server.client.warm()
        os.sched_setaffinity(0, processors)
        source = "import os\na = torch.tensor(sorted(os.sched_getaffinity(0)))"
        with _with(asked, tmp_path) as sandbox:
            kept = _value(_run(sandbox, source, collect={0: ("a",)}).cells[0].answers["a"])
        assert kept.tolist() == [max(processors)]
        assert os.sched_getaffinity(server.process.pid) == processors
    finally:
        os.sched_setaffinity(0, processors)
        server.close()


def test_a_fork_server_that_is_killed(tmp_path: Path) -> None:
    """A process asked of a fork server that was killed is an error of the grader; later it gives none."""
    server = ForkServer(preload=())
    try:
        asked = server.client.warm()
        server.process.kill()
        server.process.wait()
        with pytest.raises(SandboxError, match="warm process"), _with(asked, tmp_path) as sandbox:
            sandbox.wait_until_ready()
        assert server.client.warm() is None
    finally:
        server.close()


def _with(process: WarmProcess | None, folder: Path) -> WarmSandbox:
    assert process is not None
    return WarmSandbox(STATES, folder, Limits(cell_seconds=1.0), process=process)


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees none of the variables of the grader's environment, and a home of its own."""
    monkeypatch.setenv("GRADER_SECRET", "42")
    source = "import os\na = torch.tensor(['GRADER_SECRET' in os.environ, os.environ['HOME'] == HOME])"
    with _start([ParameterSet("one", ("import torch", f"HOME = {os.environ.get('HOME')!r}"))], tmp_path) as sandbox:
        answer = _run(sandbox, source, collect={0: ("a",)}).cells[0].answers["a"]
    assert _value(answer).tolist() == [False, False]


@pytest.mark.parametrize("number", [1, 2])
def test_children_are_reproducible(number: int, sandbox: WarmSandbox) -> None:
    """Random numbers that nobody seeded are the same in every child and in every pass."""
    source = "import random\na = torch.rand(3) + random.random()"
    values = []
    for _ in range(number):
        with sandbox.child([source]) as child:
            values += [
                _value(_run_in(child, 1, {0: ("a",)}, state=state).cells[0].answers["a"]) for state in ("one", "two")
            ]
    assert all(torch.equal(first, second) for first, second in itertools.pairwise(values))
