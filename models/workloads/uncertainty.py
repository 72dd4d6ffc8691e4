"""How sure a bystander's slowdown is: the same footprint under bystanders drawn from the ranges of its values."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.stats import qmc

from models.machine.costs import CostValue
from models.machine.machine import Machine
from models.tlb.hierarchy import SIZES, Hierarchy
from models.workloads.bystander import Bystander, place
from models.workloads.bystander_memory import Footprint
from models.workloads.bystander_preset import BystanderPreset

__all__ = ["INTERVAL", "draw", "drawn_bystanders", "interval_names", "interval_rows"]

INTERVAL: Final = (5, 95)
"""Percentiles that bound an interval."""
PAIRS: Final = (("4k", "2m"), ("4k", "1g"), ("2m", "1g"))
"""Uniform tilings that are compared: the smaller entries against the larger."""
_LAID_OUT: Final = ("cpus", "slab_order", "slab_holes")
"""Values that the layout has used already; a sweep over ``bystanders.<name>.values`` varies these too."""


def draw(preset: BystanderPreset, count: int, random: np.random.Generator) -> list[BystanderPreset]:
    """Bystanders whose values lie anywhere in their ranges, alike for all: sizes and rates on a logarithmic scale.

    A Latin hypercube: each range is cut into ``count`` parts, and every part is drawn from once, so that few draws
    reach both ends of all ranges.
    """
    unsure = [(path, stated) for path, stated in preset.stated() if stated.range is not None and path not in _LAID_OUT]
    if not unsure:
        return [preset] * count
    parts = qmc.LatinHypercube(len(unsure), rng=random).random(count)
    return [
        preset.with_values(
            {path: _between(path, stated, float(part)) for (path, stated), part in zip(unsure, row, strict=True)}
        )
        for row in parts
    ]


def _between(path: str, stated: CostValue, part: float) -> float:
    assert stated.range is not None
    low, high = stated.range
    if path == "visits_per_s" or path.endswith("_bytes"):
        number = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
        return round(number) if path.endswith("_bytes") else number
    return low + part * (high - low)


def drawn_bystanders(
    bystander: Bystander,
    footprint: Footprint,
    hierarchy: Hierarchy,
    machine: Machine,
    count: int,
    random: np.random.Generator,
) -> list[Bystander]:
    """Bystanders drawn from the ranges of one, on its frames and under its present tiling.

    One that is smaller has a part of the frames, as they come; one that is larger has no more than there are.
    """
    sizes = bystander.population.region_size
    boot = bystander.boot_sizes
    regions = bystander.population.regions
    drawn = []
    for preset in draw(bystander.preset, count, random):
        part = Footprint(
            footprint.page_cache[: max(1, int(preset.page_cache_bytes.value) >> 12)],
            footprint.slab[: max(1, int(preset.slab_bytes.value) >> 12)],
        )
        population = place(preset, part, hierarchy, random)
        at = np.searchsorted(regions, population.regions)
        drawn.append(
            Bystander(
                bystander.name, preset, population, machine.tlb, machine.host_page, hierarchy, boot[at], sizes[at]
            )
        )
    return drawn


def interval_names() -> list[str]:
    """Names that `interval_rows` gives."""
    bounded = ["slowdown_reach", *(f"slowdown_{small}_{large}" for small, large in PAIRS)]
    return [f"{name}_{end}" for name in bounded for end in ("low", "high")] + [
        f"best_at_{size.lower()}" for size in SIZES
    ]


def interval_rows(
    bystander: Bystander, footprint: Footprint, hierarchy: Hierarchy, machine: Machine, count: int,
    random: np.random.Generator, noise: float = 0.0,
) -> dict[str, float]:  # fmt: skip
    """Bounds of the slowdown by reach and of each uniform tiling's cost, by name with ``_low`` or ``_high``.

    ``best_at_4k`` (2m, 1g) is the part of them that is fastest with entries of that size alone, as benchmarks tell
    whose results scatter by ``noise`` (standard deviation, relative).
    """
    values: dict[str, list[float]] = {}
    for other in drawn_bystanders(bystander, footprint, hierarchy, machine, count, random):
        values.setdefault("slowdown_reach", []).append(other.slowdown)
        times = {size: other.relative_time(visit) for size, visit in other.uniform().items()}
        for small, large in PAIRS:
            values.setdefault(f"slowdown_{small}_{large}", []).append(times[small] / times[large] - 1)
        told = {size: time * (1 + noise * random.standard_normal()) for size, time in times.items()}
        best = min(told, key=lambda size: told[size])
        for size in times:
            values.setdefault(f"best_at_{size}", []).append(float(size == best))
    rows: dict[str, float] = {}
    for name, numbers in values.items():
        if name.startswith("best_at_"):
            rows[name] = float(np.mean(numbers))
            continue
        rows[f"{name}_low"], rows[f"{name}_high"] = (float(v) for v in np.percentile(numbers, INTERVAL))
    return rows
