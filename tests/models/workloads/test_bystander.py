"""A bystander's accounts: where its memory lies, how the tiling reaches its costs, exact against analytic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.kernel.pages.layout import MOVABLE, UNMOVABLE
from models.machine.tlb import load_tlb
from models.tlb.analytic import evaluate
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import SIZE_1G, SIZE_2M, SIZE_4K, Hierarchy
from models.workloads.bystander import Bystander, place
from models.workloads.bystander_memory import Footprint, lay_out
from models.workloads.bystander_preset import BystanderPreset, load_bystander
from models.workloads.map_reader import boot_sizes, present_sizes
from tests.models.kernel.machines import boot, check_pages
from tests.models.kernel.ownership import check_owners

SMALL = {"page_cache_bytes": "48MiB", "slab_bytes": "24MiB", "slab_holes": 0.25}


def laid_out(name: str = "kernel_build", **machine: Any) -> tuple[Any, BystanderPreset, Footprint]:
    kernel = boot({"memory": "1GiB", "cpus": 2, **machine}, {})
    preset = load_bystander(name).with_values(SMALL)
    return kernel, preset, lay_out(kernel, preset, np.random.default_rng(1))


def made(kernel: Any, preset: BystanderPreset, footprint: Footprint, tlb: str = "skylake_sp") -> Bystander:
    hierarchy = Hierarchy.from_preset(tlb)
    population = place(preset, footprint, hierarchy, np.random.default_rng(2))
    direct_map, regions = kernel.state.direct_map, population.regions
    return Bystander(
        preset.name, preset, population, load_tlb(tlb), None, hierarchy, boot_sizes(direct_map, regions),
        present_sizes(direct_map, regions),
    )  # fmt: skip


def test_the_footprint_is_the_allocators_and_its_holes_are_free() -> None:
    """Page cache lies in movable blocks, slabs in unmovable ones; freed slabs leave room among them."""
    kernel, preset, footprint = laid_out()
    assert len(footprint.page_cache) == preset.page_cache_bytes.value // 4096
    assert len(footprint.slab) == preset.slab_bytes.value // 4096
    assert len(np.unique(np.concatenate(footprint))) == len(footprint.page_cache) + len(footprint.slab)
    types = kernel.store.block_types.astype(int) ^ MOVABLE
    assert (types[footprint.page_cache >> 9] == MOVABLE).mean() > 0.95
    assert (types[footprint.slab >> 9] == UNMOVABLE).mean() > 0.95
    regions = np.unique(footprint.slab >> 9)
    taken = len(regions) * 512 - len(footprint.slab)
    assert taken > 0.2 * len(footprint.slab)
    check_owners(
        kernel,
        check_pages(kernel.store),
        others=[*footprint.page_cache.tolist(), *footprint.slab[:: 1 << round(preset.slab_order.value)].tolist()],
    )


def test_secret_pages_go_into_the_holes_and_split_what_is_hot() -> None:
    """Secret pages and slabs meet in the same pageblocks: a thousand reach a good part of the slabs' regions."""
    from models.kernel.limits import User  # noqa: PLC0415

    kernel, preset, footprint = laid_out()
    bystander = made(kernel, preset, footprint)
    task = kernel.first_task(User("user", 1 << 20))
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, 1024)
    kernel.fault(task, kernel.mmap(task, file, 1024, 0), 0, 1024)
    regions = np.unique(footprint.slab >> 9)
    levels = [kernel.state.direct_map.level(int(region) << 9) for region in regions]
    assert np.mean(np.array(levels) == 1) > 0.3
    bystander.set_tiling([(int(r), False, max(0, level - 1)) for r, level in zip(regions, levels, strict=True)])
    assert bystander.slowdown > 0


