"""Which plots a sweep gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcore.views.sweeps import plot_sweep
from tests.simcore.views.sweep_tables import table


@pytest.mark.parametrize(
    ("policies", "memory", "files"),
    [(1, 3, ["m.png"]), (3, 1, ["m.png"]), (2, 3, ["m.map.png", "m.png"]), (9, 9, ["m.map.png"]), (1, 1, [])],
)
def test_plots_suit_the_design(tmp_path: Path, policies: int, memory: int, files: list[str]) -> None:
    """Curves over one parameter, a map over two, and no curves that could not be told apart."""
    runs = table(policies, memory)
    runs["m"] = runs.pop("direct_map.4k_bytes")
    made = plot_sweep(runs, ["policy", "memory"], ["m"], tmp_path / "plots")
    assert sorted(path.name for path in made) == files
