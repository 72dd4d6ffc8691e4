from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.host.comparison import Comparison, Row
from models.host.recording import AllocatorRecording, CountersRecording, read_recording
from models.host.tolerance import (
    SAMPLED,
    compare_placements,
    compare_replay,
    compare_simulation,
    has_given_events,
    simulated_samples,
    split_allowance,
)
from tests.models.host.edited_recordings import ALLOCATOR, COUNTERS

Arrays = dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]


def recorded(name: str) -> AllocatorRecording:
    recording = read_recording(ALLOCATOR / f"{name}.json.gz")
    assert isinstance(recording, AllocatorRecording)
    return recording


def as_recorded(recording: AllocatorRecording) -> Arrays:
    """A simulation that says at each sample what the kernel said."""
    kept = [recording.samples[index] for index in simulated_samples(recording)]
    return {name: np.array([getattr(sample, name) for sample in kept]) for name in SAMPLED}


def row(comparison: Comparison, what: str) -> Row:
    return next(one for one in comparison.rows if one.what == what)


@pytest.mark.parametrize(
    "name", ["a_page_4g_4096", "c_page_4g_1024", "b_page_1g_steal", "b_page_4g_nogbpages"]
)
def test_the_recording_itself_is_within_every_tolerance(name: str) -> None:
    """What the kernel said passes, everything exact."""
    recording = recorded(name)
    comparison = compare_simulation(recording, as_recorded(recording), recording.secret_pfns)
    assert comparison.passed
    assert all(one.exact == one.total for one in comparison.rows)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a_page_4g_4096", "exact"),
        ("b_page_4g_4096", "exact"),
        ("d_page_4g_a64", "exact"),
        ("h_page_4g_pt400", "exact"),
        ("c_page_4g_1024", "within 1 below 20, 2 % above"),
        ("f_page_4g_5000", "within 1 below 20, 2 % above"),
        ("b_page_1g_steal", "within 5 %"),
        ("c_page_1g_steal2", "within 5 %"),
        ("f_page_1g_steal", "within 5 %"),
    ],
)
def test_the_tolerance_follows_the_workload_and_its_events(name: str, words: str) -> None:
    """Only recordings with partial steals, isolations, rotations or reclaim have the widest tolerance."""
    recording = recorded(name)
    assert split_allowance(recording)[1] == words
    assert has_given_events(recording) == (words == "within 5 %")


@pytest.mark.parametrize(
    ("name", "numbers", "allowed"),
    [
        ("a_page_4g_4096", [0, 19, 20, 1000], [0, 0, 0, 0]),
        ("c_page_4g_1024", [0, 19, 20, 1000], [1, 1, 0.4, 20]),
        ("b_page_1g_steal", [0, 19, 20, 1000], [0, 0.95, 1, 50]),
    ],
)
def test_how_far_splits_may_be_off(name: str, numbers: list[int], allowed: list[float]) -> None:
    """The three rules, at their edges."""
    allowance, _ = split_allowance(recorded(name))
    np.testing.assert_allclose(allowance(np.array(numbers, dtype=float)), allowed)


def test_one_split_too_many_fails_where_splits_are_determined() -> None:
    """A single sample outside the tolerance is enough, and the worst one is named."""
    recording = recorded("a_page_4g_4096")
    simulated = as_recorded(recording)
    simulated["level2_splits"][5] += 1
    comparison = compare_simulation(recording, simulated, recording.secret_pfns)
    bad = row(comparison, "level2_splits")
    assert not comparison.passed
    assert not bad.passed
    assert bad.exact == bad.total - 1
    assert bad.worst is not None
    assert bad.worst.simulated == bad.worst.recorded + 1
    assert row(comparison, "direct_map_4k_kb").passed


