"""What the helps show: tables as text and HTML, and numbers that are short and true."""

import math
from fractions import Fraction
from xml.etree import ElementTree

import pytest
import torch

from handgrad.student.helps.output import WRONG, Code, Output, Table, Tables, place, signed, tensor_table
from handgrad.student.helps.readability import difficulty, input_difficulty, written
from helpers.printed_numbers import is_printed, number

ALLOWED = {"div", "span", "table", "tbody", "tr", "td"}
NASTY = "<script>alert('$x$')</script>&\"'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (2.0, "2"), (-3.0, "-3"), (0.5, "1/2"), (-5 / 12, "-5/12"), (0.13, "0.13"), (1e-9, "1e-09")),
        *((0.99999, "1"), (2 / 7, "2/7"), (0.123456, "0.12"), (12.3456, "12.35"), (math.inf, "inf"), (1e7, "1e+07")),
    ],
)
def test_numbers(value: float, text: str) -> None:
    """Whole numbers, fractions, two decimals: whatever is shortest and still true."""
    assert written(value) == text


def test_logarithms() -> None:
    """Of inputs, the logarithms of small fractions are named; of results they are not."""
    for fraction in (Fraction(2), Fraction(3), Fraction(3, 2), Fraction(1, 2)):
        assert number(written(math.log(fraction), logarithms=True)) == pytest.approx(math.log(fraction))
        assert "ln" in written(math.log(fraction), logarithms=True)
    assert "ln" not in written(math.log(2))


def test_numbers_are_true() -> None:
    """Whatever the number, what is printed is near it."""
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 0.1, 1, 10, 1000):
        for value in (torch.randn(300, generator=generator) * scale).tolist():
            assert is_printed(value, written(value)), value


def test_what_is_hard_to_read() -> None:
    """Small whole numbers are easier than fractions, these than decimals; inputs of 0 and 1 hide factors."""
    values = [0.0, 1.0, 2.0, 0.5, 0.123]
    costs = [difficulty(torch.tensor([value])) for value in values]
    assert costs == sorted(costs)
    assert input_difficulty(torch.tensor([2.0, 3.0])) < input_difficulty(torch.tensor([0.0, 1.0]))
    assert input_difficulty(torch.tensor([2.0, 3.0])) < input_difficulty(torch.tensor([2.0, 2.0]))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2), (1, 2, 1, 2), (0,), (20,)])
def test_tables_hold_the_tensor(shape: tuple[int, ...]) -> None:
    """Every entry is in the table, in its place, and the wrong ones are marked."""
    tensor = torch.arange(1.0, math.prod(shape) + 1).reshape(shape)
    wrong = tensor % 2 == 0
    table = tensor_table(tensor, "a", wrong)
    cells = [cell for row in table.rows for cell in row[table.words :]]
    assert [number(cell) for cell in cells] == tensor.flatten().tolist()
    assert [cell.endswith(WRONG) for cell in cells] == wrong.flatten().tolist()


def test_a_tensor_with_few_numbers() -> None:
    """Of a large tensor with few entries that are not zero, these are listed."""
    tensor = torch.zeros(4, 5)
    tensor[2, 3] = 7
    assert tensor_table(tensor, "a").lines() == ["a", "[2, 3]      7", "all others  0"]
    assert tensor_table(torch.zeros(4, 5), "a").lines() == ["a", "all  0"]


def test_tables_beside_each_other() -> None:
    """Columns stand below each other, whether or not a mark stands behind a number."""
    right = tensor_table(torch.tensor([[1.0, -20.0], [3.0, 4.0]]), "right")
    yours = tensor_table(
        torch.tensor([[1.0, 20.0], [3.0, 4.0]]), "yours", torch.tensor([[False, True], [False, False]])
    )
    assert Tables((right, yours)).text().splitlines() == [
        "   right     yours",
        "   1  -20    1   20*",
        "   3    4    3    4",
    ]


def test_html() -> None:
    """Inline style only, everything escaped, and nothing that the text does not say."""
    output = Output(
        "counterexample for dx",
        (f"The first sentence, `code`: {NASTY}", Code((f"y = {NASTY}",)), Tables((Table(((NASTY, "1*"),), NASTY, 1),))),
    )
    root = ElementTree.fromstring(output.html())
    assert {element.tag for element in root.iter()} <= ALLOWED
    assert "".join(root.itertext()).count(NASTY) == output.text().count(NASTY) == 4
    assert "mathjax_ignore" in root.attrib["class"]
    assert root.attrib["aria-label"] == "counterexample for dx"
    assert all(name in ("style", "class", "role", "aria-label") for element in root.iter() for name in element.attrib)
    assert "`" not in output.text()


def test_places_and_signs() -> None:
    """Entries are written as a student writes them; a change has its sign."""
    assert place("loss", ()) == "loss"
    assert place("probs", (3, 5)) == "probs[3, 5]"
    assert [signed(value) for value in (0.0, 1.0, -0.00123456)] == ["0", "+1", "-0.001235"]
