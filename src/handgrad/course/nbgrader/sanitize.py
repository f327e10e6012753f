"""Sanitize a student's notebook: nothing in it runs in the browser of a reader.

Harmless content is not changed at all. The grader's own cards are added afterwards.
"""

import html
import re
from collections.abc import Collection, Mapping
from html.parser import HTMLParser
from typing import Any

import nh3
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

__all__ = ["sanitize_comment", "sanitize_notebook"]

# fmt: off
_TAGS = {
    "a", "abbr", "acronym", "b", "blockquote", "br", "caption", "center", "code", "col", "colgroup", "dd", "del",
    "details", "div", "dl", "dt", "em", "figcaption", "figure", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
    "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span", "strike", "strong", "sub",
    "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var",
}
_ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "*": {
        "align", "border", "class", "colspan", "dir", "id", "lang", "open", "rowspan", "start", "style", "title",
        "valign",
    },
}
_STYLES = {
    "background-color", "border-bottom-color", "border-collapse", "border-color", "border-left-color",
    "border-right-color", "border-top-color", "clear", "color", "direction", "display", "float", "font", "font-family",
    "font-size", "font-style", "font-variant", "font-weight", "height", "letter-spacing", "line-height", "overflow",
    "text-align", "text-decoration", "text-indent", "unicode-bidi", "vertical-align", "white-space", "width",
}
# fmt: on
_SANITIZER = nh3.Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    # no class may make MathJax process what it should ignore
    attribute_filter=lambda tag, name, value: None if name == "class" and "process" in value else value,
    url_schemes={"http", "https", "mailto"},
    filter_style_properties=_STYLES,
    link_rel=None,
)
"""The text of scripts and styles goes with them."""
_LIVE_TEX = re.compile(r"\\(href|require|style|class|cssId)\b")
"""TeX commands that MathJax turns into links, styles and files to load."""
_CLOSED = '<div class="tex2jax_ignore mathjax_ignore">{}</div>'
_PICTURES = ("image/png", "image/jpeg")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_ATTACHED = re.compile(r"attachment:([^\s)\"'>]+)")
_FIELDS = ("deletable", "editable", "nbgrader", "tags")
"""The allowed fields of a cell's metadata; nbconvert puts some others into pages unescaped."""
_TAG = re.compile(r"[\w.-]+")

MAX_COST = 300_000
"""Largest cost of a text that is sanitized: its characters, plus 50 for each < and &. Others are shown as source."""
MAX_TOTAL = 2_000_000
"""Largest cost of all texts of one notebook: sanitizing must not take much of the grader's time."""
_MARK = 50


def sanitize_notebook(notebook: NotebookNode, trusted: Collection[str] = (), grade_ids: Collection[str] = ()) -> None:
    """Sanitize ``notebook`` in place: its text cells, outputs, attachments and metadata.

    Printed text, pictures (PNG, JPEG), tables and Markdown stay; scripts, frames, forms, handlers, SVG and widgets go.

    Parameters
    ----------
    notebook
        The submitted notebook with the outputs of its cells.
    trusted
        Sources of the instructor's text cells, which are not changed.
    grade_ids
        The grade_ids of the exercise; any other cell loses nbgrader's metadata.
    """
    kernel = notebook.metadata.get("kernelspec")
    notebook.metadata = NotebookNode(language_info=NotebookNode(name="python"))
    if isinstance(kernel, Mapping) and all(isinstance(value, str) for value in kernel.values()):
        notebook.metadata["kernelspec"] = kernel
    sanitizer = _Sanitizer()
    for cell in notebook.cells:
        cell.metadata = _metadata(cell.metadata, grade_ids)
        if "attachments" in cell:
            cell.attachments = _attachments(cell.attachments)
        if cell.cell_type == "code":
            cell.outputs = [_output(output, sanitizer) for output in cell.outputs]
        elif cell.source not in trusted:
            attached = cell.get("attachments", ())
            markdown = cell.cell_type == "markdown"
            cell.source = sanitizer.markdown(cell.source, attached) if markdown else sanitizer.html(cell.source)


def sanitize_comment(text: str) -> str:
    """A comment for the gradebook, which nbgrader's pages render as Markdown; unsafe text becomes a code block."""
    if _Sanitizer().markdown(text, ()) == text:
        return text
    return "\n".join(f"    {line}" for line in text.splitlines())


