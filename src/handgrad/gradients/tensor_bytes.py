"""Tensors as bytes: a description and raw data, validated before it becomes a tensor. Never pickle."""

import math
from typing import Any

import torch

__all__ = ["DTYPES", "MAX_DIMENSIONS", "MAX_PAYLOAD", "FrameError", "pack_tensor", "type_name", "unpack_tensor"]

MAX_PAYLOAD = 1 << 26
"""Raw bytes in one frame (64 MiB)."""
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
        *("int8", "uint8", "int16", "int32", "int64", "bool"),
    )
}
"""The dtypes that may be sent, by name."""
MAX_DIMENSIONS = 16
type_name = {dtype: name for name, dtype in DTYPES.items()}


class FrameError(Exception):
    """Bytes that are not a valid frame: the sender broke the protocol."""


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
        An unknown dtype, an invalid shape, or a number of bytes that does not fit them.
    """
    name, shape = description.get("dtype"), description.get("shape")
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise FrameError("a tensor's dtype is not one that may be sent")
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(size) is int and 0 <= size <= MAX_PAYLOAD for size in shape)
        # also for an empty tensor: torch computes the strides of its other dimensions
        or math.prod(size for size in shape if size) > MAX_PAYLOAD
    ):
        raise FrameError("a tensor's shape is not a list of sizes")
    count = math.prod(shape)
    if count * dtype.itemsize != len(data):
        raise FrameError(f"a tensor of shape {tuple(shape)} does not have {len(data):,} bytes")
    if not count:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
