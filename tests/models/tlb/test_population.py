"""Footprints under a tiling: entries, shares and changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tlb.popularity import Popularity
from models.tlb.population import RATE_UNIT, Population


def _footprint(seed: int, coalesce: int = 4) -> Population:
    rng = np.random.default_rng(seed)
    frames = rng.choice(4 << 18, 5000, replace=False)
    return Population(Popularity.zipf(5000, 0.8), frames, coalesce=coalesce)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 60))
def test_bins_depend_on_the_tiling_and_not_on_the_way_to_it(seed: int, changes: int) -> None:
    """After any changes, region by region, the bins are to the bit those of the tiling set at once."""
    rng = np.random.default_rng(seed)
    walked, fresh = _footprint(seed), _footprint(seed)
    touched = rng.integers(0, 4 << 18, 30)
    for _ in range(changes):
        kind = rng.random()
        if kind < 0.6:
            walked.set_region(int(rng.choice(walked.regions)), int(rng.integers(0, 3)))
        elif kind < 0.8:
            walked.set_gigantic(int(rng.integers(0, 5)), int(rng.integers(0, 3)))
        else:
            walked.set_group_broken(int(rng.choice(touched)), bool(rng.random() < 0.7))
    groups = np.zeros((4 << 18) // 4, bool)
    groups[walked._groups[walked._broken]] = True
    for group in np.flatnonzero(groups):
        fresh.set_group_broken(int(group) * 4)
    fresh.set_tiling(walked.region_size)
    assert np.array_equal(walked.count, fresh.count)
    assert np.array_equal(walked.mass, fresh.mass)
    assert walked.leaf_lines_4k == fresh.leaf_lines_4k


def test_every_visit_is_served_by_one_entry() -> None:
    """Shares of entry sizes sum to one, and a region that turns to 4K moves exactly its pages' share."""
    population = _footprint(1)
    assert population.shares() == pytest.approx((0.0, 1.0, 0.0))
    region = int(population.regions[3])
    population.set_region(region, 0)
    rates = Popularity.zipf(5000, 0.8).rates
    frames = np.random.default_rng(1).choice(4 << 18, 5000, replace=False)
    assert population.shares()[0] == pytest.approx(rates[frames >> 9 == region].sum(), rel=1e-6)
    assert sum(population.shares()) == pytest.approx(1.0)


def test_a_broken_group_costs_one_entry_a_page() -> None:
    """Sixteen neighbours coalesce to four entries; touching one page makes them seven."""
    population = Population(Popularity.uniform(16), coalesce=4, size=0)
    assert population.entries() == (4, 0, 0)
    assert population.set_group_broken(5)
    assert population.entries() == (7, 0, 0)
    assert population.set_group_broken(6, False)
    assert population.entries() == (4, 0, 0)


def test_changes_elsewhere_touch_nothing() -> None:
    """A region without a page of the footprint is told apart from one with pages."""
    population = Population(Popularity.uniform(16))
    before = population.count.copy()
    assert not population.set_region(7, 0)
    assert not population.set_gigantic(7, 0)
    assert not population.set_group_broken(7 << 9)
    assert np.array_equal(before, population.count)


def test_gigantic_entries_sum_their_regions() -> None:
    """Two regions of one 1G page are one entry, and two entries of 2M after its split."""
    population = Population(Popularity.uniform(1024), size=2)
    assert population.entries() == (0, 0, 1)
    population.set_gigantic(0, 1)
    assert population.entries() == (0, 2, 0)


def test_host_page_bounds_the_reach() -> None:
    """With a host of 4K pages a 2M mapping of the guest needs 4K entries all the same."""
    population = Population(Popularity.uniform(1024), host_page=0)
    assert population.entries() == (1024, 0, 0)
    population.set_region(0, 0)
    assert population.entries() == (1024, 0, 0)


def test_rates_lose_nothing_in_fixed_point() -> None:
    """Rates are summed in integers; a page of a billion still counts to a few parts in a million."""
    population = Population(Popularity.zipf(1_000_000, 1.2), size=0)
    assert population.mass.sum() * RATE_UNIT == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("frames", "match"), [([1, 1], "distinct"), ([-1, 2], "negative"), ([1, 2, 3], "as many frames")]
)
def test_bad_frames_are_refused(frames: list[int], match: str) -> None:
    """Frames that repeat, are negative, or are too many."""
    with pytest.raises(ValueError, match=match):
        Population(Popularity.uniform(2), frames)
