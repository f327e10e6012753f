"""Look-alikes: what two wrote and few others did, whatever they call it; never what the exercise makes alike."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from handgrad.course.commands.look_alikes import Pair, alike, look_alikes
from handgrad.course.course import Course
from handgrad.report.class_terminal import alike_text
from handgrad.submission.answer_cells import AnswerCell
from helpers.courses import RIGHT, SLIP, hand_in, make_course
from helpers.paths import mistake

KNOWN = frozenset({"dprobs", "probs", "dlogprobs", "dcounts", "counts", "dh", "logits", "W2", "dlogits"})
OBVIOUS = {"dprobs": "dprobs = dlogprobs / probs", "dh": "dh = dlogits @ W2.T", "dcounts": "dcounts = dprobs * counts"}
ODD = {
    "dprobs": "inverse = probs.pow(-1)\ndprobs = inverse * dlogprobs",
    "dh": "turned = W2.transpose(0, 1)\ndh = dlogits.mm(turned)",
    "dcounts": "dcounts = torch.mul(counts, dprobs)",
}
RENAMED = {
    "dprobs": "# one over it\nzz = probs . pow( -1 )\ndprobs = zz*dlogprobs",
    "dh": "w  = W2.transpose(0,1)\n\ndh = dlogits.mm(w)  # across",
    "dcounts": "dcounts = torch.mul(counts,\n    dprobs)",
}


def students(pairs: list[Pair]) -> list[tuple[str, str]]:
    """Who is asked about."""
    return [pair.students for pair in pairs]


def read(answers: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, AnswerCell]]:
    """The cells of a class."""
    return {name: {key: AnswerCell.of(cell, KNOWN) for key, cell in cells.items()} for name, cells in answers.items()}


def digest(source: str) -> bytes:
    """What tells whether two cells are the same."""
    return AnswerCell.of(source, KNOWN).digest


@pytest.mark.parametrize("name", ODD)
def test_names_spaces_and_comments(name: str) -> None:
    """Own names, spaces, comments and line ends make no difference; the exercise's names do."""
    assert digest(ODD[name]) == digest(RENAMED[name])
    assert digest(OBVIOUS[name]) != digest(ODD[name])
    assert digest("dh = dlogits @ W2.T") != digest("dh = dprobs @ W2.T")


def test_common_answers_weigh_nothing() -> None:
    """A class that answers in the obvious way is not asked about; two who share what nobody else wrote are."""
    crowd = {f"s{number:02}": OBVIOUS for number in range(20)}
    assert alike(read(crowd)) == []
    pairs = alike(read({**crowd, "ann": ODD, "bob": RENAMED}))
    assert students(pairs) == [("ann", "bob")]
    assert pairs[0].cells["dh"] == (ODD["dh"], RENAMED["dh"], 2)


def test_the_rarest_come_first() -> None:
    """What three share weighs less than what two share, and less than three cells are chance."""
    crowd = {f"s{number:02}": OBVIOUS for number in range(20)}
    third = {**OBVIOUS, "dh": ODD["dh"]}
    pairs = alike(read({**crowd, "ann": ODD, "bob": RENAMED, "cid": third}))
    assert students(pairs) == [("ann", "bob")]
    assert list(pairs[0].cells) == ["dprobs", "dcounts", "dh"]
    assert [count for _, _, count in pairs[0].cells.values()] == [2, 2, 3]


def test_a_cell_of_many_makes_no_pairs() -> None:
    """A large class has cells that a hundred wrote: two of these hundred are not asked about for that alone."""
    crowd = {f"s{number:03}": OBVIOUS for number in range(400)}
    many = {f"t{number:02}": ODD for number in range(21)}
    assert alike(read({**crowd, **many})) == []
    rare = {**ODD, "dcounts": "dcounts = counts.mul(dprobs)"}
    pairs = alike(read({**crowd, **many, "ann": rare, "bob": rare}))
    assert students(pairs) == [("ann", "bob")]
    assert [count for _, _, count in pairs[0].cells.values()] == [2, 23, 23]


def test_a_class(tmp_path: Path) -> None:
    """From notebooks: a file that cannot be read asks about nobody, and the text is a question."""
    course: Course = make_course(tmp_path, **{f"s{number}": RIGHT for number in range(8)}, slip=SLIP)
    odd = mistake("right-python-loops")
    hand_in(tmp_path, "ann", odd)
    hand_in(tmp_path, "bob", odd, last="print('bob')")
    (tmp_path / "submitted/zoe/backprop").mkdir(parents=True)
    (tmp_path / "submitted/zoe/backprop/backprop.ipynb").write_text("{", encoding="utf-8")
    pairs = look_alikes(course, "backprop")
    assert students(pairs) == [("ann", "bob")]
    text = alike_text([(pair.students, pair.cells) for pair in pairs], width=120)
    assert "Only they can say." in text
    assert "ann and bob" in text
    assert "also written by nobody else" in text
    assert "No pair of submissions" in alike_text([])
