"""Footprints: what tasks, files and mappings take from the page allocator, as presets say it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.kernel.slab import slab_geometry

__all__ = [
    "BackgroundSpec",
    "Footprints",
    "FootprintsError",
    "GracePeriodSpec",
    "MmuGatherSpec",
    "SlabCacheSpec",
    "Step",
    "XarraySpec",
    "unknown_name",
]

Migratetype = Literal["unmovable", "movable", "reclaimable"]
PageTableLevel = Literal["pte", "pmd", "pud", "p4d", "pgd", "kernel"]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Order = Annotated[int, Field(ge=0, le=10)]


class FootprintsError(ValueError):
    """A footprints preset that does not exist or says something impossible."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SlabCacheSpec(_Frozen):
    """A slab cache; slab order and objects per slab follow from `object_bytes` (aligned size) and the CPUs.

    Attributes:
        object_bytes: Size of an object with its alignment and debugging, bytes.
        migratetype: What its pages are asked for as.
        boot_free: Objects that the boot left before a new slab has to be taken.
        typesafe_by_rcu: An empty slab's pages go back only after a grace period.
        merges: Names of the caches that SLUB keeps as this one.
    """

    object_bytes: Positive
    migratetype: Migratetype
    boot_free: Count = 0
    typesafe_by_rcu: bool = False
    merges: tuple[str, ...] = ()


class GracePeriodSpec(_Frozen):
    """When callbacks run that wait for an RCU grace period, in nanoseconds of the guest's clock.

    Attributes:
        tick_ns: The timer tick, in whose softirq callbacks run.
        batch: Callbacks that a softirq runs before it gives way to tasks (`rcutree.blimit`).
    """

    tick_ns: Positive
    batch: Positive = 10
    confidence: str = ""


