"""Slab caches: geometry, when slabs are taken and given back."""

from __future__ import annotations

import random

import pytest

from models.kernel.slab import cpu_partial_slabs, min_partial, slab_geometry
from tests.models.kernel.slab_reference import SlabCache


def cache(objects: int = 4, partial: int = 1, cpu_slabs: int = 2, cpus: int = 1) -> SlabCache:
    return SlabCache(objects, partial, cpu_slabs, cpus)


@pytest.mark.parametrize(
    ("object_bytes", "cpus", "order", "objects"),
    [
        (256, 1, 0, 16),
        (584, 1, 1, 14),
        (704, 1, 1, 11),
        (704, 2, 2, 23),
        (2112, 1, 3, 15),
        (9792, 1, 3, 3),
    ],
)
def test_geometry_follows_calculate_order(object_bytes: int, cpus: int, order: int, objects: int) -> None:
    """Larger objects and more CPUs make larger slabs; the waste bound picks the order."""
    assert slab_geometry(object_bytes, cpus) == (order, objects)


def test_geometry_refuses_objects_beyond_an_order_3_slab() -> None:
    """Such objects come from the page allocator directly; the size is shown."""
    with pytest.raises(ValueError, match="40000"):
        slab_geometry(40000)


def test_lists_are_sized_by_object_size() -> None:
    """The bounds of kmem_cache_open and set_cpu_partial."""
    assert (min_partial(64), min_partial(1 << 13), min_partial(1 << 30)) == (5, 6, 10)
    assert cpu_partial_slabs(64, 64) == 4
    assert cpu_partial_slabs(256, 16) == 7
    assert cpu_partial_slabs(5440, 6) == 2


def test_a_slab_is_taken_when_the_last_has_no_free_object() -> None:
    """Without frees, exactly every n-th object needs pages."""
    slabs = cache(objects=4)
    assert [slabs.take()[1] for _ in range(9)] == [True, False, False, False, True, False, False, False, True]


def test_prime_delays_the_first_slab() -> None:
    """Objects that the boot left are used first, whichever slab they lie in."""
    slabs = cache(objects=4)
    slabs.prime(6)
    assert [slabs.take()[1] for _ in range(7)] == [False] * 6 + [True]


def test_freed_object_of_a_full_slab_is_reused_before_a_new_slab() -> None:
    """A slab with a free object goes on the CPU's partial list and is found there."""
    slabs = cache(objects=2)
    first = [slabs.take()[0] for _ in range(4)]
    slabs.give(first[0])
    assert slabs.take() == (first[0], False)


def test_empty_slabs_beyond_min_partial_go_back() -> None:
    """The partial list is handed to the node when it is long; the node keeps min_partial slabs."""
    slabs = cache(objects=1, partial=2, cpu_slabs=2)
    taken = [slabs.take()[0] for _ in range(8)]
    released = [gone for slab in taken[:-1] for gone in slabs.give(slab)]
    assert released, "seven empty slabs cannot all be kept"
    assert set(released) <= set(taken)
    assert slabs.slabs == 8 - len(released)


def test_object_given_back_on_another_cpu_returns_to_its_slab() -> None:
    """A remote free into a CPU's active slab is found when that CPU runs dry, before a new slab."""
    slabs = cache(objects=2, cpus=2)
    slab, _ = slabs.take(cpu=0)
    assert slabs.take(cpu=0) == (slab, False)
    assert slabs.give(slab, cpu=1) == []
    assert slabs.take(cpu=0) == (slab, False)


def test_giving_back_twice_is_refused() -> None:
    """A slab with no object in use cannot lose one."""
    slabs = cache()
    slab, _ = slabs.take()
    slabs.give(slab)
    with pytest.raises(ValueError, match=f"slab {slab}"):
        slabs.give(slab)


@pytest.mark.parametrize("field", ["objects_per_slab", "cpu_partial_slabs", "cpus"])
def test_impossible_caches_are_refused(field: str) -> None:
    """The bad value is named where it enters."""
    values = {"objects_per_slab": 4, "min_partial": 5, "cpu_partial_slabs": 2, "cpus": 1, field: 0}
    with pytest.raises(ValueError, match=field):
        SlabCache(**values)


def test_random_use_keeps_the_counts() -> None:
    """Objects fit into the slabs, every object finds its slab again, and an unused cache keeps few slabs."""
    draw = random.Random(7)
    slabs = SlabCache(16, min_partial(256), cpu_partial_slabs(256, 16), cpus=2)
    held: list[int] = []
    live = 0
    for _ in range(20_000):
        cpu = draw.randrange(2)
        if held and draw.random() < 0.49:
            live -= len(slabs.give(held.pop(draw.randrange(len(held))), cpu))
        else:
            slab, is_new = slabs.take(cpu)
            live += is_new
            held.append(slab)
        assert slabs.objects == len(held)
        assert slabs.slabs == live
        assert live * 16 >= len(held)
    while held:
        live -= len(slabs.give(held.pop(), 0))
    assert live <= min_partial(256) + 2 * (cpu_partial_slabs(256, 16) + 1)