class _Sanitizer:
    """The sanitizer, and what is left of the time that one notebook may take."""

    def __init__(self) -> None:
        self.room = MAX_TOTAL

    def html(self, text: str) -> str:
        """HTML without active content."""
        if not self._has_room(text):
            return _as_typed(text)
        clean = _SANITIZER.clean(text)
        return _CLOSED.format(clean) if _LIVE_TEX.search(html.unescape(clean)) else clean

    def markdown(self, source: str, attached: Collection[str]) -> str:
        """``source``; or, if something in it is live, the rest of it as HTML, on one line as Markdown leaves it."""
        if not self._has_room(source):
            return _as_typed(source)
        # nbconvert raises for a picture that is not attached
        rendered = str(markdown2html(source.replace("attachment:", "attachment-")))
        if not self._has_room(rendered):
            return _as_typed(source)
        clean = _SANITIZER.clean(rendered)
        live = _Events.of(clean) != _Events.of(rendered) or _LIVE_TEX.search(html.unescape(source))
        if not live and all(name in attached for name in _ATTACHED.findall(source)):
            return source
        return _CLOSED.format(clean.strip().replace("\n", "&#10;"))

    def _has_room(self, text: str) -> bool:
        cost = len(text) + _MARK * (text.count("<") + text.count("&"))
        if cost > min(MAX_COST, self.room):
            return False
        self.room -= cost
        return True


def _as_typed(text: str) -> str:
    return _CLOSED.format(f"<pre>{html.escape(text)}</pre>").replace("\n", "&#10;")


class _Events(HTMLParser):
    """What a text of HTML consists of, however it is written: tags with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []

    @classmethod
    def of(cls, text: str) -> list[tuple[Any, ...]]:
        """The events of ``text``."""
        parser = cls()
        parser.feed(text)
        parser.close()
        return parser.events

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag and its attributes; how a style is spaced does not matter."""
        values = {name: value or "" for name, value in attrs}
        if "style" in values:
            values["style"] = "".join(values["style"].split()).rstrip(";")
        self.events.append((tag, values))

    def handle_endtag(self, tag: str) -> None:
        """The end of a tag, if it has one."""
        if tag not in ("br", "col", "hr", "img"):
            self.events.append(("/", tag))

    def handle_data(self, data: str) -> None:
        """Text; what was cut in pieces is one."""
        if self.events and self.events[-1][0] == "":
            data = self.events.pop()[1] + data
        self.events.append(("", data))

    def unknown_decl(self, data: str) -> None:
        """A comment or a declaration, which a browser may read differently: no sanitized text has one."""
        self.events.append(("!", data))

    handle_comment = handle_decl = handle_pi = unknown_decl  # type: ignore[assignment] # they differ in a name


def _output(output: Mapping[str, Any], sanitizer: _Sanitizer) -> NotebookNode:
    if "data" not in output:
        return NotebookNode(output)
    data = {}
    for kind, text in output["data"].items():
        if not isinstance(text, str):
            continue
        is_inert_formula = kind == "text/latex" and not _LIVE_TEX.search(text)
        if kind == "text/plain" or is_inert_formula or _is_picture(kind, text):
            data[kind] = text
        elif kind == "text/html":
            data[kind] = sanitizer.html(text)
        elif kind == "text/markdown":
            data[kind] = sanitizer.markdown(text, ())
    return NotebookNode({**output, "data": NotebookNode(data), "metadata": _sizes(output["metadata"])})


def _is_picture(kind: str, text: Any) -> bool:
    return kind in _PICTURES and isinstance(text, str) and bool(_BASE64.fullmatch(text))


def _sizes(metadata: Mapping[str, Any]) -> NotebookNode:
    """Width and height of the pictures of an output."""
    sizes = NotebookNode()
    for kind in _PICTURES:
        size = metadata.get(kind)
        if isinstance(size, Mapping):
            sizes[kind] = NotebookNode(
                {name: size[name] for name in ("width", "height") if type(size.get(name)) is int}
            )
    return sizes


def _metadata(metadata: Mapping[str, Any], grade_ids: Collection[str]) -> NotebookNode:
    kept = NotebookNode({name: metadata[name] for name in _FIELDS if name in metadata})
    if kept.get("nbgrader", {}).get("grade_id") not in grade_ids:
        kept.pop("nbgrader", None)
    if "tags" in kept:
        kept.tags = [tag for tag in kept.tags if _TAG.fullmatch(tag)]
    return kept


def _attachments(attachments: Mapping[str, Any]) -> NotebookNode:
    """The attachments that are pictures."""
    kept = NotebookNode()
    for name, bundle in attachments.items():
        pictures = bundle if isinstance(bundle, Mapping) else {}
        if pictures := {kind: data for kind, data in pictures.items() if _is_picture(kind, data)}:
            kept[name] = NotebookNode(pictures)
    return kept
