"""A release is compared with what the source gives."""

import base64
import json
from pathlib import Path

import torch

from handgrad.authoring.verify.dry_run import _same_content
from helpers.paths import ROOT


def test_another_processor_may_round_otherwise(tmp_path: Path) -> None:
    """Values of a solution may differ by rounding, and by nothing more; everything else must be the same."""
    released = ROOT / "release/training/exercise.json"
    for offset, same in ((1e-7, True), (1e-3, False)):
        data = json.loads(released.read_text(encoding="utf-8"))
        value = data["recorded"][0]["values"]["W1"]
        tensor = torch.frombuffer(bytearray(base64.b64decode(value["data"])), dtype=torch.float32) + offset
        value["data"] = base64.b64encode(tensor.numpy().tobytes()).decode()
        path = tmp_path / "exercise.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        assert _same_content(released, path) == same
    data = json.loads(released.read_text(encoding="utf-8"))
    data["name"] = "other"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert not _same_content(released, path)
