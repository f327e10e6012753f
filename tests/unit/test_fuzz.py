"""Fuzzing: whatever a student's file or a child's bytes hold, only the documented errors come out.

A short run, the same every time, is part of the suite; ``--hypothesis-profile=long`` (see ``conftest.py``) searches for
some ten minutes in each of the two halves. What it found stands below as ``@example`` or in ``FOUND``.
"""

import copy
import json
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from nbformat import NotebookNode

from handgrad.errors import ExerciseError, SubmissionError
from handgrad.exercise.exercise import Exercise, grade_id, is_exercise, kind_of
from handgrad.exercise.release_file import read_released
from handgrad.gradients import tensor_bytes
from handgrad.gradients.tensor_bytes import DTYPES, FrameError, unpack_tensor
from handgrad.notebook import tidying
from handgrad.notebook.reading import read_notebook
from handgrad.sandbox import frames
from handgrad.sandbox.child_server import MAX_OUTPUTS
from handgrad.sandbox.frames import FrameReader, pack
from handgrad.sandbox.messages import CellResult, answers_in, cell_result
from handgrad.submission.submission import Submission
from helpers.inputs import named

# JSON of any kind, and changes to it

DEEP = "<deep {}>"
DIGITS = "<digits {}>"
"""What Python's own ``json.dumps`` cannot write is a mark until the text is made; see :func:`_text`."""
KEYS = st.sampled_from(
    (
        *("cells", "metadata", "nbformat", "nbformat_minor", "cell_type", "source", "outputs", "id", "attachments"),
        *("nbgrader", "grade_id", "grade", "solution", "locked", "points", "tags", "worksheets", "input", "level"),
        *("done", "error", "answers", "name", "kind", "size", "dtype", "shape", "type", "message", "traceback", ""),
    )
)
NUMBERS = st.one_of(
    st.integers(-2, 5),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**31, 2**63, 2**64, 1 << 26, 1e308]),
)
# surrogates too: JSON can carry half a pair, UTF-8 cannot
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=8),
    KEYS,
    st.sampled_from(["code", "markdown", "raw", "stream", "tensor", "none", "float32", "\ud800", "\0", "dx", "a\nb"]),
    st.sampled_from([50, 400, 990, 1100, 3000, 9000, 100_000]).map(DEEP.format),
    st.sampled_from([4300, 4301, 20_000]).map(DIGITS.format),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, TEXTS), inner, max_size=4)),
    max_leaves=8,
)


def _text(value: Any) -> str:
    """``value`` as JSON, its marks replaced by lists in lists and by numbers of many digits."""
    text = json.dumps(value)
    text = re.sub(r'"<deep (\d+)>"', lambda found: "[" * int(found[1]) + "]" * int(found[1]), text)
    return re.sub(r'"<digits (\d+)>"', lambda found: "9" * int(found[1]), text)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a tree of lists and dicts."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


@st.composite
def changed(draw: st.DrawFn, good: Any) -> str:
    """The JSON text of ``good`` with a few things in it replaced, dropped, moved, added, wrapped or said twice."""
    root = [copy.deepcopy(good)]
    for _ in range(draw(st.integers(0, 4))):
        container, key = draw(st.sampled_from(list(_places(root)) or [(root, 0)]))
        match draw(st.sampled_from(["replace", "replace", "drop", "swap", "add", "wrap", "double"])):
            case "replace":
                container[key] = draw(VALUES)
            case "drop" if container is not root:
                del container[key]
            case "swap":
                other, at = draw(st.sampled_from(list(_places(root))))
                container[key] = copy.deepcopy(other[at])
            case "add" if isinstance(container[key], dict):
                container[key][draw(st.one_of(KEYS, TEXTS))] = draw(VALUES)
            case "wrap":
                container[key] = [container[key]]
            case "double" if isinstance(container, list) and container is not root:
                container.append(copy.deepcopy(container[key]))
    text = _text(root[0])
    if draw(st.integers(0, 4)) == 0 and (keys := [found.start() for found in re.finditer(r'"\w*": ', text)]):
        # a key that stands twice in one object
        at = draw(st.sampled_from(keys))
        name = text[at : text.index(":", at)]
        text = f"{text[:at]}{name}: {_text(draw(VALUES))}, {text[at:]}"
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    return text


