"""Data that parameter sets have in common: held once, and still everyone's own."""

from typing import Any

import pytest
import torch

from handgrad.gradients.shared_memory import LEAST, share_data

NUMBER = LEAST // 8 * 2


def _made() -> dict[str, Any]:
    """What locked cells may leave behind."""
    whole = torch.arange(NUMBER)
    return {
        "data": torch.arange(NUMBER),
        "names": [f"name {number}" for number in range(5000)],
        "whole": whole,
        "part": whole[: NUMBER // 2],
        "weights": torch.ones(NUMBER, requires_grad=True),
        "small": torch.arange(3),
        "listed": [torch.arange(NUMBER)],
    }


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_shared(tensor: torch.Tensor) -> bool:
    return bool(torch._C._is_cow_tensor(tensor))


@pytest.fixture
def both() -> tuple[dict[str, Any], dict[str, Any]]:
    """Two namespaces after the same cells, the second having what it can in common with the first."""
    first, second = _made(), _made()
    share_data(second, first)
    return first, second


def test_what_is_shared(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Large tensors of data and lists of texts are; tensors with a gradient, a part, a second holder are not."""
    first, second = both
    assert {name for name, value in second.items() if isinstance(value, torch.Tensor) and _is_shared(value)} == {"data"}
    assert all(text is other for text, other in zip(first["names"], second["names"], strict=True))
    assert first["names"] is not second["names"]
    assert _memory(second["whole"]) == _memory(second["part"])
    for name, value in _made().items():
        assert name == "listed" or (torch.equal(value, second[name]) if name != "names" else value == second[name])


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    "write",
    [
        lambda data: data.add_(1),
        lambda data: data[3:5].zero_(),
        lambda data: data.numpy().__setitem__(slice(0, 9), 7),
        lambda data: data.untyped_storage().fill_(1),
        lambda data: torch.from_dlpack(data).zero_(),
        lambda data: data.view(-1, 2)[0].fill_(9),
    ],
)
def test_who_writes_has_a_copy(both: tuple[dict[str, Any], dict[str, Any]], side: int, write: Any) -> None:
    """Whichever side writes to the data, and however, the other side's stay as they were."""
    write(both[side]["data"])
    assert not torch.equal(both[side]["data"], torch.arange(NUMBER))
    assert torch.equal(both[1 - side]["data"], torch.arange(NUMBER))


def test_what_differs_stays() -> None:
    """Data with other values, another type or another layout, or of another name, are not touched."""
    first, second = _made(), _made()
    first["data"] = first["data"].float()
    first["names"][0] = "another"
    second["more"] = torch.arange(NUMBER)
    kept = list(second["names"])
    share_data(second, first)
    assert not any(_is_shared(second[name]) for name in ("data", "more"))
    assert second["data"].dtype == torch.int64
    assert second["names"] == kept
    alone = {"data": torch.arange(NUMBER)}
    share_data(alone, {})
    share_data(alone, alone)
    assert not _is_shared(alone["data"])
