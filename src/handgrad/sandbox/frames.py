"""The one format that crosses the sandbox's border: a JSON header and raw bytes.

A frame is two little-endian unsigned 32-bit lengths, a JSON object and a payload. The side that reads trusts nothing:
lengths are checked before a byte is kept, and what does not fit is a :class:`FrameError`. No pickle, ever.
"""

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import torch

from handgrad import plain

__all__ = ["Frame", "FrameError", "FrameReader", "pack", "pack_tensor", "unpack_tensor"]

MAX_HEADER = 1 << 18
"""Bytes of JSON in one frame."""
MAX_PAYLOAD = 1 << 26
"""Raw bytes in one frame (64 MiB)."""
_LENGTHS = struct.Struct("<II")

DTYPES: dict[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}
"""The dtypes that may cross, by name."""
MAX_DIMENSIONS = 16

type_name = {dtype: name for name, dtype in DTYPES.items()}

Frame = tuple[dict[str, Any], bytes]


class FrameError(Exception):
    """Bytes that are no frame; who sent them has broken the protocol."""


def pack(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


class FrameReader:
    """Cut a stream of bytes into frames, whatever the pieces in which it comes."""

    def __init__(self, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_header, self.max_payload = max_header, max_payload
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take ``data`` and give the frames that are complete.

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
                header = plain.loads(text)
            except ValueError as error:
                raise FrameError("a frame's header is not JSON") from error
            if not isinstance(header, dict) or not plain.is_shallow(header, text=text):
                raise FrameError("a frame's header is not a JSON object of few levels")
            yield header, payload


def pack_tensor(tensor: torch.Tensor) -> tuple[dict[str, Any], bytes]:
    """A dense CPU tensor as a description (dtype, shape) and its bytes in row-major order."""
    flat = tensor.detach().contiguous().reshape(-1)
    data = bytes(flat.view(torch.uint8).numpy().data) if flat.numel() else b""
    return {"dtype": type_name[tensor.dtype], "shape": list(tensor.shape)}, data


def unpack_tensor(description: dict[str, Any], data: bytes) -> torch.Tensor:
    """The tensor that :func:`pack_tensor` described.

    Raises
    ------
    FrameError
        An unknown dtype, a shape that is no shape, or a number of bytes that does not fit them.
    """
    name, shape = description.get("dtype"), description.get("shape")
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise FrameError("a tensor's dtype is not one that may cross")
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(size) is int and 0 <= size <= MAX_PAYLOAD for size in shape)
        # of an empty tensor too: torch works out the strides of its other dimensions
        or math.prod(size for size in shape if size) > MAX_PAYLOAD
    ):
        raise FrameError("a tensor's shape is not a list of sizes")
    count = math.prod(shape)
    if count * dtype.itemsize != len(data):
        raise FrameError(f"a tensor of shape {tuple(shape)} does not have {len(data):,} bytes")
    if not count:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
