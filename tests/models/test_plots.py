"""The picture of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models.plots import tiling
from simcore.experiment import Experiment
from simcore.simulation import simulate

MODEL = "tests.simcore.queue_model:QueueModel"


def test_the_tiling_is_drawn(tmp_path: Path) -> None:
    """A picture with the colours of all three sizes, 4K included though it is a thousandth of the memory."""
    result = simulate(
        Experiment.from_mapping(
            {"machine": {"memory": "16GiB"}, "workloads": {"bomb": {"kind": "fork_bomb", "tasks": 64, "hold": 0}}}
        )
    )
    path = tiling(result, tmp_path)
    assert path == tmp_path / "tiling.png"
    with Image.open(tmp_path / "tiling.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for color in ((0xD5, 0x5E, 0x00), (0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2)):
        assert (pixels == color).all(axis=1).sum() > 2000


def test_a_run_of_another_model_has_none(tmp_path: Path) -> None:
    """Without the series there is no picture."""
    result = simulate(Experiment.from_mapping({"model": MODEL, "customers": 3}))
    assert tiling(result, tmp_path) is None
    assert not list(tmp_path.iterdir())
