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

__all__ = ["Connection", "Frame", "FrameReader", "pack"]

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

    def received(self, connection: Connection) -> Frame:
        """The next frame of a service's ``connection``; the process ends with its other end."""
        frame = self.next_frame(lambda: connection.recv(1 << 18))
        if frame is None:
            raise SystemExit
        return frame

    def request(self, connection: Connection) -> tuple[Frame, dict[str, bytes]]:
        """What a service is asked, once it has said that it serves, and the files that follow: they are written here.

        What has no name is no file, and not written.
        """
        connection.sendall(pack({"serving": True}))
        asked = self.received(connection)
        beside = (self.received(connection) for _ in range(asked[0]["files"]))
        files = {header["file"]: content for header, content in beside}
        for name, content in files.items():
            if name:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_bytes(content)
        return asked, files

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add ``data``, and yield the frames that are complete.

        A length over its limit, or a header that is not a JSON object, is a :class:`FrameError`.
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
