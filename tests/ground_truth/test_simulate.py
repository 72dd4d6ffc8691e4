"""Simulated workloads: from a recorded state the model's own tasks split what the kernel's tasks split."""

from __future__ import annotations

import numpy as np
import pytest

from models.host.comparison import Options, Series
from models.host.recorded_schedule import schedule_of
from models.host.recording import AllocatorRecording
from models.host.simulate import simulate
from models.host.tolerance import SAMPLED, has_given_events, simulated_samples
from tests.ground_truth.recorded import compared, names, read, shortfalls

OWN = Options(schedule="own")
COMPACTION = "who runs between two steps of compaction depends on when the timer ticks"
TURNS = "when an emulated CPU's turn ends, and parent and child change places, is real time"
CALLBACKS = "which callbacks have run before a page is taken depends on when the timer ticks"
#: Recordings that the simulation falls short of by its own schedule, and why; docs/validation.md says by how much.
SHORT = {
    "b_page_1g_steal": COMPACTION,
    "c_page_1g_steal2": COMPACTION,
    "f_page_1g_steal": COMPACTION,
    "c_page_4g_512_2cpu": TURNS,
    "f_pool_4g_1500": CALLBACKS,
    "f_pool_4g_5000": CALLBACKS,
}
#: How far the splits of those are off at the most: a share of the recorded ones, and a number.
SHORT_BY = (0.30, 4)
#: By how much the splits may differ in the end where the kernel compacted.
SPLITS_AFTER_COMPACTION = 0.07


@pytest.mark.parametrize("name", names("allocator"))
def test_the_workload_does_what_it_did(name: str) -> None:
    """Splits, DirectMap counters, free memory and frames are within what is asked of each recording."""
    assert not shortfalls(compared("simulate", name))


@pytest.mark.parametrize("name", sorted(name for name in names("allocator") if "steal" in name))
def test_where_the_kernel_compacted_every_split_is_right(name: str) -> None:
    """At every sample, when kswapd and kcompactd have the turns that they had; what they do there is the model's."""
    recording = read("allocator", name)
    assert isinstance(recording, AllocatorRecording)
    assert schedule_of(recording).turns
    splits = split_series(name, Options())
    assert np.array_equal(splits.simulated, splits.recorded)


@pytest.mark.long
@pytest.mark.parametrize("name", names("allocator"))
def test_with_nothing_given_all_but_those_known_do_what_they_did(name: str) -> None:
    """The list of those that fall short by their own schedule can only shrink."""
    comparison = compared("simulate", name, OWN)
    assert not comparison.given
    assert bool(shortfalls(comparison)) == (name in SHORT)


@pytest.mark.parametrize("name", sorted(SHORT))
def test_what_falls_short_with_nothing_given_stays_close(name: str) -> None:
    """Where the simulation is outside its tolerance, it is so by a bounded share."""
    splits = split_series(name, OWN)
    allowed = np.maximum(SHORT_BY[0] * splits.recorded, SHORT_BY[1])
    assert (np.abs(splits.simulated - splits.recorded) <= allowed).all()


@pytest.mark.parametrize("name", sorted(name for name, why in SHORT.items() if why == COMPACTION))
def test_where_the_kernel_compacted_memory_it_is_split_as_often_with_nothing_given(name: str) -> None:
    """The simulation compacts too: it is not by how often it splits that it is told from the kernel."""
    splits = split_series(name, OWN)
    assert abs(int(splits.simulated[-1]) - int(splits.recorded[-1])) <= SPLITS_AFTER_COMPACTION * splits.recorded[-1]


def split_series(name: str, options: Options) -> Series:
    """Splits at the samples of a simulated recording."""
    return next(one for one in compared("simulate", name, options).series if one.name == "level2_splits")


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in names("allocator") if name.startswith("a_") and "65536" not in name),
        "f_page_1g_fragfull", "h_page_1g_steal",
    ],
)  # fmt: skip
def test_every_frame_is_right(name: str) -> None:
    """With nothing irregular in the way, but also in churn of files and ordinary memory, and where it was compacted."""
    rows = {row.what: row for row in compared("simulate", name).rows}
    assert rows["secret_frames"].exact == rows["secret_frames"].total


def test_a_simulation_repeats_to_the_frame() -> None:
    """The same recording gives the same run again."""
    recording = read("allocator", "c_page_4g_256_a16")
    assert isinstance(recording, AllocatorRecording)
    (one, frames), (other, again) = simulate(recording), simulate(recording)
    assert np.array_equal(frames, again)
    for name in SAMPLED:
        assert np.array_equal(one[name], other[name])
        assert len(one[name]) == len(simulated_samples(recording))


def test_only_compaction_and_reclaim_widen_the_tolerance() -> None:
    """The recordings that are excused for compaction are those whose streams have its events, or a partial steal."""
    for name, reason in SHORT.items():
        recording = read("allocator", name)
        assert isinstance(recording, AllocatorRecording)
        assert has_given_events(recording) == (reason == COMPACTION), name
