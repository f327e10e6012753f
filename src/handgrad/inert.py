"""Make what a student wrote or showed inert: no script, frame, form or handler of theirs runs in a grader's browser.

What is in order stays as it is, to the letter. The verdicts are put in afterwards: they are the grader's own.
"""

import html
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bleach.sanitizer import ALLOWED_ATTRIBUTES, ALLOWED_TAGS
from nbconvert.filters import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode

__all__ = ["comment", "disarm", "outputs"]

_TAGS = frozenset(ALLOWED_TAGS) | frozenset(
    "br caption center col colgroup dd del details div dl dt figcaption figure font h1 h2 h3 h4 h5 h6 hr img ins kbd "
    "mark p pre q s samp small span strike sub summary sup table tbody td tfoot th thead tr u var".split()
)
_ATTRIBUTES = {
    "a": {*ALLOWED_ATTRIBUTES["a"], "id"},
    "img": {"src", "alt", "width", "height"},
    "*": {"align", "border", "colspan", "dir", "id", "lang", "open", "rowspan", "start", "style", "title", "valign"},
}
_PICTURES = ("image/png", "image/jpeg", "image/gif")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_WITH_TEXT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
"""Elements whose text is no text: where their tags are taken away it would be shown."""
_LIVE_TEX = re.compile(r"\\(href|require|style|class|cssId)\b")
"""Formulas that MathJax turns into links, styles and files to load."""
_FIELDS = {"editable", "deletable", "nbgrader", "tags"}
"""What a cell's metadata keep: nbconvert puts others into pages as they are."""
_SCRIPT = re.compile(r"[\x00-\x20]*(javascript|vbscript|data):", re.IGNORECASE)
"""Addresses that run; bleach takes some of them for the name of a machine and a port."""
_ATTACHED = re.compile(r"attachment:([^\s)\"'>]+)")
MAX_TEXT = 200_000
"""Characters of the longest text that is looked into; a longer one is shown as it was typed."""
_TAG = re.compile(r"[\w.-]+")
_CLOSED = '<div class="tex2jax_ignore mathjax_ignore">{}</div>'


def _allowed(tag: str, name: str, value: str) -> bool:
    """Whether an attribute may stay; no class may ask MathJax to look where it was told not to."""
    if name in ("href", "src") and _SCRIPT.match("".join(html.unescape(value).split())):
        return False
    if name == "class":
        return "process" not in value
    return name in _ATTRIBUTES["*"] or name in _ATTRIBUTES.get(tag, ())


_sanitizer = SanitizeHTML(
    tags=sorted(_TAGS),
    attributes=_allowed,
    strip=True,
    safe_output_keys={"text/plain", "text/latex", "application/json"},
    sanitized_output_types=set(),
)


def disarm(notebook: NotebookNode, trusted: Collection[str] = (), grade_ids: Collection[str] = ()) -> None:
    """Make the text cells, the metadata and the attachments of ``notebook`` inert, in place.

    Parameters
    ----------
    notebook
        As it was handed in.
    trusted
        Sources of text cells that are the instructor's own.
    grade_ids
        The ids that nbgrader knows; the marks of any other are taken away.
    """
    kept = {key: value for key, value in notebook.metadata.items() if key == "kernelspec" and _is_plain(value)}
    notebook.metadata = NotebookNode({**kept, "language_info": NotebookNode(name="python")})
    for cell in notebook.cells:
        _disarm_metadata(cell, grade_ids)
        if "attachments" in cell:
            _disarm_attachments(cell)
        if cell.cell_type == "markdown" and cell.source not in trusted:
            cell.source = _markdown(cell.source, cell.get("attachments", ()))
        elif cell.cell_type == "raw":
            cell.source = _clean(cell.source)