def test_tiling_changes_what_is_accounted_and_only_when_it_touches_the_footprint() -> None:
    """A region elsewhere is no change; one at 4K costs; back as it was the cost is the boot's again, to the bit."""
    bystander = made(*laid_out())
    region = int(bystander.population.regions[3])
    before = bystander.population.size_of(region)
    assert before == SIZE_2M
    assert not bystander.changes([(1 << 30, False, SIZE_4K), (region, False, SIZE_2M)])
    assert bystander.slowdown == 0
    states = [(int(r), False, SIZE_4K) for r in bystander.population.regions]
    assert bystander.changes(states)
    bystander.set_tiling(states)
    assert bystander.slowdown > 0
    bystander.spend(1_000_000, 0.0)
    expected = 1e6 * bystander.cpus * bystander.visits_per_ns * (bystander.present().cost_ns - bystander.boot.cost_ns)
    assert bystander.reach_ns == pytest.approx(expected)
    sizes = zip(bystander.population.regions.tolist(), bystander.boot_sizes.tolist(), strict=True)
    bystander.set_tiling([(region, False, size) for region, size in sizes])
    assert bystander.slowdown == 0


def test_uniform_tilings_do_not_change_the_present_one() -> None:
    """Asking what 4K, 2M and 1G alone would cost leaves the accounts as they were; 4K is the dearest."""
    bystander = made(*laid_out())
    kept = bystander.population.region_size.copy()
    visits = bystander.uniform()
    assert (bystander.population.region_size == kept).all()
    assert visits["4k"].cost_ns > visits["2m"].cost_ns
    assert 0 < bystander.walk_share(visits["4k"]) < 1
    assert bystander.relative_time(bystander.boot) == 1


def test_refills_cost_more_the_rarer_flushes_are_and_never_less_than_nothing() -> None:
    """One flush among many has less to empty: the cost of each falls with their rate, that of all rises."""
    bystander = made(*laid_out())
    rates = [1e-7, 1e-6, 1e-5]
    each = [bystander.visit(rate).refill_ns for rate in rates]
    assert each[0] > each[1] > each[2] > 0
    totals = [rate * cost for rate, cost in zip(rates, each, strict=True)]
    assert totals[0] < totals[1] < totals[2]


@pytest.mark.parametrize("tlb", ["skylake_sp", "zen5", "zen5_hashed", "ice_lake_sp"])
@pytest.mark.parametrize("name", ["kernel_build", "packet_forwarder"])
@pytest.mark.parametrize("split", [0.1, 0.4, 1.0])
def test_analytic_is_within_ten_percent_of_exact_on_a_footprint_of_the_allocator(
    tlb: str, name: str, split: float
) -> None:
    """On frames that the allocator gave, with part of the regions at 4K: walks per visit, where they are no rarity."""
    kernel, preset, footprint = laid_out(name)
    hierarchy = Hierarchy.from_preset(tlb)
    bystander = made(kernel, preset, footprint, tlb)
    population, random = bystander.population, np.random.default_rng(3)
    small = random.random(len(population.regions)) < split
    population.set_tiling(np.where(small, SIZE_4K, np.minimum(population.region_size, SIZE_2M)))
    # The same draw as `place` made, so that the trace follows the very law.
    again, parts = np.random.default_rng(2), {"page_cache": footprint.page_cache, "slab": footprint.slab}
    orders = {part: again.permutation(len(frames)) for part, frames in parts.items()}
    rates = {part: np.zeros(len(frames)) for part, frames in parts.items()}
    for stream in preset.streams.values():
        weights = np.arange(1, len(parts[stream.over]) + 1, dtype=float) ** -stream.law_exponent
        rates[stream.over][orders[stream.over]] += stream.share.value * weights / weights.sum()
    law = np.concatenate([rates["page_cache"], rates["slab"]])
    pfns = np.concatenate([footprint.page_cache, footprint.slab])
    visited = random.choice(len(pfns), 1_500_000, p=law / law.sum())
    codes = np.full(int(population.regions[-1]) + 1, SIZE_2M, np.uint8)
    codes[population.regions] = population.region_size
    exact = ExactTlb(hierarchy)
    frames = pfns[visited]
    warm = 500_000
    exact.run(frames[:warm], sizes=codes[frames[:warm] >> 9])

    counts = exact.run(frames[warm:], sizes=codes[frames[warm:] >> 9])
    walks = sum(counts.walks) / (len(frames) - warm)
    expected = evaluate(hierarchy, population).walks
    if walks > 0.005:
        assert expected == pytest.approx(walks, rel=0.10)
    else:
        assert expected < 0.01
    assert SIZE_1G not in population.region_size