# a student's notebook


def _metadata(name: str, **marks: Any) -> dict[str, Any]:
    plain = {"grade_id": name, "grade": False, "solution": False, "locked": True, "schema_version": 3, "task": False}
    return {"nbgrader": {**plain, **marks}}


def _code(name: str, source: str, metadata: dict[str, Any], outputs: Sequence[Any] = ()) -> dict[str, Any]:
    rest = {"outputs": list(outputs), "execution_count": None}
    return {"cell_type": "code", "id": name, "metadata": metadata, "source": source.splitlines(keepends=True), **rest}


NOTEBOOK: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}},
    "cells": [
        {
            "cell_type": "markdown",
            "id": "text",
            "metadata": {},
            "source": "# Title\n![a](attachment:a.png)",
            "attachments": {"a.png": {"image/png": "aGVsbG8="}},
        },
        _code(
            "parameters",
            "from handgrad import cmp\nseed = 1",
            {**_metadata("parameters"), "tags": ["parameters"]},
            [{"output_type": "stream", "name": "stdout", "text": ["a\n"]}],
        ),
        _code("dx", "dx = 1", _metadata("dx", solution=True, locked=False)),
        _code("check_dx", "cmp('x', dx, x)", _metadata("check_dx", grade=True, points=1)),
        {"cell_type": "raw", "id": "raw", "metadata": {"format": "text/plain"}, "source": ""},
        _code("own", "print(dx)", {}),
    ],
}
OLD_NOTEBOOK: dict[str, Any] = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": "old"},
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {"cell_type": "heading", "level": 2, "metadata": {}, "source": "Title"},
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": ["dx = 1"],
                    "language": "python",
                    "metadata": _metadata("dx", solution=True, locked=False),
                    "outputs": [
                        {"output_type": "stream", "stream": "stdout", "text": ["a\n"]},
                        {"output_type": "pyout", "prompt_number": 1, "metadata": {}, "text": ["1"]},
                        {"output_type": "pyerr", "ename": "E", "evalue": "", "traceback": [""]},
                    ],
                },
            ],
        }
    ],
}
EXERCISE = Exercise.of(tidying.parse(json.dumps(NOTEBOOK)), "small", Path())


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], NotebookNode | None]:
    """Read bytes as a notebook; None where they are refused as they should be."""
    path = tmp_path_factory.mktemp("fuzz") / "backprop.ipynb"

    def reading(data: bytes) -> NotebookNode | None:
        path.write_bytes(data)
        try:
            return read_notebook(path)
        except SubmissionError as error:
            _assert_sentence(str(error), path)
            return None

    return reading


def _assert_sentence(message: str, path: Path) -> None:
    """What is said of a bad file is one short line that names it and can be printed."""
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600
    message.encode()


def _essence(cell: NotebookNode) -> tuple[str, ...]:
    # as text, for NaN, which a foreign key may hold, is not itself
    return cell.cell_type, cell.source, cell.id, json.dumps(cell.metadata, sort_keys=True)


def _assert_usable(notebook: NotebookNode) -> None:
    """A notebook that was read is valid, can be written as UTF-8, and comes back from it; it can be laid onto stubs."""
    nbformat.validate(notebook)
    again = nbformat.reads(nbformat.writes(notebook).encode().decode(), as_version=4)
    assert [_essence(cell) for cell in again.cells] == [_essence(cell) for cell in notebook.cells]
    is_exercise(notebook)
    for cell in notebook.cells:
        kind_of(cell)
    try:
        submission = Submission.of(notebook, EXERCISE)
    except SubmissionError:
        assert not {grade_id(cell) for cell in notebook.cells if cell.cell_type == "code"} & set(EXERCISE.stubs)
        return
    assert set(submission.stub_indices()) == set(EXERCISE.stubs)
    assert all(type(cell.source) is str for cell in submission.cells)


