"""Another grader is another code, and not another layout or another sentence."""

from handgrad.grading.code_digest import code_digest
from handgrad.notebook.syntax import code_of

CODE = '''"""A module."""
LIMIT = 3
"""Its limit."""


def double(x: int) -> int:
    """Twice as much."""
    # a reason
    return 2 * x
'''


def test_what_code_does() -> None:
    """Comments, docstrings and lines do not count; a number and a name do."""
    same = "LIMIT = 3\n\n\n\ndef double(\n  x: int) -> int:\n    'other words'\n    return (2 * x)"
    assert code_of(CODE) == code_of(same)
    for old, new in (("LIMIT = 3", "LIMIT = 4"), ("2 * x", "3 * x"), ("double", "twice"), ("x: int", "x: int = 1")):
        assert code_of(CODE.replace(old, new)) != code_of(CODE)


def test_the_grader_has_a_digest() -> None:
    """It is the same each time."""
    assert code_digest() == code_digest.__wrapped__()
    assert len(code_digest()) == 64
