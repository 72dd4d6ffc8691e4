"""What the recorded program leaves before it begins: by its own words, and where it says nothing by its parameters."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from models.host.recorded_fragmenting import Fragmenting, fragmenting_of
from models.host.recording import AllocatorRecording
from models.kernel.areas import MMAP_TOP
from models.kernel.limits import UNLIMITED, User
from tests.ground_truth.recorded import names, read
from tests.models.kernel.machines import boot


def recordings() -> list[AllocatorRecording]:
    found = [read("allocator", name) for name in names("allocator")]
    return [one for one in found if isinstance(one, AllocatorRecording)]


def test_only_what_was_fragmented_has_left_anything() -> None:
    """Memory is in pieces where the parameters say so, and nowhere else."""
    for recording in recordings():
        left = fragmenting_of(recording)
        assert (left is not None) == ("frag" in recording.workload.parameters)
        if left is not None:
            assert 0 < left.closed < left.pipes
            assert 0 < left.kept_pages < left.pages


def test_without_a_note_the_parameters_say_about_as_much() -> None:
    """A recording whose program printed nothing is run all the same, with nearly as many pipes."""
    told = next(one for one in recordings() if "frag" in one.workload.parameters)
    said, silent = fragmenting_of(told), fragmenting_of(replace(told, notes=()))
    assert said is not None
    assert silent is not None
    assert silent.pipes == pytest.approx(said.pipes, rel=0.05)


@pytest.mark.parametrize("pages", [1, 4, 5, 600])
def test_mappings_lie_apart_and_below_the_top(pages: int) -> None:
    """However few pages there are, the area that they take is as long as they are many."""
    mapped = sorted(Fragmenting(pages, kept_pages=0, pipes=4, closed=1).mapped)
    assert mapped[0][0] == MMAP_TOP - pages
    assert mapped[-1][1] < MMAP_TOP
    assert all(first <= last for first, last in mapped)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(mapped))


def test_pipes_leave_descriptors_and_free_objects_but_take_no_page() -> None:
    """Pages of slabs are the recorded state's; a closed pipe's objects are the next file's."""
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    free, descriptors = int(kernel.store.zones["free_pages"].sum()), task.descriptors
    Fragmenting(600, kept_pages=300, pipes=40, closed=10).leave(kernel, task, 0)
    assert task.descriptors == descriptors + 2 * 30
    assert task.max_fds >= 2 * 40
    assert int(kernel.store.zones["free_pages"].sum()) == free
