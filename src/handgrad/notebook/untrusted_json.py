"""JSON that somebody else wrote, as plain data that can be copied, printed and written again."""

import json
import re
from typing import Any

__all__ = ["is_json", "is_shallow", "loads"]

MAX_LEVELS = 64
"""Levels of lists and tables, one in another: what copies and writes them recurses."""
_JSON = re.compile(r"application/(.*\+)?json")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str | bytes) -> Any:
    """The data in ``text``; half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a question mark.

    Raises
    ------
    ValueError
        It is no JSON, not UTF-8, or has more levels than Python can read.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        data = json.loads(text)
        if _HALF_PAIR.search(text):
            data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("it has too many levels") from None
    return data


def is_shallow(data: Any, levels: int = MAX_LEVELS, text: bytes | None = None) -> bool:
    """Whether ``data``, which stood in the JSON ``text`` where that is given, has at most ``levels`` levels."""
    # a text with few brackets cannot hold many levels, and that is seen at once
    if text is not None and text.count(b"[") + text.count(b"{") <= levels:
        return True
    if not isinstance(data, (dict, list)):
        return True
    inner = data.values() if isinstance(data, dict) else data
    # most of what is asked about is a long list of short texts
    nested = [one for one in inner if isinstance(one, (dict, list))]
    return levels > 0 and all(is_shallow(one, levels - 1) for one in nested)


def is_json(kind: str) -> bool:
    """Whether rich output of the MIME type ``kind`` is data, as nbformat has it; else it is a text."""
    return _JSON.fullmatch(kind) is not None
