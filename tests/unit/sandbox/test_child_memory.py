"""What a child can find in its own memory: what it may know, and nothing of the grader's or of another student's."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nbformat
import pytest
import torch

from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.messages import Run
from handgrad.submission.submission import Submission

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child is a fork of the warm process on Linux only")

SCAN = """
import ctypes, os, threading
import numpy as np
SHIFT = 0x5B
STEP = 1 << 16
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
read_end, write_end = os.pipe()
buffer = np.empty(STEP, dtype=np.uint8)

def pieces(start, end):
    # what is not mapped makes the write fail, and the next page is tried
    address = start
    while address < end:
        size = libc.write(write_end, ctypes.c_void_p(address), STEP)
        if size > 0:
            os.readv(read_end, [buffer[:size]])
            yield address, (buffer[:size] + SHIFT).tobytes()
            address += size
        else:
            address += 4096

def count(needles, ranges):
    # a needle may lie across two pieces
    found, longest = [0] * len(needles), max(map(len, needles))
    before, expected = b"", None
    for start, end in ranges:
        for address, piece in pieces(start, end):
            text = (before if address == expected else b"") + piece
            fresh = len(text) - len(piece)
            for number, needle in enumerate(needles):
                at = text.find(needle)
                while at >= 0:
                    found[number] += at + len(needle) > fresh
                    at = text.find(needle, at + 1)
            before, expected = text[1 - longest :], address + len(piece)
    return found

def around(*addresses, megabytes=96):
    # Python's objects, large arrays, libraries and C's own heap lie in different places
    return [(max(4096, address - (megabytes << 20)), address + (megabytes << 20)) for address in addresses]

