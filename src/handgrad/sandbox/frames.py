"""The only format that crosses the border of the sandbox: a JSON header and raw bytes.

A frame is two little-endian unsigned 32-bit lengths, a JSON object and a payload. The reader trusts nothing: lengths
are checked before data is kept, and anything invalid is a :class:`FrameError`. Pickle is never used.
"""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from handgrad.gradients.tensor_bytes import MAX_PAYLOAD, FrameError
from handgrad.notebook import untrusted_json

__all__ = ["Connection", "Frame", "FrameReader", "files_received", "next_or_exit", "pack"]

MAX_HEADER = 1 << 18
"""Maximum bytes of JSON in one frame."""
_LENGTHS = struct.Struct("<II")


Frame = tuple[dict[str, Any], bytes]


class Connection(Protocol):
    """One end of a channel, like a socket."""

    def sendall(self, data: bytes, /) -> None:
        """Send ``data``."""

    def recv(self, size: int, /) -> bytes:
        """The next bytes; empty if the other end is closed."""


def pack(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


class FrameReader:
    """Cut a stream of bytes into frames, in whatever pieces it is received."""

    def __init__(self, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_header, self.max_payload = max_header, max_payload
        self._buffer = bytearray()

    def next_frame(self, receive: Callable[[], bytes]) -> Frame | None:
        """The next frame of the bytes that ``receive`` returns; None at their end. Errors are those of :meth:`feed`."""
        data = b""
        while (frame := next(self.feed(data), None)) is None:
            if not (data := receive()):
                return None
        return frame

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add ``data``, and yield the frames that are complete.

        Raises
        ------
        FrameError
            A length over its limit, or a header that is not a JSON object.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTHS.size:
            header_size, payload_size = _LENGTHS.unpack_from(self._buffer)
            if header_size > self.max_header or payload_size > self.max_payload:
                raise FrameError(f"a frame of {header_size:,} + {payload_size:,} bytes is over the limit")
            start = _LENGTHS.size + header_size
            if len(self._buffer) < start + payload_size:
                return
            text = bytes(self._buffer[_LENGTHS.size : start])
            payload = bytes(self._buffer[start : start + payload_size])
            del self._buffer[: start + payload_size]
            try:
                header = untrusted_json.loads(text)
            except ValueError as error:
                raise FrameError("a frame's header is not JSON") from error
            if not isinstance(header, dict) or not untrusted_json.is_shallow(header, text=text):
                raise FrameError("a frame's header is not a JSON object of few levels")
            yield header, payload


def next_or_exit(reader: FrameReader, connection: Connection) -> Frame:
    """The next frame from the trusted process; when it has closed the connection, this process ends."""
    frame = reader.next_frame(lambda: connection.recv(1 << 18))
    if frame is None:
        raise SystemExit
    return frame


def files_received(reader: FrameReader, connection: Connection, number: int) -> dict[str, bytes]:
    """So many files, a frame each, by name; those with a name are written into the working folder too."""
    found = [next_or_exit(reader, connection) for _ in range(number)]
    files = {header["file"]: content for header, content in found}
    for name, content in files.items():
        if name:
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return files
