"""Sanitize a student's notebook: nothing in it runs in the browser of a reader.

Harmless content is not changed at all. The grader's own cards are added afterwards.
"""

import html
import re
from collections.abc import Collection, Mapping
from typing import Any

from nbconvert.filters import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode

__all__ = ["sanitize_comment", "sanitize_notebook"]

# fmt: off
_TAGS = frozenset({
    *SanitizeHTML().tags,
    "br", "caption", "center", "col", "colgroup", "dd", "del", "details", "div", "dl", "dt", "figcaption", "figure",
    "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "ins", "kbd", "mark", "p", "pre", "q", "s", "samp",
    "small", "span", "strike", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u",
    "var",
})
# fmt: on
_ATTRIBUTES = {
    **SanitizeHTML().attributes,
    "img": ["src", "alt", "width", "height"],
    "*": ["align", "border", "colspan", "dir", "id", "lang", "open", "rowspan", "start", "style", "title", "valign"],
}
_SCRIPT = re.compile(r"[\x00-\x20]*(javascript|vbscript|data):", re.IGNORECASE)
"""Addresses that run code; bleach takes some of them for a host and port."""
_WITH_TEXT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
"""Elements whose content is code: it would be shown as text if only their tags were removed."""
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
    """nbconvert's sanitizer, with the rest of one notebook's :data:`MAX_TOTAL`."""

    def __init__(self) -> None:
        self.room = MAX_TOTAL
        self._html = SanitizeHTML(tags=sorted(_TAGS), attributes=_allowed, strip=True)

    def html(self, text: str) -> str:
        """HTML without active content."""
        if not self._has_room(text):
            return _as_typed(text)
        clean: str = self._html.sanitize_html_tags(_WITH_TEXT.sub("", text))
        return _CLOSED.format(clean) if _LIVE_TEX.search(html.unescape(clean)) else clean

    def markdown(self, source: str, attached: Collection[str]) -> str:
        """``source`` if it is harmless, else the rest of it as HTML on one line, which Markdown does not change."""
        if not self._has_room(source):
            return _as_typed(source)
        # nbconvert raises for a picture that is not attached
        rendered = str(markdown2html(source.replace("attachment:", "attachment-")))
        if not self._has_room(rendered):
            return _as_typed(source)
        clean: str = self._html.sanitize_html_tags(rendered)
        live = _normal(clean) != _normal(rendered) or _LIVE_TEX.search(html.unescape(source))
        if not live and all(name in attached for name in _ATTACHED.findall(source)):
            return source
        clean = self._html.sanitize_html_tags(_WITH_TEXT.sub("", rendered))
        return _CLOSED.format(clean.strip().replace("\n", "&#10;"))

    def _has_room(self, text: str) -> bool:
        cost = len(text) + _MARK * (text.count("<") + text.count("&"))
        if cost > min(MAX_COST, self.room):
            return False
        self.room -= cost
        return True


def _allowed(tag: str, name: str, value: str) -> bool:
    """Whether an attribute is allowed; a class must not switch MathJax on again."""
    if name in ("href", "src") and _SCRIPT.match("".join(html.unescape(value).split())):
        return False
    if name == "class":
        return "process" not in value
    return name in _ATTRIBUTES["*"] or name in _ATTRIBUTES.get(tag, ())


def _as_typed(text: str) -> str:
    return _CLOSED.format(f"<pre>{html.escape(text)}</pre>").replace("\n", "&#10;")


def _normal(text: str) -> str:
    """HTML in one notation for self-closing tags and quotes."""
    return text.replace(" />", ">").replace("/>", ">").replace("&quot;", '"').strip()


def _output(output: Mapping[str, Any], sanitizer: _Sanitizer) -> NotebookNode:
    if "data" not in output:
        return NotebookNode(output)
    data = {}
    for kind, text in output["data"].items():
        if not isinstance(text, str):
            continue
        if kind == "text/plain" or _is_inert_formula(kind, text) or _is_picture(kind, text):
            data[kind] = text
        elif kind == "text/html":
            data[kind] = sanitizer.html(text)
        elif kind == "text/markdown":
            data[kind] = sanitizer.markdown(text, ())
    return NotebookNode({**output, "data": NotebookNode(data), "metadata": _sizes(output["metadata"])})


def _is_inert_formula(kind: str, text: str) -> bool:
    return kind == "text/latex" and not _LIVE_TEX.search(text)


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