class XarraySpec(_Frozen):
    """Page-cache and IDR nodes: slots of one node, and the cache that nodes come from."""

    slots: Positive
    cache: str

    def nodes(self, entries: int) -> int:
        """Nodes of an xarray whose first `entries` slots are used; a single entry at index 0 needs none."""
        if entries <= 1:
            return 0
        total, level = 0, entries
        while level > 1 or total == 0:
            level = -(-level // self.slots)
            total += level
        return total

    def new_nodes(self, index: int) -> int:
        """Nodes taken when `index` is stored, slots being used in ascending order (`xas_create`)."""
        return self.nodes(index + 1) - self.nodes(index)


class MmuGatherSpec(_Frozen):
    """Where unmapping collects pages: entries on the stack, entries per gather page, most gather pages."""

    on_stack: Positive
    per_page: Positive
    max_pages: Positive

    def gather_pages(self, pages: int) -> int:
        """Gather pages taken to collect `pages` pages before a flush, each when the last batch is full."""
        if pages < self.on_stack:
            return 0
        return min(self.max_pages, 1 + (pages - self.on_stack) // self.per_page)


class Step(_Frozen):
    """One step of an operation: takes `pages`, an `object` or a `page_table` page, or gives a label back.

    Attributes:
        pages: What the pages are for, the kind that a request carries.
        object: Name of the slab cache that an object is taken from.
        page_table: Level of the page-table page.
        give: Label of what goes back; `count` of them, the last taken first, or all if `count` is left out.
        count: How many.
        order: Order of each page.
        bulk: The pages are one bulk request.
        label: Name under which a later `give` finds what was taken.
        whose: Who pays.
        every: The step happens at every n-th run of its operation, from run `first` on.
        per: What `every` and `first` count: runs of the operation; the most tasks that there were at a time; or the
            most stacks, with as many of ended tasks as wait for a purge at the most: what the numbers and addresses
            of tasks take is bounded so, without following each of them.
        with_flag: The step happens only if the caller sets this flag (`with` in YAML).
        per_generation: `count` is multiplied by the depth of the task in the tree of forks.
        when: When a give happens: at once, after a grace period, or by a worker after one.
        how: Whether pages go back one by one or in a batch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    pages: str | None = None
    object: str | None = None
    page_table: PageTableLevel | None = None
    give: str | None = None
    count: Positive | None = None
    order: Order = 0
    migratetype: Migratetype = "unmovable"
    bulk: bool = False
    label: str = ""
    whose: Literal["task", "parent", "file", "mapping", "kernel"] = "task"
    every: Positive = 1
    first: Positive | None = None
    per: Literal["run", "task", "stack"] = "run"
    with_flag: str | None = Field(default=None, alias="with")
    per_generation: bool = False
    when: Literal["now", "rcu", "worker"] = "now"
    how: Literal["single", "batched"] = "single"

    @model_validator(mode="after")
    def _is_one_thing(self) -> Step:
        given = [
            name for name in ("pages", "object", "page_table", "give") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"a step is one of pages, object, page_table and give, not {given or 'none of them'}"
            )
        if self.give is None and not self.label:
            raise ValueError(f"a step that takes {given[0]} needs a label")
        return self

    def happens_at(self, run: int) -> bool:
        """Whether the step happens at the operation's `run`, counted from 1."""
        first = self.every if self.first is None else self.first
        return run >= first and (run - first) % self.every == 0


class BackgroundSpec(_Frozen):
    """An operation that the kernel runs by itself, `after_ns` after the end of the boot.

    Attributes:
        gives: Objects that the boot has taken, by slab cache, and that go back then.
        takes_ns: Time on a CPU beside its slabs, of the guest's clock; the task that runs waits for it.
    """

    after_ns: Count
    operation: str
    takes_ns: Count = 0
    gives: dict[str, Count] = {}


class VmapSpec(_Frozen):
    """What the boot leaves where areas of two pages are taken.

    Attributes:
        holes: That many fit between others.
        first_table: Which area, counted from 1, is the first that needs a new page table.
    """

    holes: Count = 0
    first_table: Positive = 1


class Footprints(_Frozen):
    """A preset: slab caches, operations as ordered steps, and the rules between them.

    Attributes:
        flags: Flags that hold for every operation.
        pagevec: Pages that truncation gives back in one batch.
        vmap: Small areas of the kernel's address space, which pools take.
    """

    name: str
    source: str
    confidence: str
    caches: dict[str, SlabCacheSpec]
    flags: frozenset[str] = frozenset()
    background: tuple[BackgroundSpec, ...] = ()
    grace_period: GracePeriodSpec
    xarray: XarraySpec
    mmu_gather: MmuGatherSpec
    pagevec: Positive
    vmap: VmapSpec = VmapSpec()
    operations: dict[str, tuple[Step, ...]]

    @model_validator(mode="after")
    def _caches_exist(self) -> Footprints:
        known = self.cache_names()
        used = [
            (name, step.object) for name, steps in self.operations.items() for step in steps if step.object
        ]
        for operation, cache in [*used, ("xarray", self.xarray.cache)]:
            if cache not in known:
                raise ValueError(f"{operation}: " + unknown_name("slab cache", cache, known))
        for entry in self.background:
            for cache in entry.gives:
                if cache not in self.caches:
                    raise ValueError(f"background {entry.operation}: " + unknown_name("slab cache", cache, self.caches))
            if entry.operation not in self.operations:
                raise ValueError("background: " + unknown_name("operation", entry.operation, self.operations))
        return self

    def cache_names(self) -> dict[str, str]:
        """The cache behind each name that a step may use: its own, and those that it is merged with."""
        names: dict[str, str] = {}
        for cache, spec in self.caches.items():
            for name in (cache, *spec.merges):
                if name in names:
                    raise ValueError(f"{name} is served by the slab caches {names[name]} and {cache}")
                names[name] = cache
        return names

    def steps(self, operation: str) -> tuple[Step, ...]:
        """The steps of an operation.

        Raises:
            FootprintsError: If the preset has no such operation.
        """
        try:
            return self.operations[operation]
        except KeyError:
            raise FootprintsError(unknown_name("operation", operation, self.operations)) from None

    def pages_per_run(self, operation: str, cpus: int = 1, flags: Iterable[str] = ()) -> dict[str, float]:
        """Mean pages that one run of an operation keeps, by migratetype; slab pages shared among objects.

        Objects that the operation gives back itself are not counted.
        """
        pages = {"unmovable": 0.0, "movable": 0.0, "reclaimable": 0.0}
        names, holds = self.cache_names(), self.flags.union(flags)
        taken: dict[str, Step] = {}
        for step in self.steps(operation):
            if step.with_flag is not None and step.with_flag not in holds:
                continue
            count = (step.count or 1) / step.every
            counted = step
            if step.give is not None:
                if step.give not in taken:
                    continue
                counted, count = taken[step.give], -count
            else:
                taken[step.label] = step
            if counted.object is not None:
                spec = self.caches[names[counted.object]]
                order, objects = slab_geometry(spec.object_bytes, cpus)
                pages[spec.migratetype] += count * (1 << order) / objects
            else:
                pages[counted.migratetype] += count * (1 << counted.order)
        return pages


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a preset names something that there is not, and what it may have meant."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"unknown {what} {name!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    )
