"""Two CPUs: what a simulation of them does not know is which CPU a task had when, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.host.recording import AllocatorRecording
from models.host.simulate import simulate
from models.host.tolerance import simulated_samples
from tests.ground_truth.placement import compare_as_placed
from tests.ground_truth.recorded import read, shortfalls

FORKS = "c_page_4g_512_2cpu"
DRAWS = 16


def test_forks_on_two_cpus_are_right_where_every_task_has_its_recorded_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose lists pages come from and go back to, objects and grace periods of both CPUs: all splits, most frames."""
    comparison = compare_as_placed(FORKS, monkeypatch)
    assert not shortfalls(comparison)
    rows = {row.what: row for row in comparison.rows}
    assert rows["level2_splits"].exact == rows["level2_splits"].total
    frames = rows["secret_frames_in_2m_region"]
    assert frames.exact >= 0.85 * frames.total


def test_the_recorded_splits_are_ordinary_among_drawn_turns() -> None:
    """When parent and child change places is drawn: the recorded number of splits is near the mean."""
    recording = read("allocator", FORKS)
    assert isinstance(recording, AllocatorRecording)
    recorded = recording.samples[simulated_samples(recording)[-1]].level2_splits
    splits = [int(simulate(recording, seed)[0]["level2_splits"][-1]) for seed in range(DRAWS)]
    assert min(splits) <= recorded <= max(splits)
    assert abs(np.mean(splits) - recorded) <= np.std(splits)


def test_a_machine_of_more_cpus_is_simulated_too() -> None:
    """The recorded machine with two CPUs more, whose lists are empty: its forks split about as often."""
    recording = read("allocator", FORKS)
    assert isinstance(recording, AllocatorRecording)
    pcp = dict(recording.initial.pcp)
    for zone in recording.machine.zones:
        for cpu in (2, 3):
            pcp[zone.index, cpu] = replace(pcp[zone.index, 0], cpu=cpu, count=0, vm_stat_diff=0, lists={})
    wider = replace(
        recording,
        machine=recording.machine.model_copy(update={"cpus": 4}),
        initial=replace(recording.initial, pcp=pcp),
    )
    values, frames = simulate(wider)
    assert len(np.unique(frames)) == len(recording.secret_pfns)
    begin, end = values["level2_splits"][[0, -1]]
    assert end - begin == len(np.unique(frames >> 9)) <= len(frames) // 10
