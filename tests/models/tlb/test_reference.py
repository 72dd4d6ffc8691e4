"""The compiled exact model against the plain one, which defines it."""



from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.machine.tlb import PageSize, tlb_names
from models.tlb.counts import Tiling
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import Array, Hierarchy
from models.tlb.reference import ReferenceTlb
from models.tlb.stages import BLOCK

Policy = Literal["lru", "plru", "random"]


def _with_policy(hierarchy: Hierarchy, policy: Policy, hashed: bool) -> Hierarchy:
    first, second = (
        tuple(replace(array, replacement=policy, hashed=hashed) for array in level)
        for level in hierarchy.levels
    )
    return replace(hierarchy, levels=(first, second))


def _pages(rng: np.random.Generator, count: int, gigs: int) -> np.ndarray:
    """Near and far pages, with repeats, runs and a hot set, over some 1G pages."""
    total = gigs << 18
    hot = rng.integers(0, total, 300)
    kinds = rng.random(count)
    pages = np.where(
        kinds < 0.5, hot[np.minimum(rng.zipf(1.2, count), 300) - 1], rng.integers(0, total, count)
    )
    runs = np.cumsum(kinds > 0.4) % 2048
    pages = np.where(kinds > 0.8, runs, pages)
    again = np.flatnonzero(kinds < 0.1)
    pages[again] = pages[np.maximum(again - 1, 0)]
    return pages.astype(np.int64)


def _tiling(rng: np.random.Generator, gigs: int, coalesce: int) -> Tiling:
    codes = rng.integers(0, 2, gigs * 512).astype(np.uint8)
    for gig in range(gigs):
        if rng.random() < 0.4:
            codes[gig * 512 : (gig + 1) * 512] = 2
    broken = rng.random(gigs * (1 << 18) // coalesce) < rng.random()
    return Tiling(codes, broken if rng.random() < 0.7 else None)


def _compare(hierarchy: Hierarchy, seed: int, stretches: int = 4, length: int = 700) -> None:
    rng = np.random.default_rng(seed)
    gigs = int(rng.integers(1, 7))
    timing = [int(v) for v in rng.integers(0, 40, 3)] if rng.random() < 0.5 else [0, 0, 0]
    settings_ = {
        "seed": seed,
        "issue_cycles": timing[0],
        "walk_start_cycles": timing[1],
        "reference_cycles": timing[2],
    }
    exact, plain = ExactTlb(hierarchy, **settings_), ReferenceTlb(hierarchy, **settings_)
    for _ in range(stretches):
        tiling = _tiling(rng, gigs, hierarchy.coalesce_4k)
        pages = _pages(rng, length, gigs)
        if rng.random() < 0.3:
            sizes = rng.integers(0, 4, length).astype(np.uint8)
            # The highest page numbers: a float in compiled code would lose their last bits.
            pages = pages + (int(rng.integers(0, 4)) << 50)
            assert exact.run(pages, sizes=sizes) == plain.run(pages.tolist(), sizes=sizes.tolist())
        else:
            assert exact.run(pages, tiling=tiling) == plain.run(pages.tolist(), tiling=tiling)
        what = rng.random()
        if what < 0.3:
            exact.flush()
            plain.flush()
        elif what < 0.8:
            for page in pages[rng.integers(0, length, 60)]:
                exact.invalidate(int(page))
                plain.invalidate(int(page))
    assert exact.counts == plain.counts
    assert exact.counts.accesses == stretches * length


@pytest.mark.parametrize("name", tlb_names())
def test_every_preset_counts_as_the_reference(name: str) -> None:
    """Hits per level, walks and walk references of every preset are those of the plain model."""
    for seed in range(3):
        # Longer than a block of the compiled model.
        _compare(Hierarchy.from_preset(name), seed, stretches=3, length=BLOCK + 300)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(tlb_names()),
    host=st.sampled_from([None, *get_args(PageSize)]),
    policy=st.sampled_from(get_args(Policy)),
    hashed=st.booleans(),
    tables=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_random_configurations_count_as_the_reference(
    name: str, host: PageSize | None, policy: Policy, hashed: bool, tables: bool, seed: int
) -> None:
    """The same on a hundred combinations of preset, replacement, index, host page, tiling, flushes."""
    hierarchy = _with_policy(Hierarchy.from_preset(name, host_page=host), policy, hashed)
    if not tables:
        hierarchy = replace(hierarchy, psc=(0, 0, 0))
    _compare(hierarchy, seed)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    ways=st.sampled_from([1, 2, 3, 5, 12, 32, 40, 64, 96, 128, 200]),
    sets=st.sampled_from([1, 3, 8, 128]),
    policy=st.sampled_from(get_args(Policy)),
    shared=st.booleans(),
    coalesce=st.sampled_from([1, 4, 16]),
    second=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_odd_shapes_count_as_the_reference(
    ways: int, sets: int, policy: Policy, shared: bool, coalesce: int, second: bool, seed: int
) -> None:
    """Shapes that no preset has: odd ways, a size in two arrays of both levels, no second level."""
    one = Array(("4K", "2M", "1G"), 6, 3, policy)
    two = Array(("4K", "1G"), ways * sets, ways, policy)
    level2 = (Array(("4K", "2M"), 2 * ways * sets, ways, policy), two) if second else ()
    hierarchy = Hierarchy(((one, two) if shared else (one,), level2), True, coalesce, 3, (2, 30, 1))
    _compare(hierarchy, seed, stretches=3, length=500)


@pytest.mark.parametrize("ways", [33, 64, 127, 128, 129, 200])
@pytest.mark.parametrize("sets", [1, 3, 8])
def test_long_sets_count_as_the_reference(ways: int, sets: int) -> None:
    """Sets that overflow, around the longest vector: one alone and several, with invalidations."""
    hierarchy = Hierarchy(((Array(("4K", "2M", "1G"), ways * sets, ways),), ()))
    rng = np.random.default_rng(ways)
    pages = np.where(rng.random(2500) < 0.5, rng.integers(0, ways * sets, 2500), rng.integers(0, 4000, 2500))
    sizes = np.zeros(2500, np.uint8)
    exact, plain = ExactTlb(hierarchy), ReferenceTlb(hierarchy)
    for _ in range(2):
        assert exact.run(pages, sizes=sizes) == plain.run(pages.tolist(), sizes=sizes.tolist())
        for page in pages[:50].tolist():
            exact.invalidate(page)
            plain.invalidate(page)
    assert sum(exact.counts.l1_hits) > 500
    assert sum(exact.counts.walks) > 500


@pytest.mark.parametrize("policy", get_args(Policy))
def test_a_trace_in_pieces_counts_as_the_whole(policy: Policy) -> None:
    """Where the trace is cut, by the caller or into blocks, changes no count: later levels see the same order."""
    rng = np.random.default_rng(5)
    hierarchy = _with_policy(Hierarchy.from_preset("zen3"), policy, hashed=False)
    pages, tiling = _pages(rng, 3 * BLOCK, 4), _tiling(rng, 4, hierarchy.coalesce_4k)
    whole, pieces = ExactTlb(hierarchy, issue_cycles=3, reference_cycles=9), ExactTlb(
        hierarchy, issue_cycles=3, reference_cycles=9
    )
    whole.run(pages, tiling=tiling)
    for piece in np.split(pages, [1, 2, 100, BLOCK, BLOCK + 1, 2 * BLOCK + 77]):
        pieces.run(piece, tiling=tiling)
    assert whole.counts == pieces.counts
    assert sum(whole.counts.walks) > 100