def test_the_direct_map_may_be_off_by_what_the_splits_may() -> None:
    """DirectMap counters have the tolerance of the splits, in kB."""
    recording = recorded("c_page_4g_1024")
    simulated = as_recorded(recording)
    at = int(np.argmax(simulated["level2_splits"] < 20))
    simulated["direct_map_4k_kb"][at] += 2048
    assert compare_simulation(recording, simulated, recording.secret_pfns).passed
    simulated["direct_map_4k_kb"][at] += 4
    assert not compare_simulation(recording, simulated, recording.secret_pfns).passed


def test_free_memory_may_be_off_by_one_percent() -> None:
    """Above it fails, below it passes."""
    recording = recorded("a_page_4g_4096")
    simulated = as_recorded(recording)
    free = simulated["free_kb"].copy()
    simulated["free_kb"] = free + free // 101
    assert compare_simulation(recording, simulated, recording.secret_pfns).passed
    simulated["free_kb"] = free + free // 99
    assert not compare_simulation(recording, simulated, recording.secret_pfns).passed


@pytest.mark.parametrize(
    ("name", "share"), [("a_page_4g_4096", 0.95), ("d_page_4g_a64", 0.95), ("c_page_4g_1024", 0.8)]
)
def test_frames_must_lie_in_the_right_2m_region(name: str, share: float) -> None:
    """Inside of its region a frame is free to move; out of it, or missing, it counts as wrong."""
    recording = recorded(name)
    simulated, pfns = as_recorded(recording), recording.secret_pfns
    inside = compare_simulation(recording, simulated, pfns ^ 1)
    assert inside.passed
    assert row(inside, "secret_frames").exact == 0
    spared = int(np.ceil(share * len(pfns)))
    wrong = pfns.copy()
    wrong[spared:] += 512
    assert compare_simulation(recording, simulated, wrong).passed
    wrong[spared - 1] += 512
    assert not compare_simulation(recording, simulated, wrong).passed
    assert compare_simulation(recording, simulated, pfns[:spared]).passed
    assert not compare_simulation(recording, simulated, pfns[: spared - 1]).passed


def test_a_series_that_is_missing_or_short_is_an_error() -> None:
    """A comparison of nothing must not pass."""
    recording = recorded("a_page_4g_4096")
    simulated = as_recorded(recording)
    simulated["free_kb"] = simulated["free_kb"][:-1]
    with pytest.raises(ValueError, match="free_kb"):
        compare_simulation(recording, simulated, recording.secret_pfns)
    del simulated["free_kb"]
    with pytest.raises(ValueError, match="free_kb"):
        compare_simulation(recording, simulated, recording.secret_pfns)


def test_a_replay_passes_only_when_everything_is_exact() -> None:
    """One wrong prediction, or a divergence alone, fails."""
    recording = recorded("a_pool_4g_4096")
    assert compare_replay(recording, {"allocations": (5, 5)}, None).passed
    assert not compare_replay(recording, {"allocations": (4, 5)}, None).passed
    with pytest.raises(ValueError, match="allocations"):
        compare_replay(recording, {"allocations": (6, 5)}, None)


@pytest.mark.parametrize(
    ("offsets", "passed"),
    [([-2, 0, 2], True), ([0, 0, 0], True), ([1, 2, 3], False), ([-9, -8, 1], False), ([-3, -3, 0], True)],
)
def test_placements_must_cover_the_recording_near_their_median(offsets: list[int], passed: bool) -> None:
    """Outside of the range fails, and inside but far from the median too."""
    recording = read_recording(COUNTERS / "churn-4g-page-minimal.json.gz")
    assert isinstance(recording, CountersRecording)
    last = recording.samples[-1].level2_splits
    splits = np.array([sample.level2_splits for sample in recording.samples])
    giga = np.array([sample.level3_splits for sample in recording.samples])
    assert 0.05 * (last + 3) <= 3
    comparison = compare_placements(
        recording, {"level2_splits": [splits + by for by in offsets], "level3_splits": [giga] * len(offsets)}
    )
    assert comparison.passed == passed
    with pytest.raises(ValueError, match="level3_splits"):
        compare_placements(recording, {"level2_splits": [splits]})
    assert replace(comparison, rows=()).passed