Read = Callable[[bytes], NotebookNode | None]


def test_the_good_ones_are_read(read: Read) -> None:
    """What the changes start from is good: a notebook, an old notebook."""
    for good in (NOTEBOOK, OLD_NOTEBOOK):
        notebook = read(_text(good).encode())
        assert notebook is not None
        _assert_usable(notebook)


def _with(good: Any, *way: Any, value: Any) -> str:
    """The JSON text of ``good`` with ``value`` at the end of ``way``."""
    root = copy.deepcopy(good)
    inner = root
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = value
    return _text(root)


FOUND = {
    "half a surrogate pair in a source": _with(NOTEBOOK, "cells", 2, "source", value="dx = '\ud800'"),
    "half a surrogate pair in a mark": _with(NOTEBOOK, "metadata", "\ud800", value="\udfff"),
    "a kernel without a name": _with(NOTEBOOK, "metadata", "kernelspec", value={}),
    "an odd mark of the cell": _with(NOTEBOOK, "cells", 1, "metadata", "collapsed", value="yes"),
    "a tag twice": _with(NOTEBOOK, "cells", 1, "metadata", "tags", value=["parameters", "parameters"]),
    "a mark of many levels": _with(NOTEBOOK, "cells", 1, "metadata", "deep", value=DEEP.format(200)),
    "an attachment of code": _with(NOTEBOOK, "cells", 1, "attachments", value={"a.png": {"image/png": ""}}),
    "an attachment that is none": _with(NOTEBOOK, "cells", 0, "attachments", value={"a.png": 3}),
    "an old notebook without a minor number": _with(OLD_NOTEBOOK, "nbformat_minor", value=None),
}


def test_found_in_notebooks(read: Read) -> None:
    """What the search found once."""
    for name, text in FOUND.items():
        with named(name):
            notebook = read(text.encode())
            assert notebook is not None
            _assert_usable(notebook)
            assert Submission.of(notebook, EXERCISE).stub_indices() == {"dx": 0}


@given(st.one_of(st.binary(), st.text().map(str.encode), VALUES.map(_text).map(str.encode)))
def test_any_file(read: Read, data: bytes) -> None:
    """Bytes that are anything, and JSON that is anything, are a notebook or a sentence."""
    notebook = read(data)
    if notebook is not None:
        _assert_usable(notebook)


@given(changed(NOTEBOOK))
def test_changed_notebook(read: Read, text: str) -> None:
    """A notebook in which anything was changed is a notebook that can be graded and written, or a sentence."""
    notebook = read(text.encode())
    if notebook is not None:
        _assert_usable(notebook)


@given(changed(OLD_NOTEBOOK))
def test_changed_old_notebook(read: Read, text: str) -> None:
    """The same of a notebook of nbformat 3, which has to be converted."""
    notebook = read(text.encode())
    if notebook is not None:
        _assert_usable(notebook)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an exercise.json goes."""
    return tmp_path_factory.mktemp("fuzz") / "exercise.json"


EXERCISE_FILE = {"name": "small", "notebook": NOTEBOOK}


@given(changed(EXERCISE_FILE))
@example(_with(EXERCISE_FILE, "name", value=DEEP.format(100_000)))
@example(_with(EXERCISE_FILE, "notebook", "cells", 0, value={"source": "x"}))
def test_changed_exercise(released: Path, text: str) -> None:
    """The exercise.json beside a student's notebook, changed anyhow, is an exercise or a sentence."""
    released.write_bytes(text.encode())
    try:
        exercise = read_released(released)
    except ExerciseError as error:
        str(error).encode()
        return
    assert exercise.stubs
    assert all(type(source) is str for source in exercise.setup({"seed": 2}))
    assert len(exercise.digest) == 64


# what a child sends

