"""What the recorded program leaves before it begins: by its own words, and where it says nothing by its parameters."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import replace
from functools import cache

import pytest

from models.host.recorded_fragmenting import Fragmenting, fragmenting_of
from models.host.recording import AllocatorRecording
from models.kernel.areas import MMAP_TOP
from models.kernel.limits import UNLIMITED, User
from tests.ground_truth.recorded import RECORDINGS, names, read
from tests.models.kernel.machines import boot


@cache
def fragmented() -> dict[bool, list[str]]:
    """Names of the recordings that say that memory was put in pieces, and of those that do not: to read is slower."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for name in names("allocator"):
        text = gzip.decompress((RECORDINGS / "allocator" / f"{name}.json.gz").read_bytes())
        found[b'"frag":' in text].append(name)
    return found


def recording(name: str) -> AllocatorRecording:
    found = read("allocator", name)
    assert isinstance(found, AllocatorRecording)
    return found


def test_what_was_fragmented_has_left_something() -> None:
    """By the program's own words; and without them, by the parameters, nearly as many pipes."""
    assert fragmented()[True]
    for name in fragmented()[True]:
        told = recording(name)
        said, silent = fragmenting_of(told), fragmenting_of(replace(told, notes=()))
        assert said is not None
        assert silent is not None
        assert 0 < said.closed < said.pipes
        assert 0 < said.kept_pages < said.pages
        assert silent.pipes == pytest.approx(said.pipes, rel=0.05)


def test_nothing_else_has_left_anything() -> None:
    """One recording of each kind where memory was not put in pieces: all that tells is that it does not say so."""
    for name in {name[0]: name for name in reversed(fragmented()[False])}.values():
        assert fragmenting_of(recording(name)) is None


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
