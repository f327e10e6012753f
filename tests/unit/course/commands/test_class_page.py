"""A student's cell as an example: what it does stays, whose it is does not."""

from handgrad.course.commands.class_page import LONGEST, anonymous
from helpers.inputs import named


def test_comments_texts_and_layout_are_left_out() -> None:
    """Comments, docstrings and texts are gone; formulas stay, also those that einsum reads."""
    source = (
        '"""by Ann"""\n# Ann\ndx = torch.einsum("ij,jk->ik",   a,b)  # mine\nprint("Ann says", f"so {dx}", b"Ann")\n'
    )
    assert anonymous(source) == "dx = torch.einsum('ij,jk->ik', a, b)\nprint('…', f'…{dx}', '…')"


def test_the_same_in_other_clothes_is_the_same() -> None:
    """Two cells that differ in spaces, brackets and comments come out the same; two formulas do not."""
    assert anonymous("dx = (a*b)  # one") == anonymous("# two\n\ndx=a * b\n")
    assert anonymous("dx = a * b") != anonymous("dx = b * a")


def test_a_name_that_is_left_hides_the_cell() -> None:
    """A cell in which the student's name, id or address is still to be read is not shown."""
    for source in ["ann_grad = dx", "dx = ANN * 2", "s1234_x = 1", "def of_smith(): return dx", "dx = d['ij'].annex"]:
        with named(source):
            assert anonymous(source, ["s1234", "Ann", "Smith-Jones", "annsmith@example.org"]) is None
            assert anonymous(source, ["zoe"]) is not None


def test_what_cannot_be_shown() -> None:
    """What is empty, is no Python or is very long is no example, and no error."""
    for source in ["", "# nothing", "dx = (", "%time dx", "x = '\ud800'", "\x00", "dx = 1\n" * LONGEST, "(" * 10_000]:
        with named(source):
            assert anonymous(source, ["ann"]) is None


def test_short_words_hide_nothing() -> None:
    """A name of two letters stands in every cell; it is no reason to hide one."""
    assert anonymous("dx = a * dy", ["Bo", "dx"]) == "dx = a * dy"
