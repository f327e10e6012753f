"""The names that the exercises train on: read and checked, or fetched as the lecture has them.

A names file is plain ASCII, one name of the letters a to z a line. Anything else would become extra characters of the
model's vocabulary without a word, so it is refused here, with the line and the way out.
"""

import contextlib
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from handgrad.errors import DataError

__all__ = ["LECTURE_SHA256", "LECTURE_URL", "fetch_lecture_names", "read_names", "write_lecture_names"]

LECTURE_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
LECTURE_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

_TIMEOUT = 30  # seconds without a byte, not for the whole download
_SHOWN = 40  # characters of an offending line in a message
_HTML = re.compile(rb"<!doctype\b|<html\b", re.IGNORECASE)
_NAME = re.compile(rb"[a-z]+")
_BOMS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_REWRITE = "save it as plain text with one lower-case name (a to z) a line"


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names in a file, having checked every line.

    Parameters
    ----------
    path : str or path
        A file with one name of the letters a to z a line; the last line may lack its newline.

    Returns
    -------
    list of str
        The names in the file's order, duplicates kept; never empty.

    Raises
    ------
    DataError
        The file cannot be read or a line is no name; the message says which line (counted from 1) and what to do.
    """
    content = _read(path)
    if not content:
        raise DataError(f"{path}: the file is empty; download it again, or {_REWRITE}")
    _refuse_html(path, content)
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    wrong = [number for number, line in enumerate(lines, 1) if not _NAME.fullmatch(line)]
    if wrong:
        line = lines[wrong[0] - 1]
        what, remedy = _fault(line, first=wrong[0] == 1)
        more = f" ({len(wrong)} lines in all are not names)" if len(wrong) > 1 else ""
        raise DataError(f"{path}, line {wrong[0]}: {_shown(line)} {what}{more}; {remedy}")
    return content.decode("ascii").split()


def fetch_lecture_names(url: str = LECTURE_URL, cache: Path | None = None, *, known_hash: str = LECTURE_SHA256) -> Path:
    """Download the lecture's own names.txt once, and return the cached copy.

    Parameters
    ----------
    url : str
        Where the file is.
    cache : Path, optional
        The folder that keeps it; by default the user's cache folder for handgrad.
    known_hash : str
        The SHA-256 that the file must have, in hexadecimal.

    Returns
    -------
    Path
        The file in the cache, whose SHA-256 is `known_hash`.

    Raises
    ------
    DataError
        pooch is not installed, the download failed, or the file is not the one expected; nothing is left behind.
    """
    try:
        # only this function needs them, and a student's installation has neither
        import pooch  # type: ignore[import-untyped]  # it ships no types
        import requests
    except ImportError as error:
        raise DataError(
            'downloading the lecture\'s names needs pooch, which is not installed; run: pip install "handgrad[grade]"'
        ) from error

    known_hash = known_hash.lower()
    folder = Path(pooch.os_cache("handgrad")) if cache is None else cache

    def download(source: str, output: str, _caller: object) -> None:
        # pooch's own downloader leaves the connection open when it fails, and the message of its check lacks the
        # address, the size and the way out
        with requests.get(source, stream=True, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            content = response.content
        got = hashlib.sha256(content).hexdigest()
        if got != known_hash:
            page = ", a web page" if _HTML.search(content[:1024]) else ""
            raise DataError(
                f"{source}: expected a file with SHA-256 {known_hash}, got {got} ({len(content):,} bytes{page}); "
                f"it was not kept. {_by_hand(source)}"
            )
        Path(output).write_bytes(content)

    try:
        with _quiet(pooch.get_logger()):
            return Path(
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{known_hash}",
                    fname=f"lecture-names-{known_hash[:12]}.txt",
                    path=folder,
                    downloader=download,
                )
            )
    except DataError:
        raise
    except (OSError, ValueError) as error:  # those of requests are OSErrors
        raise DataError(
            f"{url}: expected a file with SHA-256 {known_hash}, got no file into {folder}: {error}. {_by_hand(url)}"
        ) from error


def write_lecture_names(
    destination: Path,
    *,
    force: bool = False,
    url: str = LECTURE_URL,
    cache: Path | None = None,
    known_hash: str = LECTURE_SHA256,
) -> Path:
    """Put the lecture's own names.txt at a place of the caller's choice.

    A file there that is the lecture's already is left alone, and nothing is downloaded. A symbolic link is replaced,
    not followed: the file that it pointed to keeps its content.

    Parameters
    ----------
    destination : Path
        The file to write; its folder must exist.
    force : bool
        Replace a different file that stands there.
    url, cache, known_hash
        As for `fetch_lecture_names`.

    Returns
    -------
    Path
        `destination`.

    Raises
    ------
    DataError
        A different file stands there and `force` is not set, the download failed, or the file cannot be written.
    """
    if destination.is_file() and hashlib.sha256(_read(destination)).hexdigest() == known_hash.lower():
        return destination
    if destination.is_dir():
        raise DataError(f"{destination}: is a folder; give the path of the file to write, such as names.txt in it")
    if os.path.lexists(destination) and not force:
        raise DataError(f"{destination}: another file stands here; move it away, or say force to replace it")
    content = _read(fetch_lecture_names(url, cache, known_hash=known_hash))
    # not tempfile: its files are readable by their owner only, and this one is for a whole class
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(destination)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"{destination}: cannot be written: {error.strerror or error}; the folder must exist and be writable"
        ) from error
    return destination


def _read(path: str | os.PathLike[str]) -> bytes:
    file = Path(path)
    try:
        if file.is_dir():
            raise DataError(f"{path}: is a folder, not a file; give the path of the file with the names in it")
        if file.exists() and not file.is_file():
            raise DataError(f"{path}: is not a regular file; give the path of a text file with the names")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such file (looked in {Path.cwd()}); put names.txt there, or give the path where it is"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; check the file and its rights") from error


def _refuse_html(path: str | os.PathLike[str], content: bytes) -> None:
    found = _HTML.search(content)
    if found:
        number = content.count(b"\n", 0, found.start()) + 1
        line = content.split(b"\n", number)[number - 1]
        raise DataError(
            f"{path}, line {number}: {_shown(line)} is HTML: the web page was saved in place of the raw file; "
            "open the page, choose 'Raw' or 'Download raw file', and save that"
        )


def _fault(line: bytes, *, first: bool) -> tuple[str, str]:
    """Say what is wrong with one line (without its newline) and what to do about the file, in the order of causes."""
    mark = next((name for mark, name in _BOMS.items() if first and line.startswith(mark)), None)
    if mark:
        return f"begins with a byte order mark ({mark})", f"{_REWRITE}, as 'UTF-8' without BOM"
    if b"\0" in line:
        return "has NUL bytes (is the file UTF-16, or not text?)", f"{_REWRITE}, as 'UTF-8' without BOM"
    if b"\r" in line:
        return "has a carriage return (Windows line ends, CRLF)", "save it with Unix line ends (LF), or run dos2unix"
    if not line:
        return "is a blank line", "delete the blank lines"
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8 text", _REWRITE
    if re.fullmatch(r"[./\w-]*/names\.txt", text):
        # git without symbolic links (Windows) writes the link's target into the file
        return "is a path, what a checkout without symbolic links leaves", "copy the file that it names over this one"
    if re.search(r"\s", text):
        return "has spaces", "put each name on a line of its own, without spaces"
    if not text.isascii():
        odd = next(character for character in text if not character.isascii())
        return f"has the non-ASCII character {odd!a}", "write the names with the letters a to z only"
    if text.isalpha():
        return "has capitals", "write the names in lower case"
    odd = next(character for character in text if not character.isalpha())
    return f"has the character {odd!r}", "keep one name a line, of the letters a to z only"


def _shown(line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 3] + b"...")
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def _by_hand(url: str) -> str:
    return f"Check the network and try again, or download {url} by hand and give its path"


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
