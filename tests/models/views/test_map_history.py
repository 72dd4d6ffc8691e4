"""The map over time says what the series say, region by region."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.views.map_history import ABSENT_SHIFT, LEVEL_MASK, REGION_BYTES, SECRET, MapHistory, cells_of
from simcore.result import Result
from simcore.series import Series
from tests.models.views.direct_map_runs import POLICIES, fork_bomb


def history_of(policy: str) -> MapHistory:
    history = MapHistory.of(fork_bomb(policy))
    assert history is not None
    return history


@pytest.mark.parametrize("policy", POLICIES)
def test_sizes_follow_the_series_at_every_change(policy: str) -> None:
    """The picture and the curve are of one direct map: regions counted by level change as the series do."""
    result, history = fork_bomb(policy), history_of(policy)
    assert not result.series.decimated
    times = result.series.time_ns[:: max(1, len(result.series) // 200)]
    rows = np.searchsorted(result.series.time_ns, times)
    names = {1: "direct_map.4k_bytes", 2: "direct_map.2m_bytes", 3: "direct_map.1g_bytes"}
    first = np.bincount(history.start & LEVEL_MASK, minlength=4)
    begun = {level: int(result.series[name][0]) for level, name in names.items()}
    # The first row is written when the first operation ends, so its splits are in both.
    base = np.bincount(history.at(int(result.series.time_ns[0])) & LEVEL_MASK, minlength=4)
    assert first.sum() == base.sum()
    for row, state in zip(rows.tolist(), history.over(times.tolist()), strict=True):
        counts = np.bincount(state & LEVEL_MASK, minlength=4)
        for level, name in names.items():
            grown = int(result.series[name][row]) - begun[level]
            assert (int(counts[level]) - int(base[level])) * REGION_BYTES == grown


@pytest.mark.parametrize("policy", POLICIES)
def test_marks_appear_and_go_with_secret_memory(policy: str) -> None:
    """There are marks exactly while the series say that pages are secret, or out of the direct map."""
    result, history = fork_bomb(policy), history_of(policy)
    series = result.series
    for row in range(0, len(series), max(1, len(series) // 100)):
        state = history.at(int(series.time_ns[row]))
        assert bool(np.any(state & SECRET)) == bool(series["secretmem.pages"][row])
        assert bool(np.any(state >> ABSENT_SHIFT & 3)) == bool(series["direct_map.unmapped_bytes"][row])


def test_a_pool_marks_whole_regions_as_absent() -> None:
    """A pool takes 2M out as one entry: no region is absent in part, and none is split for it."""
    history = history_of("pmd_pool")
    absent = history.code[~history.giga] >> ABSENT_SHIFT & 3
    assert set(absent.tolist()) == {0, 2}


def test_a_run_of_another_model_has_no_history() -> None:
    """Reports of other models must not fail for want of a map."""
    empty = Result(Series(pa.table({"time_ns": np.zeros(0, np.int64)})), {"name": "x", "simulated_ns": 0}, {}, {})
    assert MapHistory.of(empty) is None


def test_cells_gather_regions_without_losing_the_small_ones() -> None:
    """On a large machine one split among thousands must still be in its cell."""
    state = np.full(10_000, 3, np.uint8)
    state[7777] = 1 | SECRET
    cells = cells_of(state, 1000)
    assert cells.regions == 16
    assert len(cells.share) == 625
    assert cells.share[7777 // 16].tolist() == pytest.approx([0, 1 / 16, 0, 15 / 16])
    assert np.flatnonzero(cells.secret).tolist() == [7777 // 16]
    assert not cells.absent.any()
