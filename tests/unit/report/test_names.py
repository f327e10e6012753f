"""Names hold anything: they are shown so that each can be told from every other, and do nothing to a terminal."""

import unicodedata

from handgrad.report.class_terminal import class_table
from handgrad.report.names import alike, alike_sentence, in_ascii, is_hidden, printable, shown
from handgrad.report.pages import class_page
from handgrad.report.records import Report
from helpers.inputs import named

TWINS = (
    "e\u200bve",  # zero width
    "e\u00adve",  # soft hyphen
    "\u0435ve",  # Cyrillic
    "\u202eeve",  # right to left
    "eve\u200f",
    "e\ufe0fve",  # variation selector
    "e\u3164ve",  # a letter that shows nothing
    "\uff45ve",  # fullwidth
    "e\u03bde",  # Greek
    "\U000e0065eve",  # tag
    "eve\ufeff",
    "e\u2060ve",
)
"""Names that are read as eve."""


def test_names_that_look_the_same() -> None:
    """They are found, whatever the difference, and told apart in ASCII."""
    for twin in TWINS:
        with named(ascii(twin)):
            assert alike(["ann", twin, "bob", "eve", "eve"]) == [tuple(sorted([twin, "eve"]))]
            sentence = alike_sentence(alike([twin, "eve"])[0])
            assert sentence.isascii()
            assert in_ascii(twin) != "eve"
            assert in_ascii(twin) in sentence
    assert alike(["n\u0303", "\u00f1"]) == [("n\u0303", "\u00f1")]
    assert alike(["Ada L", "Ada\u00a0L"]) == [("Ada L", "Ada\u00a0L")]


def test_names_that_differ() -> None:
    """Names that can be told apart are not listed: other letters, accents, capitals, digits."""
    assert alike(["eve", "Eve", "ève", "evè", "ev", "eve1", "eve2", "s01", "s1", "Ева", "Женя", "李", "王"]) == []


def test_hidden_characters_are_escaped() -> None:
    """What has no sign of its own is an escape sequence; letters of all alphabets stay."""
    assert shown("a\nb\x1b[31m\t\u202e\u200b\x9b") == r"a\nb\x1b[31m\t\u202e\u200b\x9b"
    assert shown("Zoë Łukasz 李 Ева") == "Zoë Łukasz 李 Ева"
    assert shown("x" * 300).endswith("…")
    assert printable("one\ntwo\x1b") == "one\ntwo\\x1b"
    for code in range(0x3000):
        sign = chr(code)
        if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp"):
            assert is_hidden(sign)
            assert sign not in shown(f"a{sign}b")


def test_the_class_is_told() -> None:
    """The table of a class and its page list them."""
    reports = [Report("backprop", "backprop", "graded", "0", student=name) for name in ("eve", "\u0435ve", "e\u200bve")]
    table, page = class_table(reports, width=100), class_page(reports, "backprop")
    for text in (" ".join(table.split()), page):
        assert r"eve, e\u200bve and \u0435ve look the same" in text
        assert "\u200b" not in text
    assert "look the same" not in class_table(reports[:1], width=100)
    assert "look the same" not in class_page(reports[:1], "backprop")


def test_nothing_reaches_a_terminal() -> None:
    """A name with a line end, an escape sequence or rich's markup is text on one line."""
    name = "a\x1b]8;;http://evil.invalid\x07\n[bold red]x[/]"
    table = class_table([Report("backprop", "backprop", "graded", "0", student=name)], width=200)
    assert "\x1b" not in table
    assert r"a\x1b]8;;http://evil" in table
