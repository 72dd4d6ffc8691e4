"""A boot with fewer kernel threads leaves more objects free, and counts tasks from a lower number."""

from __future__ import annotations

import pytest

from models.kernel.boot_threads import with_fewer_threads
from models.kernel.footprint_presets import load_footprints
from models.kernel.slab import slab_geometry


def test_no_thread_less_changes_nothing() -> None:
    """The footprints are those of the boot that they were read off."""
    footprints = load_footprints("minimal_6_1")
    assert with_fewer_threads(footprints, 0, 1) == footprints


@pytest.mark.parametrize("threads", [1, 2])
def test_the_objects_of_a_thread_are_free(threads: int) -> None:
    """But for whole slabs, which were not taken then; caches that a thread has nothing of stay as they are."""
    footprints = load_footprints("minimal_6_1")
    names = footprints.cache_names()
    taken = dict.fromkeys(footprints.caches, 0)
    for step in footprints.operations["kernel_thread"]:
        assert step.object is not None
        taken[names[step.object]] += threads * (step.count or 1)
    assert taken["task_struct"] == threads
    assert taken["size_64"] == 2 * threads
    changed = with_fewer_threads(footprints, threads, 1)
    for name, spec in footprints.caches.items():
        _, per_slab = slab_geometry(spec.object_bytes, 1)
        more = changed.caches[name].boot_free - spec.boot_free
        if taken[name]:
            assert changed.caches[name].boot_free < per_slab
            assert more % per_slab == taken[name] % per_slab
        else:
            assert more == 0


def test_what_comes_with_numbers_of_tasks_comes_later() -> None:
    """The next page table for stacks, and the next node for numbers; what counts runs is no matter of tasks."""
    footprints = load_footprints("minimal_6_1")
    changed = with_fewer_threads(footprints, 3, 1)
    counted = 0
    for name, steps in footprints.operations.items():
        for step, later in zip(steps, changed.operations[name], strict=True):
            if step.per == "run":
                assert later == step
            else:
                counted += 1
                assert later.first == (step.first or step.every) + 3
    assert counted == 4


def test_footprints_without_such_a_thread_lose_nothing() -> None:
    """Nobody has said what it keeps."""
    footprints = load_footprints("minimal_6_1")
    operations = {name: steps for name, steps in footprints.operations.items() if name != "kernel_thread"}
    without = footprints.model_copy(update={"operations": operations})
    assert with_fewer_threads(without, 1, 1).caches == footprints.caches
