"""The templates, styles and scripts of the pages, which are next to this file."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from handgrad.report import wording

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["read", "template"]


def read(name: str) -> str:
    """The text of a file of this package."""
    return files("handgrad.report").joinpath(name).read_text(encoding="utf-8")


@cache
def template(name: str) -> "Template":
    """A template that knows the names of ``wording``, and escapes every value that is not marked as ``safe``."""
    # jinja2 is part of the instructor's installation only; a student's `handgrad check` does not need it
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update({name: getattr(wording, name) for name in wording.__all__})
    return environment.from_string(read(name))
