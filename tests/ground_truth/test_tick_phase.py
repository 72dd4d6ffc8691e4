"""What decides the frames where the kernel compacted: when the timer ticks, to a fraction of a millisecond.

The recorded clock counts instructions, and a tick is due at each of its multiples of 4 ms; kcompactd gives its CPU away
at the first tick that finds it 3 ms old. Moving the ticks stands for a clock that is a part of a millisecond off: by
the model's own schedule that moves frames, by the recorded one it does not in most recordings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from models.host.recorded_schedule import OWN, Schedule, schedule_of
from models.host.recording import AllocatorRecording
from models.host.simulate import simulate
from models.host.tolerance import simulated_samples
from tests.ground_truth.recorded import read

_TICK_NS = 4_000_000
_REGION_SHIFT = 9


class Outcome(NamedTuple):
    """Share of secret frames in the right 2M region; splits furthest off at a sample, in number and share."""

    share: float
    splits_off: int
    splits_off_share: float


def outcome(recording: AllocatorRecording, tick_late_ns: int, schedule: Schedule = OWN) -> Outcome:
    """Simulate with ticks that come late."""
    simulated, frames = simulate(recording, schedule=schedule, tick_late_ns=tick_late_ns)
    recorded = recording.secret_pfns
    splits = np.array([recording.samples[index].level2_splits for index in simulated_samples(recording)])
    off = np.abs(simulated["level2_splits"] - splits)
    right = frames[: len(recorded)] >> _REGION_SHIFT == recorded[: len(frames)] >> _REGION_SHIFT
    off_share = (off / np.maximum(splits, 1))[splits >= 20]
    return Outcome(right.sum() / len(recorded), int(off.max()), float(off_share.max()))


@pytest.mark.long
def test_a_part_of_a_millisecond_decides_the_frames_and_not_the_splits() -> None:
    """With the ticks where the clock says, or up to 0.1 ms before, all is as recorded; else frames are not."""
    recording = read("allocator", "h_page_1g_steal")
    assert isinstance(recording, AllocatorRecording)
    outcomes = {late_ns: outcome(recording, late_ns) for late_ns in range(-100_000, _TICK_NS - 100_000, 50_000)}
    assert all(one.splits_off_share <= 0.05 for one in outcomes.values())
    for late_ns, one in outcomes.items():
        assert (one.share == 1 and one.splits_off == 0) == (late_ns <= 0), late_ns
    assert min(one.share for one in outcomes.values()) < 0.7


@pytest.mark.long
@pytest.mark.parametrize(("name", "spread"), [("b_page_1g_steal", 0.05), ("f_page_1g_steal", 0.02)])
def test_the_phase_moves_the_frames_of_long_runs_too(name: str, spread: float) -> None:
    """Where kcompactd runs often, or tasks take their pages in between, frames depend on every one of its turns."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    outcomes = [outcome(recording, late_ns) for late_ns in range(0, _TICK_NS, 500_000)]
    shares = [one.share for one in outcomes]
    assert max(shares) - min(shares) > spread
    assert all(one.splits_off_share <= 0.06 for one in outcomes)


@pytest.mark.long
@pytest.mark.parametrize(("name", "share"), [("b_page_1g_steal", 0.95), ("h_page_1g_steal", 1)])
def test_with_recorded_turns_the_phase_moves_nothing(name: str, share: float) -> None:
    """So it is by whose turn it was, and by nothing that it did, that a simulation differs."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    schedule = schedule_of(recording)
    for late_ns in range(-_TICK_NS // 2, _TICK_NS // 2, 500_000):
        one = outcome(recording, late_ns, schedule)
        assert one.splits_off == 0
        assert one.share >= share
