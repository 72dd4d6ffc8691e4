"""The kernel's formulas, each at its corners; recorded values are checked in test_zones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.kernel.watermarks import (
    lowmem_reserve,
    min_free_kbytes,
    normal_threshold,
    pcp_marks,
    recommended_min_free_kbytes,
    zone_batchsize,
    zone_highsize,
    zone_watermarks,
)


def test_min_free_kbytes_is_a_clamped_root() -> None:
    """sqrt(16 * kB): 16 MiB of memory gives 512 kB; 128 kB at least, 256 MiB at most."""
    assert min_free_kbytes(4096) == 512
    assert min_free_kbytes(1) == 128
    assert min_free_kbytes(1 << 40) == 262144


def test_huge_pages_ask_for_eleven_pageblocks_a_zone_but_a_twentieth_of_memory_at_most() -> None:
    """2 + 3 * 3 pageblocks per zone, in kB."""
    assert recommended_min_free_kbytes(2, 1 << 30) == 2 * 11 * 512 * 4
    assert recommended_min_free_kbytes(3, 1 << 30, 1024) == 3 * 11 * 1024 * 4
    assert recommended_min_free_kbytes(2, 20_000) == 4000


def test_gap_is_a_quarter_of_min_or_a_thousandth_of_the_zone() -> None:
    """Small zones by min, large ones by watermark_scale_factor."""
    (by_min,) = zone_watermarks([10_000], 4 * 400)
    assert by_min == (400, 500, 600)
    (by_scale,) = zone_watermarks([10_000_000], 4 * 400)
    assert by_scale == (400, 10_400, 20_400)
    (scaled,) = zone_watermarks([10_000_000], 4 * 400, scale_factor=100)
    assert scaled == (400, 100_400, 200_400)


@given(
    managed=st.lists(st.integers(0, 1 << 32), min_size=1, max_size=9), min_free_kb=st.integers(128, 1 << 18)
)
def test_minimum_is_shared_by_size(managed: list[int], min_free_kb: int) -> None:
    """The zones' shares add up to the whole, less the rounding of each."""
    marks = zone_watermarks(managed, min_free_kb)
    total = sum(mark.wmark_min for mark in marks)
    wanted = (min_free_kb >> 2) if sum(managed) else 0
    assert wanted - len(managed) < total <= wanted or total == wanted == 0
    assert all(mark.wmark_high - mark.wmark_low == mark.wmark_low - mark.wmark_min for mark in marks)


def test_lower_zones_keep_pages_from_requests_that_could_go_higher() -> None:
    """A 256th of all zones above, nothing when the zone itself is empty or its ratio is 0."""
    assert lowmem_reserve([2560, 25_600, 0], [256, 32, 0]) == [(0, 100, 100), (0, 0, 0), (0, 0, 0)]
    assert lowmem_reserve([0, 25_600], [256, 32]) == [(0, 0), (0, 0)]
    assert lowmem_reserve([2560, 256, 512], [256, 32, 0]) == [(0, 1, 3), (0, 0, 16), (0, 0, 0)]


@given(managed=st.integers(1, 1 << 34))
def test_batch_is_one_less_than_a_power_of_two(managed: int) -> None:
    """At least 1, and 63 from 1 GiB on."""
    batch = zone_batchsize(managed)
    assert batch == 1 or (batch + 1) & batch == 0
    assert 1 <= batch <= 63
    if managed >= 1 << 18:
        assert batch == 63


def test_high_mark_is_at_least_four_batches() -> None:
    """The low watermark over the CPUs, whatever is larger."""
    assert zone_highsize(10_000, 2, 63) == 5000
    assert zone_highsize(10_000, 100, 63) == 252


def test_from_6_7_on_the_high_mark_has_a_range() -> None:
    """6.1: one fixed mark. 6.7: from that mark to an eighth of the zone over the CPUs."""
    assert pcp_marks(1 << 20, 8000, 4, (6, 6)) == (63, 2000, 2000)
    assert pcp_marks(1 << 20, 8000, 4, (6, 7)) == (63, 2000, (1 << 20) // 8 // 4)


@pytest.mark.parametrize(
    ("managed", "cpus", "expected"), [(1, 1, 2), (1 << 15, 1, 4), (1 << 15, 2, 8), (1 << 40, 512, 125)]
)
def test_drift_grows_with_the_logarithms(managed: int, cpus: int, expected: int) -> None:
    """2 * fls(CPUs) * (1 + fls(size in 128 MiB)), at most 125."""
    assert normal_threshold(managed, cpus) == expected