NAMES = ("dx", "dy")
PAYLOAD = struct.pack("<4f", 1, 2, 3, 4)
HEADER: dict[str, Any] = {
    "done": 3,
    "error": {"name": "ValueError", "message": "no", "traceback": ["a", "b"]},
    "answers": [
        {"name": "dx", "kind": "tensor", "dtype": "float32", "shape": [2, 2], "size": 16},
        {"name": "dy", "kind": "other", "type": "list"},
    ],
    "outputs": 0,
}
OUTPUTS: list[dict[str, Any]] = [
    {"output_type": "stream", "name": "stdout", "text": "a\n"},
    {"output_type": "display_data", "data": {"text/plain": "1", "application/json": {"a": 1}}, "metadata": {}},
    {"output_type": "execute_result", "data": {"text/html": "<b>"}, "metadata": {"a": 1}, "execution_count": None},
]


def _framed(text: bytes, payload: bytes = b"") -> bytes:
    return struct.pack("<II", len(text), len(payload)) + text + payload


def _result(header: str, payload: bytes) -> CellResult | None:
    """What the grader makes of a frame; None where it is refused as it should be."""
    try:
        (frame,) = FrameReader().feed(_framed(header.encode(), payload))
        return cell_result(frame, 3, NAMES, MAX_OUTPUTS)
    except FrameError as error:
        str(error).encode()
        return None


def _assert_inert(result: CellResult) -> None:
    """What came back can stand in a notebook and in a report: valid, writable, and what was asked for."""
    assert tuple(result.answers) == NAMES
    for answer in result.answers.values():
        answer.type.encode()
        assert (answer.value is not None) == (answer.kind == "tensor")
    if result.error:
        assert all(type(text) is str for text in (result.error.name, result.error.message, *result.error.traceback))
        json.dumps(result.error.to_dict(), ensure_ascii=False).encode()
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(outputs=nbformat.from_dict(list(result.outputs)))]
    nbformat.validate(notebook)
    nbformat.writes(notebook).encode()


def test_the_good_message_is_taken() -> None:
    """What the changes start from is good: a message with an answer, an error and outputs."""
    result = _result(_text(HEADER), PAYLOAD + _text(OUTPUTS).encode())
    assert result is not None
    assert torch.equal(result.answers["dx"].value, torch.tensor([[1.0, 2], [3, 4]]))  # type: ignore[arg-type]
    assert list(result.outputs) == OUTPUTS
    _assert_inert(result)


MESSAGES = {
    "half a surrogate pair in a type": (_with(HEADER, "answers", 1, "type", value="\ud800"), b""),
    "an error of many levels": (_with(HEADER, "error", "message", value=DEEP.format(900)), b""),
    "outputs of many levels": (_text(HEADER), _with(OUTPUTS, 1, "metadata", "a", value=DEEP.format(900)).encode()),
    "a number as text": (_text(HEADER), _with(OUTPUTS, 1, "data", "text/plain", value=5).encode()),
    "a list as text": (_text(HEADER), _with(OUTPUTS, 2, "data", "text/html", value=[["<b>"]]).encode()),
    "more outputs than a child may send": (_text(HEADER), b"[" + b" " * MAX_OUTPUTS + b"]"),
}


def test_found_in_messages() -> None:
    """What the search found once."""
    for name, (header, outputs) in MESSAGES.items():
        with named(name):
            result = _result(header, PAYLOAD + outputs)
            taken = ("half a surrogate pair in a type", "more outputs than a child may send")
            assert (result is not None) == (name in taken)
            if result is not None:
                _assert_inert(result)


@given(changed(HEADER), st.one_of(st.just(PAYLOAD), st.binary(max_size=40)))
def test_changed_message(header: str, payload: bytes) -> None:
    """A message in which anything was changed is a message that can be used, or a FrameError."""
    result = _result(header, payload)
    if result is not None:
        _assert_inert(result)


@given(changed(OUTPUTS))
def test_changed_outputs(outputs: str) -> None:
    """Outputs in which anything was changed are a notebook's outputs, or a FrameError."""
    result = _result(_text(HEADER), PAYLOAD + outputs.encode())
    if result is not None:
        _assert_inert(result)


@given(changed({"finished": True, "answers": HEADER["answers"]}), st.binary(max_size=40))
def test_changed_end(header: str, payload: bytes) -> None:
    """The answers at a pass's end, changed anyhow, are those that were asked for, or a FrameError."""
    try:
        for frame in FrameReader().feed(_framed(header.encode(), payload)):
            assert tuple(answers_in(*frame, NAMES)[0]) == NAMES
    except FrameError:
        return


