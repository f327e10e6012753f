"""Sphinx: the pages as a site. `make docs` builds it into build/docs, and fails on a warning."""

import re

from sphinx.application import Sphinx

from handgrad import __version__

project = "handgrad"
release = __version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"handgrad {release}"
exclude_patterns = ["pictures"]
myst_heading_anchors = 4

REPOSITORY = "https://github.com/handgrad/handgrad"


def link_files_to_the_repository(app: Sphinx, page: str, text: list[str]) -> None:
    """A link out of this folder leads to a file of the repository, which the site does not have."""
    up = "../" * (page.count("/") + 1)
    text[0] = re.sub(rf"\]\({re.escape(up)}(?!\.\./)", f"]({REPOSITORY}/blob/main/", text[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", link_files_to_the_repository)
