"""Tracks: peaks survive thinning, and the last value holds to the end."""

from __future__ import annotations

import numpy as np

from simcore.views.tracks import track_of
from tests.simcore.views.made_results import result_of


def test_a_spike_among_many_points_is_still_drawn() -> None:
    values = np.zeros(100_000, dtype=np.int64)
    values[54_321] = 1000
    values[12_345] = -7
    track = track_of(result_of({"time_ns": np.arange(100_000), "x": values}, 100_000), "x")
    assert len(track.values) < 2000
    assert (track.low.min(), track.high.max()) == (-7, 1000)


def test_the_last_value_holds_to_the_end_of_the_run() -> None:
    made = result_of({"time_ns": np.array([0, 10, 30]), "map.4k_bytes": np.array([0, 1 << 30, 3 << 30])}, end_ns=40)
    track = track_of(made, "map.4k_bytes")
    assert track.time_ns[-1] == 40
    assert track.values[-1] == 3 << 30