def outputs(shown: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a cell showed, made inert; pictures, tables and printed text stay."""
    return [_output(one) for one in shown]


def comment(text: str) -> str:
    """A comment for the gradebook, which a feedback page reads as Markdown; as a block of code where it is not plain."""
    if _is_inert(text):
        return text
    return "\n".join(f"    {line}" for line in text.splitlines())


def _output(output: Mapping[str, Any]) -> dict[str, Any]:
    if "data" not in output:
        return dict(output)
    texts = {kind: text for kind, text in output["data"].items() if isinstance(text, str)}
    data = {kind: text for kind, text in texts.items() if kind in _sanitizer.safe_output_keys}
    data.update({kind: text for kind, text in texts.items() if kind in _PICTURES and _BASE64.fullmatch(text)})
    if _is_live_tex(data.get("text/latex", "")):
        del data["text/latex"]
    if "text/html" in texts:
        data["text/html"] = _html(texts["text/html"])
    if "text/markdown" in texts:
        data["text/markdown"] = _markdown(texts["text/markdown"], ())
    return {**output, "data": data, "metadata": _sizes(output.get("metadata"))}


def _sizes(metadata: Any) -> dict[str, dict[str, int]]:
    """How large pictures are to be shown, which is all that is kept of an output's metadata."""
    if not isinstance(metadata, Mapping):
        return {}
    kept = {
        kind: {name: size for name, size in metadata[kind].items() if name in ("width", "height") and type(size) is int}
        for kind in _PICTURES
        if isinstance(metadata.get(kind), Mapping)
    }
    return {kind: sizes for kind, sizes in kept.items() if sizes}


def _html(text: str) -> str:
    clean = _clean(text)
    return _CLOSED.format(clean) if _is_live_tex(clean) else clean


def _markdown(source: str, attached: Collection[str]) -> str:
    """``source``; or, where something in it is live, what is left of it as HTML, on the one line that Markdown keeps."""
    if _is_inert(source) and all(name in attached for name in _ATTACHED.findall(source)):
        return source
    clean = _clean(_rendered(source))
    return _CLOSED.format(clean.strip().replace("\n", "&#10;"))


def _clean(text: str) -> str:
    """HTML without what is live in it."""
    if len(text) > MAX_TEXT:
        return f"<pre>{html.escape(text)}</pre>"
    return str(_sanitizer.sanitize_html_tags(_WITH_TEXT.sub("", text)))


def _rendered(source: str) -> str:
    """``source`` as HTML."""
    if len(source) > MAX_TEXT:
        return f"<pre>{html.escape(source)}</pre>"
    # nbconvert ends at a picture that is not attached
    return str(markdown2html(source.replace("attachment:", "attachment-")))


def _is_inert(source: str) -> bool:
    """Whether the sanitizer finds nothing to take away from Markdown."""
    if len(source) > MAX_TEXT or _is_live_tex(source):
        return False
    rendered = _rendered(source)
    return _normal(_sanitizer.sanitize_html_tags(rendered)) == _normal(rendered)


def _normal(text: str) -> str:
    """HTML without the ways in which two writers of the same differ."""
    return re.sub(r"\s*/?>", ">", text).replace("&quot;", '"').strip()


def _is_live_tex(text: str) -> bool:
    return bool(_LIVE_TEX.search(html.unescape(text)))


def _disarm_metadata(cell: NotebookNode, grade_ids: Collection[str]) -> None:
    metadata = {key: value for key, value in cell.metadata.items() if key in _FIELDS}
    if metadata.get("nbgrader", {}).get("grade_id") not in grade_ids:
        metadata.pop("nbgrader", None)
    if "tags" in metadata:
        metadata["tags"] = [tag for tag in metadata["tags"] if _TAG.fullmatch(tag)]
    cell.metadata = NotebookNode(metadata)


def _disarm_attachments(cell: NotebookNode) -> None:
    """Keep attached pictures, by names that stand for themselves."""
    cell.attachments = NotebookNode(
        {
            name: NotebookNode(pictures)
            for name, bundle in cell.attachments.items()
            if isinstance(bundle, Mapping)
            and (
                pictures := {
                    kind: data
                    for kind, data in bundle.items()
                    if kind in _PICTURES and isinstance(data, str) and _BASE64.fullmatch(data)
                }
            )
        }
    )


def _is_plain(value: Any) -> bool:
    """Whether ``value`` is a table of texts."""
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())
