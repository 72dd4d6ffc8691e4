"""The figure of what tiling costs: its runs tell what they should, and it is drawn from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from models.tiling_figure import BYSTANDERS, TLBS, draw, flush_cost, secret_memory, slowdowns

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """The two configurations on a small machine with small bystanders."""
    sizes = "{page_cache_bytes: 16MiB, slab_bytes: 16MiB}"
    anywhere, secret = tmp_path / "anywhere.yaml", tmp_path / "secret.yaml"
    anywhere.write_text(
        f"base: {CONFIGS / 'what_tiling_costs.yaml'}\nmachine: {{memory: 2GiB}}\nbystanders:\n"
        + "".join(f"  {name}: {{uncertainty: 4, values: {sizes}}}\n" for name in BYSTANDERS)
    )
    secret.write_text(
        "base: anywhere.yaml\nworkloads:\n  fragmenter: {share: 0.0}\n  bomb: {kind: fork_bomb, tasks: 8, hold: 1ms}\n"
    )
    return anywhere, secret


def test_more_at_4k_costs_more_and_more_cpus_make_getting_there_dearer(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    """Slowdowns rise with the share, flush costs with share and CPUs, and both are in the picture."""
    anywhere, secret = small
    rows = {TLBS[0]: slowdowns(TLBS[0], (0.2, 1.0), anywhere), TLBS[1]: slowdowns(TLBS[1], (0.2, 1.0), anywhere)}
    for name in BYSTANDERS:
        low, high = (row[f"{name}.slowdown_reach"] for row in rows[TLBS[0]])
        assert low < high
        assert rows[TLBS[0]][1][f"{name}.slowdown_reach_low"] <= rows[TLBS[0]][1][f"{name}.slowdown_reach_high"]
    tasks = secret_memory((8, 64), secret)
    assert [row["tasks"] for row in tasks] == [8, 64]
    assert tasks[0]["share"] <= tasks[1]["share"] < 0.5
    flushes = {cpus: flush_cost(cpus, 1, anywhere) for cpus in (2, 32)}
    assert [row["seconds"] for row in flushes[2]] == sorted(row["seconds"] for row in flushes[2])
    assert flushes[2][-1]["seconds"] < flushes[32][-1]["seconds"]
    path = draw(rows, tasks, flushes, tmp_path / "figure.png")
    with Image.open(path) as image:
        assert image.width > 1000