# frames

CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=30)
FRAMES = st.lists(
    st.tuples(
        st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.booleans(), st.integers(), st.text()), max_size=4),
        st.binary(max_size=60),
    ),
    max_size=8,
)


def _pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """``data`` in pieces of the given sizes, over and over."""
    start, turn = 0, 0
    while start < len(data):
        yield data[start : start + sizes[turn % len(sizes)]]
        start += sizes[turn % len(sizes)]
        turn += 1


def _fed(data: bytes, sizes: Sequence[int], **limits: int) -> tuple[list[frames.Frame], str]:
    """The frames of ``data``, fed in pieces, and what ended them; no more is kept than was sent."""
    reader, received = FrameReader(**limits), []
    try:
        for piece in _pieces(data, sizes):
            for frame in reader.feed(piece):
                received.append(frame)
            assert sys.getsizeof(reader._buffer) <= 2 * len(data) + 200
    except FrameError as error:
        return received, str(error)
    return received, ""


@given(FRAMES, CUTS)
def test_frames_cut_anyhow(sent: list[frames.Frame], sizes: list[int]) -> None:
    """Frames come out as they went in, whatever the pieces."""
    assert _fed(b"".join(pack(*frame) for frame in sent), sizes) == (sent, "")


@given(
    FRAMES.map(lambda sent: b"".join(pack(*frame) for frame in sent)).flatmap(
        lambda good: st.tuples(st.just(good), st.lists(st.tuples(st.integers(0, len(good)), st.binary(max_size=9))))
    ),
    CUTS,
)
def test_spoilt_frames(spoilt: tuple[bytes, list[tuple[int, bytes]]], sizes: list[int]) -> None:
    """Bytes of good frames with others written over them give the same frames and the same end, however cut."""
    data = bytearray(spoilt[0])
    for at, over in spoilt[1]:
        data[at : at + len(over)] = over
    assert _fed(bytes(data), sizes) == _fed(bytes(data), [max(1, len(data))])


@given(st.binary(max_size=200), CUTS, st.integers(0, 50), st.integers(0, 50))
def test_noise(data: bytes, sizes: list[int], max_header: int, max_payload: int) -> None:
    """Noise, cut anyhow, gives the same frames and the same end; nothing in it goes over the limits."""
    limits = {"max_header": max_header, "max_payload": max_payload}
    received, end = _fed(data, sizes, **limits)
    assert (received, end) == _fed(data, [max(1, len(data))], **limits)
    assert all(len(payload) <= max_payload for _, payload in received)


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_claims(header: int, payload: int) -> None:
    """What a frame claims to hold takes no memory before it is there."""
    reader = FrameReader()
    try:
        assert list(reader.feed(struct.pack("<II", header, payload))) == []
    except FrameError:
        assert header > frames.MAX_HEADER or payload > tensor_bytes.MAX_PAYLOAD
    assert sys.getsizeof(reader._buffer) < 200


SIZES = st.one_of(st.integers(0, 4), st.integers(-1, 1 << 27), VALUES)
DESCRIPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.one_of(st.sampled_from([*DTYPES, "object", "float8_e4m3fn"]), VALUES),
        "shape": st.one_of(st.lists(st.integers(0, 4), max_size=4), st.lists(SIZES, max_size=18), VALUES),
    },
)


@given(DESCRIPTIONS, st.binary(max_size=64))
@example({"dtype": "float32", "shape": [0, 1 << 26, 1 << 26]}, b"")
def test_any_tensor(description: dict[str, Any], data: bytes) -> None:
    """A tensor described anyhow is one that holds exactly the bytes that came, or a FrameError."""
    try:
        tensor = unpack_tensor(description, data)
    except FrameError:
        return
    assert tensor.untyped_storage().nbytes() == len(data)
    assert list(tensor.shape) == description["shape"]
    assert tensor.is_contiguous()