def merged(ranges):
    found = []
    for start, end in sorted((start & ~4095, end) for start, end in ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found

places = [id(libc), id(torch), id(threading), id([]), id(object), id(count.__code__), buffer.ctypes.data]
blocks = [np.empty(1 << size, np.uint8) for size in (6, 12, 20, 25)]
places += [block.ctypes.data for block in blocks]
places += [libc.malloc(size) for size in (64, 4096, 1 << 18)]
places += [id(value) for value in list(globals().values()) if isinstance(value, str)]
places += [tensor.data_ptr() for tensor in list(globals().values()) if isinstance(tensor, torch.Tensor)]
places += [ctypes.cast(libc.write, ctypes.c_void_p).value, ctypes.addressof(ctypes.c_int())]
"""


def _disguised(data: bytes) -> bytes:
    """Bytes to look for, so disguised that a scan does not find the list itself.

    Not by a mask: what is masked twice is plain again, and the scan may come upon its own copy of the list.
    """
    return bytes((byte + 0x5B) % 256 for byte in data)


def _values(tensor: torch.Tensor) -> bytes:
    """Eight neighbouring numbers of a tensor, as bytes."""
    start = tensor.numel() // 2
    numbers = tensor.detach().reshape(-1)[start : start + 8].contiguous()
    assert len(numbers.unique()) == 8, "a needle that is found everywhere"
    return numbers.numpy().tobytes()


def _integer(number: int) -> bytes:
    """A whole number as Python keeps it: digits of 30 bits."""
    digits = []
    while number:
        digits.append(number & 0x3FFFFFFF)
        number >>= 30
    return b"".join(digit.to_bytes(4, "little") for digit in digits)


def _scan(child: ChildClient, grader: Grader, pass_name: str) -> list[float]:
    """Run the one cell of ``child`` in a pass; what it counted."""
    result = child.run(Run(pass_name, (0,), {0: ("a",)}), seconds=grader.sandbox.limits.submission_seconds)
    assert result.death is None, result.death
    assert result.cells[0].error is None, result.cells[0].error
    found = result.cells[0].answers["a"].value
    assert found is not None
    return found.tolist()


def _inherited(grader: Grader) -> list[tuple[int, int]]:
    """Where a child's writable memory lies, seen from outside; every child of the warm process has the same."""
    with grader.sandbox.child(["pass"]) as child:
        lines = Path(f"/proc/{child.pid}/maps").read_text(encoding="utf-8").splitlines()
    found = [line.split()[0].split("-") for line in lines if line.split()[1].startswith("rw")]
    return [(int(start, 16), int(end, 16)) for start, end in found]


def _counts(grader: Grader, needles: Sequence[bytes], before: str = "", pass_name: str = "") -> list[float]:
    """How often each of ``needles`` lies in the memory of a new child; ``before`` runs in front of the scan."""
    looked_for = [_disguised(needle) for needle in needles]
    ranges = f"merged([*around(*places), *{_inherited(grader)}])"
    source = f"{before}\n{SCAN}\na = torch.tensor(count({looked_for}, {ranges}))"
    with grader.sandbox.child([source]) as child:
        return _scan(child, grader, pass_name or grader.passes[1].name)


SEED = 0x5EED1234ABCD
HIDDEN = "words that stand in a hidden test and nowhere else"
MARKER = "words that one student wrote into a cell"


@pytest.fixture(scope="module")
def grader(source: Path) -> Iterator[Grader]:
    """A grader of the exercise, with a hidden test in one of its checks, that leaves a scan the time that it needs."""
    notebook = nbformat.read(source, as_version=4)
    check = next(cell for cell in notebook.cells if grade_id(cell) == "check_dprobs")
    check.source += f"\n### BEGIN HIDDEN TESTS\nassert dprobs.shape == probs.shape, {HIDDEN!r}\n### END HIDDEN TESTS"
    exercise = Exercise.of(notebook, "backprop", source.parent)
    with Grader(
        exercise, [SEED], settings=GradingSettings(limits=Limits(cell_seconds=60.0, submission_seconds=120.0))
    ) as grader:
        yield grader


def test_memory_holds_no_gradient(grader: Grader) -> None:
    """A scan of a child's raw memory finds the forward values of the hidden seed, and not one of their gradients."""
    reference = grader.references[grader.passes[1].name]
    names = ("logits", "hpreact", "bnraw", "hprebn")
    forward = [_values(reference.namespace[name]) for name in names]
    gradients = [_values(reference.gradients[name]) for name in names]
    steps = [_values(reference.step.gradients[name]) for name in names]
    counts = _counts(grader, [*forward, *gradients, *steps])
    assert all(counts[:4]), "the scan does not find what is there"
    assert not any(counts[4:]), "a gradient lies in a child's memory"


def test_memory_holds_no_solution(grader: Grader, solutions: dict[str, str]) -> None:
    """It finds the text of the locked cells, and no line of the worked solution or of a hidden test."""
    locked = [b"bndiff2 = bndiff**2", b"counts_sum_inv = counts_sum**-1"]
    lines = [max(source.splitlines(), key=len).encode() for source in solutions.values()]
    texts = [line for line in lines if len(line) > 20]
    assert len(texts) > 15
    wide = HIDDEN.encode("utf-16-le"), HIDDEN.encode("utf-32-le")
    counts = _counts(grader, [*locked, *texts, HIDDEN.encode(), *wide])
    assert all(counts[:2]), "the scan does not find what is there"
    assert not any(counts[2:]), "a text of the instructor's lies in a child's memory"


def test_memory_holds_no_other_student(
    grader: Grader, submit: Callable[..., Submission], solutions: dict[str, str]
) -> None:
    """When one student was graded, the next one's child finds what it wrote itself, and nothing of the first."""
    kept = f"kept = {MARKER!r}; print(kept); keep = torch.arange(8.) * 1.7 + 0.123"
    first = submit(dprobs=f"{solutions['dprobs']}\n{kept}", dh=f"raise ValueError({MARKER!r})")
    with grader.sandbox.child([cell.source for cell in first.cells]):
        assert grader.grade(first).report.score > 20
        own = _disguised(MARKER.upper().encode())
        before = f"own = bytes((byte - 0x5B) % 256 for byte in {own!r}).decode()"
        numbers = (torch.arange(8.0) * 1.7 + 0.123).numpy().tobytes()
        counts = _counts(grader, [MARKER.upper().encode(), MARKER.encode(), numbers], before)
    assert counts[0], "the scan does not find what is there"
    assert not any(counts[1:]), "another student's work lies in a child's memory"


def test_memory_holds_no_hidden_seed(grader: Grader) -> None:
    """It finds the seed of its own pass, and not the course's hidden seed from which that was derived."""
    own = grader.passes[1].parameters["seed"]
    texts = [str(SEED).encode(), SEED.to_bytes(8, "little"), _integer(SEED)]
    counts = _counts(grader, [_integer(own), *texts])
    assert counts[0], "the scan does not find what is there"
    assert not any(counts[1:]), "the course's hidden seed lies in a child's memory"
