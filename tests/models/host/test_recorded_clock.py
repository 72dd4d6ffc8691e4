"""The recorded clock: costs are stretched between samples until the model takes them when the recorded program did."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from models.host import simulate as simulation
from models.host.recorded_clock import drifts_of
from models.host.recorded_notes import Observed
from models.host.recorded_run import run_recorded
from models.host.recorded_schedule import OWN, schedule_of
from models.host.recording import AllocatorRecording
from models.host.tolerance import simulated_samples
from tests.ground_truth.recorded import read

READ_NS = 141_000


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


def test_a_right_clock_is_left_alone(recording: AllocatorRecording) -> None:
    """Nothing drifts."""
    times_ns = sampled_ns(recording)
    still = [0.0] * len(times_ns)
    found = drifts_of(recording, READ_NS, range(len(times_ns)), times_ns, still)
    assert found == pytest.approx(still, abs=1e-12)


@pytest.mark.parametrize("speed", [0.9995, 1.001])
def test_a_wrong_one_is_stretched(recording: AllocatorRecording, speed: float) -> None:
    """By what makes the time right, on top of what it was stretched by before, and in equal parts between samples."""
    right_ns = sampled_ns(recording)
    times_ns = [round(time_ns * speed) for time_ns in right_ns]
    number, found = len(times_ns), list[float]()
    between = [(one + other) // 2 for one, other in pairwise(times_ns)]
    dense = sorted([*times_ns, *between, times_ns[-1] + 1])
    for before in ([0.0] * number, [0.0005] * number):
        found = drifts_of(recording, READ_NS, range(number), times_ns, before)
        expected = [
            (1 + drift) * (end - begin) / (late_end - late_begin) - 1
            for drift, (begin, end), (late_begin, late_end) in zip(
                before, pairwise(right_ns), pairwise(times_ns), strict=False
            )
        ]
        assert found == pytest.approx([*expected, 0.0], abs=1e-9)
    finer = drifts_of(recording, READ_NS, range(0, 2 * number, 2), dense, [0.0005] * len(dense))
    assert finer[0::2] == pytest.approx(found)
    assert finer[1::2] == pytest.approx(found)


def test_what_is_far_off_is_no_matter_of_speed(recording: AllocatorRecording) -> None:
    """More than a quarter is left as it is, and made up for as soon as it is less than that of the time there is."""
    times_ns, at = sampled_ns(recording), 3
    late_ns = (times_ns[at + 1] - times_ns[at]) // 2
    times_ns[at + 1 :] = [time_ns + late_ns for time_ns in times_ns[at + 1 :]]
    found = drifts_of(recording, READ_NS, range(len(times_ns)), times_ns, [0.0] * len(times_ns))
    expected = [0.0] * len(times_ns)
    later = next(k for k in range(at + 1, len(times_ns)) if late_ns < (times_ns[k + 1] - times_ns[k]) // 4)
    expected[later] = -late_ns / (times_ns[later + 1] - times_ns[later])
    assert found == pytest.approx(expected, abs=1e-9)


def watched_runs(name: str, patch: pytest.MonkeyPatch, *, given: bool) -> tuple[AllocatorRecording, list[Observed]]:
    """A recording, and all runs that a simulation of it takes."""
    recording, runs = read("allocator", name), list[Observed]()
    assert isinstance(recording, AllocatorRecording)

    def watch(*args: Any, **kwargs: Any) -> Observed:
        runs.append(run_recorded(*args, **kwargs))
        return runs[-1]

    patch.setattr(simulation, "run_recorded", watch)
    simulation.simulate(recording, schedule=schedule_of(recording) if given else OWN)
    return recording, runs


def test_simulated_samples_come_when_the_recorded_ones_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 20 us while the workload grows, after some runs; with its own clock the model is off by more."""
    recording, runs = watched_runs("f_pool_4g_1500", monkeypatch, given=True)
    assert 1 < len(runs) <= 3
    expected = sampled_ns(recording)
    grown = [at for at, label in enumerate(runs[0].labels) if label == "churn"]
    assert len(grown) > 10
    off_ns = [max(abs(observed.times_ns[at] - expected[at]) for at in grown) for observed in runs]
    assert off_ns[-1] < 20_000 < off_ns[0]


def test_with_a_schedule_of_its_own_there_is_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is corrected."""
    _, runs = watched_runs("f_pool_4g_1500", monkeypatch, given=False)
    assert len(runs) == 1
