"""Areas of the kernel's address space: objects go only as neighbours become one."""

from __future__ import annotations

import random

import pytest

from models.kernel.vmap_areas import VmapAreas


class Objects:
    """A slab cache as far as areas see it: each object has a number of its own."""

    def __init__(self, holes: int = 0, cpus: int = 1) -> None:
        self.out: set[int] = set()
        self.flushes = 0
        self._last = 0
        self.areas = VmapAreas(holes, 100, cpus, self.take, self.give, self.flush)

    def flush(self) -> None:
        self.flushes += 1

    def take(self, cpu: int) -> int:
        del cpu
        self._last += 1
        self.out.add(self._last)
        return self._last

    def give(self, cpu: int, number: int) -> None:
        del cpu
        self.out.remove(number)


def test_an_area_that_was_given_back_keeps_its_object() -> None:
    """Until a neighbour goes too: then one object is left for both."""
    objects = Objects()
    first, second, third = (objects.areas.take(0) for _ in range(3))
    objects.areas.give(0, first)
    assert len(objects.out) == 3
    objects.areas.give(0, third)
    assert len(objects.out) == 3
    objects.areas.give(0, second)
    assert len(objects.out) == 1


def test_there_are_as_many_objects_as_areas_and_runs() -> None:
    """In whatever order areas come and go."""
    objects, random_ = Objects(holes=3), random.Random(5)
    live: list[int] = []
    gone: set[int] = set()
    for _ in range(2000):
        if live and random_.random() < 0.5:
            area = live.pop(random_.randrange(len(live)))
            objects.areas.give(0, area)
            gone.add(area)
        else:
            live.append(objects.areas.take(0))
        runs = sum(one - 1 not in gone for one in gone)
        assert len(objects.out) == len(live) + runs


def test_areas_in_holes_have_no_neighbours() -> None:
    """What lies between two stacks never becomes one with anything."""
    objects = Objects(holes=4)
    areas = [objects.areas.take(0) for _ in range(4)]
    for area in areas:
        objects.areas.give(0, area)
    assert len(objects.out) == 4


def test_without_memory_there_is_no_area() -> None:
    """The caller is told, and nothing is noted."""
    areas = VmapAreas(0, 1, 1, lambda _: -1, lambda _, __: None, lambda: None)
    assert areas.take(0) == -1


def churn(objects: Objects, steps: int, live: list[int]) -> tuple[set[int], int]:
    """Take and give back areas at random; returns those that wait for a purge, and how many needed a page table."""
    random_ = random.Random(7)
    waiting: set[int] = set()
    tables = 0
    for _ in range(steps):
        if random_.random() < len(live) / 256:
            flushes, area = objects.flushes, live.pop(random_.randrange(len(live)))
            objects.areas.give(0, area)
            waiting = set() if objects.flushes > flushes else waiting | {area}
        else:
            live.append(objects.areas.take(0))
            if objects.areas.needs_table(live[-1]):
                objects.areas.note_table()
                tables += 1
            assert live[-1] not in waiting
            assert live.count(live[-1]) == 1
    return waiting, tables


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_purge_comes_when_32_mib_wait(cpus: int) -> None:
    """Twice as much with two CPUs; all are flushed then, and the lowest address is the next one."""
    objects = Objects(cpus=cpus)
    first = objects.areas.take(0)
    kept = objects.areas.take(0)
    objects.areas.give(0, first)
    for _ in range(4096 * cpus - 1):
        objects.areas.give(0, objects.areas.take(0))
    assert objects.flushes == 0
    objects.areas.give(0, objects.areas.take(0))
    assert objects.flushes == 1
    assert [objects.areas.take(0) for _ in range(3)] == [first, kept + 1, kept + 2]


def test_after_a_purge_objects_are_those_of_areas_and_runs() -> None:
    """What is free beside other free addresses has no object of its own, as behind the last area."""
    objects, live = Objects(holes=3), list[int]()
    waiting, _ = churn(objects, 21_000, live)
    assert objects.flushes == 2
    holes, used = {2, 4, 6}, waiting | set(live)
    free = set(range(8, max(used))) - used
    runs = sum(one - 1 not in free for one in free)
    runs += sum(one in holes or one - 1 not in waiting for one in waiting)
    assert len(objects.out) == len(live) + runs


def test_page_tables_do_not_grow_without_end() -> None:
    """Addresses come back: a long churn needs those of its first purge, and a few more for what lives on."""
    objects, live = Objects(), list[int]()
    _, early = churn(objects, 9_000, live)
    _, late = churn(objects, 200_000, live)
    assert objects.flushes > 20
    assert early == 1 + (4096 + 256 - 100) // 256
    assert late <= 2


def test_holes_are_used_again_after_a_purge() -> None:
    """What an area leaves of a hole stays free: its object goes, and comes with the next area."""
    objects = Objects(holes=2)
    holes = [objects.areas.take(0) for _ in range(2)]
    for area in holes:
        objects.areas.give(0, area)
    while not objects.flushes:
        objects.areas.give(0, objects.areas.take(0))
    assert not objects.out
    assert [objects.areas.take(0) for _ in range(3)] == [*holes, 6]


def test_what_is_purged_becomes_one_with_its_neighbours() -> None:
    """Behind it first: its own object goes; what is free before keeps its object, behind the last area the boot's."""
    objects = Objects()
    first = objects.areas.take(0)
    low = [objects.areas.take(0) for _ in range(4096)]
    free, last = objects.areas.take(0), objects.areas.take(0)
    for area in (*low, free):
        objects.areas.give(0, area)
    assert objects.flushes == 1
    before = set(objects.out)
    assert len(before) == objects.areas.objects == 3
    assert [objects.areas.take(0) for _ in range(4096)] == low  # `free` has the object of all that were
    kept = before & objects.out
    for area in (*low, last):
        objects.areas.give(0, area)
    assert objects.flushes == 2
    assert len(objects.out) == objects.areas.objects == 2
    assert objects.out < kept
    assert objects.areas.take(0) == first + 1
