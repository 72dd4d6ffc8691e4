"""Footprints at work, in plain Python: slab caches, what tasks and files hold, what waits for a grace period."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from models.kernel.footprints import Footprints, Step
from models.kernel.slab import cpu_partial_slabs, min_partial, slab_geometry
from tests.models.kernel.slab_reference import SlabCache

__all__ = ["FootprintState", "Ledger", "Release", "Request"]

#: Ticks until a callback runs, the first one after it was queued included.
_TICKS = 3
_MIGRATETYPES = {"unmovable": 0, "movable": 1, "reclaimable": 2}


@dataclass(frozen=True, slots=True)
class Request:
    """Pages wanted from the page allocator.

    Attributes:
        handle: Number under which a later `Release` names the same pages.
        kind: What for: the step's page kind, `page_table:LEVEL` or `slab:CACHE`.
        order: Order of the allocation.
        migratetype: 0 unmovable, 1 movable, 2 reclaimable.
        bulk_pages: Pages of the bulk request that this one belongs to, 0 for a single request.
    """

    handle: int
    kind: str
    order: int
    migratetype: int
    bulk_pages: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """Pages given back to the page allocator; `batched` as `free_unref_page_list` does."""

    handle: int
    kind: str
    order: int
    batched: bool = False


@dataclass(slots=True)
class _Held:
    """A page (handle of its request) or an object (slab of its cache) under a label."""

    kind: str
    order: int = 0
    handle: int = -1
    slab: int = -1


@dataclass(slots=True)
class Ledger:
    """What one task, file or mapping holds, by label, in the order in which it was taken."""

    held: dict[str, list[_Held]] = field(default_factory=dict)

    def move(self, label: str, other: Ledger, new_label: str) -> None:
        """Hands everything under a label to another ledger: a child keeps what its parent no longer maps."""
        other.held.setdefault(new_label, []).extend(self.held.pop(label, []))

    def count(self, label: str) -> int:
        """How many pages and objects are held under a label."""
        return len(self.held.get(label, ()))


@dataclass(frozen=True, slots=True)
class _Call:
    """Where and when an operation runs, and what only its caller knows."""

    cpu: int = 0
    now_ns: int = 0
    generation: int = 1
    order: int | None = None


class _Cache:
    """A slab cache with the page handles of its slabs."""

    def __init__(self, name: str, footprints: Footprints, cpus: int) -> None:
        spec = footprints.caches[name]
        self.kind = f"slab:{name}"
        self.order, objects = slab_geometry(spec.object_bytes, cpus)
        self.migratetype = _MIGRATETYPES[spec.migratetype]
        self.typesafe_by_rcu = spec.typesafe_by_rcu
        self.slabs = SlabCache(
            objects, min_partial(spec.object_bytes), cpu_partial_slabs(spec.object_bytes, objects), cpus
        )
        self.handles: dict[int, int] = {}
        self.boots = self.slabs.prime(spec.boot_free)


class FootprintState:
    """Turns operations into requests to the page allocator and releases, in the kernel's order.

    Time does not pass here: the caller says what time it is. The pages of the slabs that the boot left are
    not known; when one of them becomes empty nothing is released.

    Args:
        footprints: The preset.
        cpus: CPUs that the kernel found at boot.
    """

    def __init__(self, footprints: Footprints, cpus: int = 1) -> None:
        self.footprints = footprints
        self.kernel = Ledger()
        caches = {name: _Cache(name, footprints, cpus) for name in footprints.caches}
        self._caches = {name: caches[cache] for name, cache in footprints.cache_names().items()}
        self._runs: dict[str, int] = {}
        self._next_handle = 0
        self._waiting: deque[tuple[int, bool, _Held]] = deque()

    def perform(
        self,
        operation: str,
        ledger: Ledger,
        *,
        now_ns: int = 0,
        cpu: int = 0,
        repeat: int = 1,
        generation: int = 1,
        order: int | None = None,
        flags: Iterable[str] = (),
    ) -> list[Request | Release]:
        """Runs an operation.

        Args:
            operation: Its name in the preset.
            ledger: Where what it takes is noted and what it gives back is found; steps that the kernel pays
                for use the state's own.
            now_ns: Time, for what waits for a grace period, nanoseconds.
            cpu: CPU that it runs on.
            repeat: How often, in one go.
            generation: Depth of the task in the tree of forks, 1 for a child of the first task.
            order: Order of the pages that it takes, where only the caller knows it.
            flags: Conditions that hold (`with` of the steps).

        Returns:
            Requests and releases in the order in which the kernel makes them.
        """
        out: list[Request | Release] = []
        call = _Call(cpu, now_ns, generation, order)
        steps = self.footprints.steps(operation)
        holds = self.footprints.flags.union(flags)
        for _ in range(repeat):
            run = self._runs[operation] = self._runs.get(operation, 0) + 1
            for step in steps:
                if step.happens_at(run) and (step.with_flag is None or step.with_flag in holds):
                    owner = self.kernel if step.whose == "kernel" else ledger
                    out += (
                        self._take(step, owner, call) if step.give is None else self._give(step, owner, call)
                    )
        return out

    def give(
        self,
        label: str,
        ledger: Ledger,
        *,
        count: int | None = None,
        batched: bool = False,
        cpu: int = 0,
    ) -> list[Release]:
        """Gives back at once the last `count` things held under a label, the last taken first."""
        call = _Call(cpu)
        return [entry for held in _pop(ledger, label, count) for entry in self._release(held, batched, call)]

    def give_boots(self, name: str, count: int) -> None:
        """Gives objects back that the boot had taken, into the slab that it left active."""
        cache = self._caches[name]
        for _ in range(count):
            cache.slabs.give(cache.boots[0])

    def next_grace_ns(self) -> int | None:
        """When the next callbacks run, by what was queued so far; None if nothing waits."""
        return self._due_ns(self._waiting[0][0]) if self._waiting else None

    def _due_ns(self, queued_ns: int) -> int:
        """At the third tick from when it was queued: the first one has a grace period begun, the second ended."""
        tick_ns = self.footprints.grace_period.tick_ns
        return (queued_ns // tick_ns + _TICKS) * tick_ns

    def end_grace_period(self, now_ns: int, *, cpu: int = 0) -> list[Release]:
        """Runs the callbacks that are due at `now_ns`, in the order in which they were queued.

        Args:
            now_ns: Time, nanoseconds.
            cpu: CPU whose softirq runs them.
        """
        out: list[Release] = []
        queued = len(self._waiting)
        while queued and self._due_ns(self._waiting[0][0]) <= now_ns:
            queued -= 1
            _, batched, held = self._waiting.popleft()
            out += self._release(held, batched, _Call(cpu, now_ns))
        return out

    def restart_clock(self) -> None:
        """Forgets how often operations ran, as at the start of a workload."""
        self._runs.clear()

    def slab_pages(self) -> dict[str, int]:
        """Pages in the slabs of each cache, those of the boot left out."""
        return {
            name: len(self._caches[name].handles) << self._caches[name].order
            for name in self.footprints.caches
        }

    def _take(self, step: Step, owner: Ledger, call: _Call) -> list[Request]:
        count = (step.count or 1) * (call.generation if step.per_generation else 1)
        held = owner.held.setdefault(step.label, [])
        out: list[Request] = []
        if step.object is not None:
            cache = self._caches[step.object]
            for _ in range(count):
                slab, is_new = cache.slabs.take(call.cpu)
                if is_new:
                    out.append(self._request(cache.kind, cache.order, cache.migratetype))
                    cache.handles[slab] = out[-1].handle
                held.append(_Held(step.object, slab=slab))
            return out
        kind = step.pages if step.pages is not None else f"page_table:{step.page_table}"
        order = step.order if call.order is None else call.order
        for _ in range(count):
            out.append(self._request(kind, order, _MIGRATETYPES[step.migratetype], count if step.bulk else 0))
            held.append(_Held(kind, order, out[-1].handle))
        return out

    def _request(self, kind: str, order: int, migratetype: int, bulk_pages: int = 0) -> Request:
        self._next_handle += 1
        return Request(self._next_handle - 1, kind, order, migratetype, bulk_pages)

    def _give(self, step: Step, owner: Ledger, call: _Call) -> list[Release]:
        assert step.give is not None
        batched = step.how == "batched"
        out: list[Release] = []
        for held in _pop(owner, step.give, step.count):
            if step.when == "now":
                out += self._release(held, batched, call)
            else:
                self._waiting.append((call.now_ns, batched, held))
        return out

    def _release(self, held: _Held, batched: bool, call: _Call) -> list[Release]:
        if held.slab < 0:
            return [Release(held.handle, held.kind, held.order, batched)]
        cache = self._caches[held.kind]
        out = []
        for slab in cache.slabs.give(held.slab, call.cpu):
            handle = cache.handles.pop(slab, None)
            if handle is None:
                continue
            if cache.typesafe_by_rcu:
                self._waiting.append((call.now_ns, False, _Held(cache.kind, cache.order, handle)))
            else:
                out.append(Release(handle, cache.kind, cache.order))
        return out


def _pop(ledger: Ledger, label: str, count: int | None) -> list[_Held]:
    """Takes the last `count` entries, or all, off a label, the last taken first."""
    held = ledger.held.get(label)
    if not held:
        return []
    first = 0 if count is None else max(0, len(held) - count)
    popped = held[first:]
    del held[first:]
    popped.reverse()
    return popped
