"""The recorded program's own doings take time and no pages for good."""

from __future__ import annotations

from itertools import pairwise

from models.host.recorded_fragmenting import Fragmenting
from models.host.recorded_program import MAPPED_AT_START, Program
from models.kernel.limits import UNLIMITED, User
from models.kernel.mapping_tree import MappingTree
from models.kernel.pages.layout import USED
from tests.models.kernel.machines import boot


def test_what_is_mapped_at_the_start_is_in_order() -> None:
    """A tree can be made of it: ascending ranges that do not overlap."""
    assert all(first <= last for first, last in MAPPED_AT_START)
    assert all(one[1] < other[0] for one, other in pairwise(MAPPED_AT_START))


def test_one_more_mapping_fills_the_root_of_the_tree() -> None:
    """The recorded program takes four nodes for its first change, and seven from the second on."""
    tree, nodes = MappingTree(MAPPED_AT_START, -1), list(range(1, 100))
    below = MAPPED_AT_START[7][0]
    heights = []
    for file in range(1, 4):
        tree.store(below - file, below - file, True, nodes)
        heights.append(tree.height)
    assert heights == [1, 2, 2]


def test_reading_counters_takes_a_buffer_for_a_while() -> None:
    """Nothing is kept of it."""
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    cache = kernel.programs.caches["kmalloc_2k"]
    program = Program(kernel, task)
    before = int(kernel.state.caches[cache]["objects"])
    for _ in range(20):
        program.read(0)
    assert int(kernel.state.caches[cache]["objects"]) == before
    assert kernel.spent_ns > 0


def test_a_look_up_takes_longer_the_more_is_mapped_behind_it() -> None:
    """An entry of a process's page map is found by walking to the end of its page table."""
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    program, spent = Program(kernel, task), []
    for _ in range(8):
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 4)
        times = program.page_times(kernel.mmap(task, file, 4, 0))
        assert len(times) == 4
        spent.append(int(times.sum()))
    assert spent == sorted(spent)
    assert spent[-1] > spent[0]


def test_a_look_up_takes_longer_beside_pages_that_were_kept() -> None:
    """The memory that was mapped to have memory in pieces lies above the files, half of it still there."""
    spent = []
    for kept_pages in (0, 300):
        kernel = boot({"memory": 64 << 20, "cpus": 1})
        task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
        fragmenting = Fragmenting(600, kept_pages, pipes=4, closed=1)
        fragmenting.leave(kernel, task, 0)
        program = Program(kernel, task, fragmenting)
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 1)
        spent.append(int(program.page_times(kernel.mmap(task, file, 1, 0)).sum()))
    assert spent[1] > spent[0]


def test_notes_take_a_page_for_every_thousand_and_stay() -> None:
    """And time: 8 ns each beside the faults."""
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    program, taken = Program(kernel, task), []
    for notes in (0, 768, 769, 20_000):
        used, kernel.spent_ns = int((kernel.store.pages["state"] == USED).sum()), 0
        program.begin(0, notes)
        taken.append(int((kernel.store.pages["state"] == USED).sum()) - used)
        assert kernel.spent_ns >= 8 * notes
    assert taken == [0, 0, 1, 19]
