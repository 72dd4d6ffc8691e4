"""How long look-ups take: as if each walked, page by page, to the end of its page table."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.host.recorded_fragmenting import Fragmenting
from models.host.recorded_program import CHURN_LESS_NS, MAPPED_AT_START, Program
from models.kernel.areas import MMAP_TOP
from models.kernel.entities import Mapping, Task
from models.kernel.kernel import Kernel
from models.kernel.limits import UNLIMITED, User
from models.kernel.mapping_tree import MappingTree
from tests.models.kernel.machines import boot


def walked_ns(task: Task, page: int, above: list[tuple[int, int, float]]) -> float:
    """A look-up of a page that is the last one touched in its mapping, step by step."""
    mapped = [(one.start, one.start + one.pages, 1.0) for one in task.mappings]
    spans = sorted([*mapped, *above])
    spent_ns, at, here = 2_540.0, page, True
    while at < (page >> 9) + 1 << 9:
        span = next((one for one in spans if one[0] <= at < one[1]), None)
        if span is None:
            spent_ns += 525 if here else 0
            spent_ns += 19.9
            here = False
        else:
            if not here or at in (page, span[0]):
                tree = task.tree
                height, compared = (2, 12) if tree is None else (tree.height, tree.passed(span[0]))
                spent_ns += 547 + 36.6 * height + 7.21 * compared
            own = span[0] <= page < span[1]
            share = float(at == page) if own else span[2]
            spent_ns += 78.4 * share + 19.9 * (1 - share)
            here = True
        at += 1
    return spent_ns


def started(*, tree: bool, fragmenting: Fragmenting | None) -> tuple[Kernel, Task, Program]:
    kernel = boot({"memory": 64 << 20, "cpus": 1})
    task = kernel.first_task(User("nobody", memlock_pages=UNLIMITED, files_max=UNLIMITED))
    left: tuple[tuple[int, int], ...] = ()
    if fragmenting is not None:
        fragmenting.leave(kernel, task, 0)
        left = fragmenting.mapped
    if tree:
        task.tree = MappingTree(sorted((*MAPPED_AT_START, *left)), -1)
    return kernel, task, Program(kernel, task, fragmenting)


def mapped_file(kernel: Kernel, task: Task, pages: int) -> Mapping:
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, pages)
    return kernel.mmap(task, file, pages, 0)


@pytest.mark.parametrize("kept_pages", [None, 0, 211])
@pytest.mark.parametrize("tree", [True, False])
def test_a_look_up_walks_to_the_end_of_its_page_table(tree: bool, kept_pages: int | None) -> None:
    """Files come and go; the time to look up each page of a new one is that of a walk page by page."""
    fragmenting = None if kept_pages is None else Fragmenting(300, kept_pages, pipes=4, closed=1)
    kernel, task, program = started(tree=tree, fragmenting=fragmenting)
    above = [(first, last + 1, 0.0) for first, last in MAPPED_AT_START if first >= MMAP_TOP]
    if fragmenting is not None:
        (first, last), *books = fragmenting.mapped
        above += [(first, last + 1, fragmenting.kept_pages / 300), *((one, other + 1, 1.0) for one, other in books)]
    draw = random.Random(5)
    files: list[Mapping] = []
    for _ in range(120):
        if len(files) > 12 and draw.random() < 0.5:
            kernel.munmap(task, files.pop(draw.randrange(len(files))), 0)
            continue
        mapping = mapped_file(kernel, task, draw.randrange(1, 60))
        files.append(mapping)
        times = program.page_times(mapping)
        assert len(times) == mapping.pages
        for page in {0, mapping.pages // 2, mapping.pages - 1}:
            walked = walked_ns(task, mapping.start + page, above) - (CHURN_LESS_NS if tree else 0)
            assert times[page] == pytest.approx(walked, abs=1)


def test_many_files_in_one_area_are_looked_up_together() -> None:
    """Each of the files side by side is a mapping of its own; those that were looked up before are left alone."""
    kernel, task, program = started(tree=True, fragmenting=None)
    area = kernel.reserve(task, 600, 0)
    above = [(first, last + 1, 0.0) for first, last in MAPPED_AT_START if first >= MMAP_TOP]
    for number in range(90):
        file = kernel.memfd_secret(task, 0)
        kernel.ftruncate(file, 1)
        mapping = kernel.mmap(task, file, 1, 0, within=area)
        kernel.fault(task, mapping, 0, 1)
        if number == 39:
            assert len(list(program.look_up("memfd"))) == 40
    times = np.array(list(program.look_up("memfd")))
    assert len(times) == 50
    rest = (area.start + 90, area.start + 600, 0.0)
    task.mappings[:] = [*area.inside]
    expected = [walked_ns(task, area.start + number, [rest, *above]) for number in range(40, 90)]
    assert times == pytest.approx(expected, abs=1)
    assert not list(program.look_up("munmap"))
