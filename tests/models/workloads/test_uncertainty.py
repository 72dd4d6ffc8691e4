"""Intervals: draws stay inside the ranges, spread over them, and mean the same bystander on the same frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.machine.machine import MachineConfig, build_machine
from models.machine.tlb import load_tlb
from models.tlb.hierarchy import Hierarchy
from models.workloads.bystander import Bystander, place
from models.workloads.bystander_memory import lay_out
from models.workloads.bystander_preset import bystander_names, load_bystander
from models.workloads.map_reader import boot_sizes, present_sizes
from models.workloads.uncertainty import draw, interval_names, interval_rows
from tests.models.kernel.machines import boot

MACHINE: dict[str, Any] = {"memory": "1GiB", "cpus": 2, "tlb": "skylake_sp"}


@pytest.mark.parametrize("name", bystander_names())
def test_draws_lie_in_the_ranges_and_reach_both_ends(name: str) -> None:
    """Every value with a range varies over it; what has none stays, and so does what the layout has used.

    Twenty draws do, which is what an interval takes.
    """
    preset = load_bystander(name)
    drawn: dict[str, list[float]] = {}
    for one in draw(preset, 20, np.random.default_rng(1)):
        for path, stated in one.stated():
            drawn.setdefault(path, []).append(stated.value)
    for path, stated in preset.stated():
        values = drawn[path]
        if stated.range is None or path in {"cpus", "slab_order", "slab_holes"}:
            assert set(values) == {stated.value}
            continue
        low, high = stated.range
        assert low <= min(values) <= low + 0.2 * (high - low)
        assert low + 0.7 * (high - low) <= max(values) <= high


def test_an_interval_is_that_of_its_draws_and_noise_lets_others_win() -> None:
    """Names as announced, low below high; with results that scatter as much as the effect, 4K is best now and then."""
    kernel = boot(MACHINE, {})
    preset = load_bystander("memcached").with_values({"page_cache_bytes": "16MiB", "slab_bytes": "32MiB"})
    footprint = lay_out(kernel, preset, np.random.default_rng(1))
    hierarchy, machine = Hierarchy.from_preset("skylake_sp"), build_machine(MachineConfig(**MACHINE))
    population = place(preset, footprint, hierarchy, np.random.default_rng(2))
    sizes = [read(kernel.state.direct_map, population.regions) for read in (boot_sizes, present_sizes)]
    bystander = Bystander("cache", preset, population, load_tlb("skylake_sp"), None, hierarchy, *sizes)

    def rows(noise: float) -> dict[str, float]:
        return interval_rows(bystander, footprint, hierarchy, machine, 40, np.random.default_rng(3), noise)

    sure, noisy = rows(0.0), rows(0.05)
    assert set(sure) == set(interval_names())
    for name in interval_names():
        if name.startswith("slowdown_4k") and name.endswith("_low"):
            assert sure[name] < sure[name.replace("_low", "_high")]
    assert sure["best_at_4k"] == 0 < noisy["best_at_4k"]
