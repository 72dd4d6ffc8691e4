"""Areas of the kernel's address space: objects go only as neighbours become one."""

from __future__ import annotations

import random

from models.kernel.vmap_areas import VmapAreas


class Objects:
    """A slab cache as far as areas see it: each object has a number of its own."""

    def __init__(self, holes: int = 0) -> None:
        self.out: set[int] = set()
        self._last = 0
        self.areas = VmapAreas(holes, self.take, self.give)

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
    areas = VmapAreas(0, lambda _: -1, lambda _, __: None)
    assert areas.take(0) == -1
