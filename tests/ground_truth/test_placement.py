"""Two CPUs: what a simulation of them does not know is which CPU a task had when, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.host.comparison import Options
from models.host.recorded_schedule import schedule_of
from models.host.recording import AllocatorRecording
from models.host.simulate import compare, simulate
from models.host.tolerance import simulated_samples
from tests.ground_truth.recorded import read, shortfalls
from tests.models.host.fork_places import watched

FORKS = "c_page_4g_512_2cpu"
DRAWS = 16


def recording() -> AllocatorRecording:
    """The one with forks on two CPUs."""
    found = read("allocator", FORKS)
    assert isinstance(found, AllocatorRecording)
    return found


def test_forks_on_two_cpus_are_right_where_every_task_has_its_recorded_cpu() -> None:
    """Whose lists pages come from and go back to, objects and grace periods of both CPUs: all splits, most frames."""
    comparison = compare(recording(), Options())
    assert not shortfalls(comparison)
    rows = {row.what: row for row in comparison.rows}
    assert rows["level2_splits"].exact == rows["level2_splits"].total
    frames = rows["secret_frames_in_2m_region"]
    assert frames.exact >= 0.85 * frames.total


def test_every_task_gets_its_recorded_cpu() -> None:
    """The parent at each fork, and its child when it begins."""
    given = recording()
    schedule = schedule_of(given)
    with watched() as places:
        simulate(given, schedule=schedule)
    assert places.placement == schedule.placement
    assert len(set(places.children)) == 2


def test_the_recorded_splits_are_ordinary_among_drawn_turns() -> None:
    """When parent and child change places is drawn: the recorded number of splits is near the mean."""
    given = recording()
    recorded = given.samples[simulated_samples(given)[-1]].level2_splits
    splits = [int(simulate(given, seed)[0]["level2_splits"][-1]) for seed in range(DRAWS)]
    assert min(splits) <= recorded <= max(splits)
    assert abs(np.mean(splits) - recorded) <= np.std(splits)


def test_a_machine_of_more_cpus_is_simulated_too() -> None:
    """The recorded machine with two CPUs more, whose lists are empty: its forks split about as often."""
    given = recording()
    pcp = dict(given.initial.pcp)
    for zone in given.machine.zones:
        for cpu in (2, 3):
            pcp[zone.index, cpu] = replace(pcp[zone.index, 0], cpu=cpu, count=0, vm_stat_diff=0, lists={})
    wider = replace(
        given,
        machine=given.machine.model_copy(update={"cpus": 4}),
        initial=replace(given.initial, pcp=pcp),
    )
    values, frames = simulate(wider)
    assert len(np.unique(frames)) == len(given.secret_pfns)
    begin, end = values["level2_splits"][[0, -1]]
    assert end - begin == len(np.unique(frames >> 9)) <= len(frames) // 10
