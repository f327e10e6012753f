"""The templates, styles and scripts of the pages, which stand beside this file."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["read", "template"]


def read(name: str) -> str:
    """The text of a file."""
    return files("handgrad.report").joinpath(name).read_text(encoding="utf-8")


@cache
def template(name: str) -> "Template":
    """A page that escapes whatever is put into it, unless it is told that it is HTML."""
    # jinja2 comes with the instructor's installation; a student's `handgrad check` does without
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(read(name))
