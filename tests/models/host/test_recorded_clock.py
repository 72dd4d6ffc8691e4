"""The recorded clock: costs are stretched between samples until the model takes them when the recorded program did."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from models.host import simulate as simulation
from models.host.recorded_clock import drifts_of
from models.host.recorded_run import Observed, run_recorded
from models.host.recording import AllocatorRecording
from models.host.tolerance import simulated_samples
from tests.ground_truth.recorded import read

READ_NS = 141_000
GROWING = "memfd"


@pytest.fixture(scope="module")
def recording() -> AllocatorRecording:
    """Any with samples before, while and after its workload grows."""
    found = read("allocator", "b_page_4g_4096")
    assert isinstance(found, AllocatorRecording)
    return found


def sampled_ns(recording: AllocatorRecording) -> list[int]:
    """When a model takes the samples whose clock is the recorded one."""
    kept = [recording.samples[index].time_ns for index in simulated_samples(recording)]
    return [0, *(time_ns - kept[0] + READ_NS for time_ns in kept[1:])]


def growing(recording: AllocatorRecording, label: str = GROWING) -> list[bool]:
    """Whether the workload grows up to the sample after each."""
    labels = [recording.samples[index].label for index in simulated_samples(recording)]
    return [following == label for following in labels[1:]] + [False]


def test_a_right_clock_is_left_alone(recording: AllocatorRecording) -> None:
    """Nothing drifts."""
    times_ns = sampled_ns(recording)
    still = [0.0] * len(times_ns)
    assert drifts_of(recording, GROWING, READ_NS, range(len(times_ns)), times_ns, still) == pytest.approx(
        still, abs=1e-12
    )


@pytest.mark.parametrize("speed", [0.9995, 1.001])
def test_a_wrong_one_is_stretched_while_the_workload_grows(recording: AllocatorRecording, speed: float) -> None:
    """By what makes the time right, on top of what it was stretched by before, and in equal parts between samples."""
    right_ns, grows = sampled_ns(recording), growing(recording)
    times_ns = [round(time_ns * speed) for time_ns in right_ns]
    number, found = len(times_ns), list[float]()
    between = [(one + other) // 2 for one, other in pairwise(times_ns)]
    dense = sorted([*times_ns, *between])
    for before in ([0.0] * number, [0.0005] * number):
        found = drifts_of(recording, GROWING, READ_NS, range(number), times_ns, before)
        first = grows.index(True)
        for at in range(number):
            expected = 0.0
            if grows[at]:
                begins_ns = times_ns[at] if at == first else right_ns[at]
                took_ns = times_ns[at + 1] - times_ns[at]
                expected = (1 + before[at]) * (right_ns[at + 1] - begins_ns) / took_ns - 1
            assert found[at] == pytest.approx(expected, abs=1e-9)
    finer = drifts_of(recording, GROWING, READ_NS, range(0, 2 * number, 2), dense, [0.0005] * len(dense))
    assert finer[0::2] == pytest.approx(found)
    assert finer[1::2] == pytest.approx(found[:-1])


def test_what_is_far_off_is_no_matter_of_speed(recording: AllocatorRecording) -> None:
    """More than a quarter is left as it is, and made up for as soon as it is less than that of the time there is."""
    times_ns, at = sampled_ns(recording), growing(recording).index(True) + 1
    late_ns = (times_ns[at + 1] - times_ns[at]) // 2
    times_ns[at + 1 :] = [time_ns + late_ns for time_ns in times_ns[at + 1 :]]
    found = drifts_of(recording, GROWING, READ_NS, range(len(times_ns)), times_ns, [0.0] * len(times_ns))
    expected = [0.0] * len(times_ns)
    later = next(k for k in range(at + 1, len(times_ns)) if late_ns < (times_ns[k + 1] - times_ns[k]) // 4)
    expected[later] = -late_ns / (times_ns[later + 1] - times_ns[later])
    assert found == pytest.approx(expected, abs=1e-9)


def test_from_the_first_compaction_on_the_clock_is_the_models() -> None:
    """What took longer there is not known; up to then it is stretched as elsewhere."""
    compacting = read("allocator", "c_page_1g_steal2")
    assert isinstance(compacting, AllocatorRecording)
    kept = [compacting.samples[index] for index in simulated_samples(compacting)]
    first = int(np.flatnonzero(np.isin(compacting.events.op, list(b"ILR")))[0])
    times_ns = [round(time_ns * 1.01) for time_ns in sampled_ns(compacting)]
    found = drifts_of(compacting, "fork", READ_NS, range(len(times_ns)), times_ns, [0.0] * len(times_ns))
    for drift, following in zip(found, kept[1:], strict=False):
        before = following.event_index is not None and following.event_index < first
        assert (drift != 0) == (before and following.label == "fork")


def test_simulated_samples_come_when_the_recorded_ones_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 20 us while the workload grows, after some runs; with its own clock the model is off by more."""
    recording = read("allocator", "f_pool_4g_1500")
    assert isinstance(recording, AllocatorRecording)
    runs = list[Observed]()

    def watch(*args: Any, **kwargs: Any) -> Observed:
        runs.append(run_recorded(*args, **kwargs))
        return runs[-1]

    monkeypatch.setattr(simulation, "run_recorded", watch)
    simulation.simulate(recording)
    assert 1 < len(runs) <= 3
    expected, grown = sampled_ns(recording), [at + 1 for at, grows in enumerate(growing(recording, "churn")) if grows]
    off_ns = [max(abs(observed.times_ns[at] - expected[at]) for at in grown) for observed in runs]
    assert off_ns[-1] < 20_000 < off_ns[0]
