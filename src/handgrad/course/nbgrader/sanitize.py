"""Sanitize a student's notebook: nothing in it runs in the browser of a reader.

Harmless content is not changed at all. The grader's own cards are added afterwards.
"""

import functools
import html
import re
import time
from collections.abc import Callable, Collection, Mapping
from html.parser import HTMLParser
from typing import Any

import nh3
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from handgrad.notebook.text_limits import limited

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
    "*": {"align", "border", "colspan", "dir", "lang", "open", "rowspan", "start", "title", "valign"},
    "table": {"class"},
}
# fmt: on
_SANITIZER = nh3.Cleaner(
    tags=_TAGS,
    attributes=_ATTRIBUTES,
    # pandas writes this class; any other, an id or a style could lay a student's text over the page's own
    attribute_filter=lambda _, name, value: None if name == "class" and value != "dataframe" else value,
    url_schemes={"http", "https", "mailto"},
    link_rel=None,
)
"""The text of scripts and styles goes with them."""
_LIVE_TEX = re.compile(
    # links, classes, ids, styles, files to load, and MathML elements with any attribute
    r"\\(?:href|url|require|style|class|cssId|data|mmlToken|bbox|enclose|toggle|mathtip|texttip|includegraphics"
    # a command of the student's own may be any of these, or take the place of one that the instructor uses
    r"|[gex]?def|let|(?:re|provide)?newcommand|(?:re|provide)command|(?:re)?newenvironment|Declare[A-Za-z]*"
    r"|csname|catcode|char|begingroup|global|newcount|expandafter|unicode|tex"
    # formulas that leave their place
    r"|raise|lower|move(?:left|right)|[hm]?skip|r?lap|llap|Rule|rule|Space)(?![A-Za-z])"
    r"|\\(?:[hv]space\*?|m?kern)\s*\{?\s*-"
    r"|\\\\\s*\[\s*-[\d.\s]*(?:em|ex|px|pt|pc|cm|mm|in|mu)"
    # KaTeX's
    r"|\\html[A-Z]|<tex-html"
)
"""TeX commands that MathJax turns into more than a formula at its place."""
_TAG_OF_HTML = re.compile(r"<[^<>]*>")
_CLOSED = '<div class="tex2jax_ignore mathjax_ignore">{}</div>'
_PICTURES = ("image/png", "image/jpeg")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_ATTACHED = re.compile(r"attachment:([^\s)\"'>]+)")
_FIELDS = ("deletable", "editable", "nbgrader", "tags")
"""The allowed fields of a cell's metadata; nbconvert puts some others into pages unescaped."""
_TAG = re.compile(r"[\w.-]+")

MAX_COST = 300_000
"""Largest cost of a text that is sanitized: its characters, plus 50 for each < and &. Others are shown as source.

For Markdown, each place where something begins that has its end elsewhere costs some of the text's characters: for each
the renderer may look through the whole text.
"""
MAX_TOTAL = 2_000_000
"""Largest cost of all texts of one notebook: sanitizing must not take much of the grader's time."""
MAX_SECONDS = 5.0
"""Processor time for all texts of one notebook, whatever their cost."""
_MARK = 50
_OPENS = re.compile(r"\\\\[(\[]|\\begin\{|\$\$|<(?:script|style|pre|textarea|[!?])", re.IGNORECASE)
_SHARE, _BRACKET_SHARE = 300, 5_000
"""The share of the text's characters (one in so many) that one such place costs, and that a bracket costs."""
_AS_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "\\$[]()`*_!~|"}
_TYPED = "This text is shown as it was typed: it takes too long to render."


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


class _Renderer(IPythonRenderer):
    """Renders Markdown without the classes, ids and styles that nbconvert adds: all that are left are a student's."""

    def __init__(self) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)

    def block_code(self, code: str, info: str | None = None) -> str:
        """A code block; a diagram is drawn by a script, and is marked as something that must not be."""
        if info and info.startswith("mermaid"):
            return str(self.block_mermaidjs(html.escape(code)))
        return f"<pre><code>{html.escape(code)}</code></pre>\n"

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        """A cell of a table."""
        tag = "th" if head else "td"
        return f"<{tag}>{text}</{tag}>\n"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """A picture; nbconvert raises for one that is not attached."""
        return str(super().image(text, url.replace("attachment:", "attachment-"), title))


@functools.cache
def _markdown() -> Any:
    """The renderer, which takes longer to make than to use."""
    return MarkdownWithMath(renderer=_Renderer())


class _Sanitizer:
    """The sanitizer, and what is left of the time that one notebook may take."""

    def __init__(self) -> None:
        self.room, self.seconds = MAX_TOTAL, MAX_SECONDS

    def html(self, text: str) -> str:
        """HTML without active content."""
        return self._in_time(text, self._html)

    def _html(self, text: str) -> str:
        if not self._has_room(text):
            return _as_typed(text)
        clean = _SANITIZER.clean(text)
        return _CLOSED.format(clean) if _is_live_tex(text, clean) else clean

    def markdown(self, source: str, attached: Collection[str]) -> str:
        """``source``; or, if something in it is live, the rest of it as HTML, on one line as Markdown leaves it."""
        return self._in_time(source, lambda text: self._markdown(text, attached))

    def _markdown(self, source: str, attached: Collection[str]) -> str:
        opened = len(_OPENS.findall(source)) / _SHARE + sum(map(source.count, "[$`*_")) / _BRACKET_SHARE
        if not self._has_room(source, int(opened * len(source))):
            return _as_typed(source)
        rendered = _markdown().render(source)
        if not self._has_room(rendered):
            return _as_typed(source)
        clean = _SANITIZER.clean(rendered)
        live = _Events.of(clean) != _Events.of(rendered) or _is_live_tex(source, clean)
        if not live and all(name in attached for name in _ATTACHED.findall(source)):
            return source
        return _CLOSED.format(clean.strip().replace("\n", "&#10;"))

    def _in_time(self, text: str, sanitize: Callable[[str], str]) -> str:
        """``text`` sanitized, or as it was typed if that takes too long or fails."""
        if self.seconds <= 0:
            return _as_typed(text)
        started = time.process_time()
        try:
            with limited(self.seconds):
                return sanitize(text)
        # a parser may raise anything at a text that was made for it
        except Exception:
            return _as_typed(text)
        finally:
            self.seconds -= time.process_time() - started

    def _has_room(self, text: str, more: int = 0) -> bool:
        cost = len(text) + _MARK * (text.count("<") + text.count("&")) + more
        if cost > min(MAX_COST, self.room):
            return False
        self.room -= cost
        return True


def _is_live_tex(*texts: str) -> bool:
    """Whether one of some texts has a command of TeX that is live, also if its name is cut by tags."""
    plain = [html.unescape(text) for text in texts]
    return any(_LIVE_TEX.search(text) for text in (*plain, *(_TAG_OF_HTML.sub("", text) for text in plain)))


def _as_typed(text: str) -> str:
    # without the characters at which Markdown looks for an end
    inert = html.escape(text).translate(_AS_ENTITIES)
    return _CLOSED.format(f"<p>{_TYPED}</p><pre>{inert}</pre>").replace("\n", "&#10;")


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
        is_inert_formula = kind == "text/latex" and not _is_live_tex(text)
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
