"""Kernel threads of a boot: how many there are depends on the machine and on the build."""

from __future__ import annotations

from models.kernel.footprints import Footprints, SlabCacheSpec, Step
from models.kernel.slab import slab_geometry

__all__ = ["with_fewer_threads"]

_THREAD = "kernel_thread"


def with_fewer_threads(footprints: Footprints, threads: int, cpus: int) -> Footprints:
    """Return footprints as a boot leaves them that has so many kernel threads less.

    The objects of these are free, but a slab that would be free as a whole was not taken at all; and what comes with
    every so many numbers or stacks of tasks comes so much later.
    """
    names, objects = footprints.cache_names(), dict[str, int]()
    for step in footprints.operations.get(_THREAD, ()):
        cache = names[str(step.object)]
        objects[cache] = objects.get(cache, 0) + threads * (step.count or 1)
    caches = {
        name: _with_more_free(spec, objects.get(name, 0), cpus) for name, spec in footprints.caches.items()
    }
    operations = {
        name: tuple(_later(step, threads) for step in steps) for name, steps in footprints.operations.items()
    }
    return footprints.model_copy(update={"caches": caches, "operations": operations})


def _with_more_free(spec: SlabCacheSpec, objects: int, cpus: int) -> SlabCacheSpec:
    _, per_slab = slab_geometry(spec.object_bytes, cpus)
    free = spec.boot_free + objects
    return spec.model_copy(update={"boot_free": free - per_slab if objects and free >= per_slab else free})


def _later(step: Step, tasks: int) -> Step:
    if step.per == "run":
        return step
    return step.model_copy(update={"first": (step.first or step.every) + tasks})
