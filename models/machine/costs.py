"""What operations cost in time, as presets: every value with its range, its source and how sure it is.

Operation times include the page clears they do but no flush and no split: those depend on the number of CPUs
and on the tiling, and are composed here from their parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.machine.preset_files import choose, is_own, read_own, read_shipped
from simcore.errors import ConfigError, nearest_name

__all__ = [
    "CostPreset",
    "CostValue",
    "CostValues",
    "FlushCost",
    "FlushKind",
    "SplitCost",
    "cost_names",
    "load_costs",
]

FlushKind = Literal["ipi", "invlpgb", "broadcast"]
Confidence = Literal["published", "measured", "derived", "unverified", "swept"]

_PRESETS = Path(__file__).parent / "presets" / "costs.yaml"
_TABLE_ENTRIES = 512


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CostValue(_Part):
    """One cost in the unit of its name, the ``range`` to sweep, ``cold`` when caches are, its source."""

    value: float = Field(ge=0)
    range: tuple[float, float] | None = None
    cold: float | None = Field(default=None, ge=0)
    source: str = Field(min_length=1)
    confidence: Confidence

    @model_validator(mode="after")
    def _inside(self) -> CostValue:
        if self.range is None:
            if self.confidence == "swept":
                raise ValueError(f"a swept value needs a range, {self.value} has none")
        elif not self.range[0] <= self.value <= self.range[1]:
            raise ValueError(f"{self.value} lies outside its own range {self.range}")
        return self


class CostValues(_Part):
    """Every cost the models ask for. ``_ns``: nanoseconds; ``_cycles``: CPU cycles at ``cpu_ghz``."""

    cpu_ghz: CostValue
    #: Turns instruction counts into time where no time is known; only the presets' derived values rest on it.
    instructions_per_ns: CostValue

    # Flushing, see `FlushCost`.
    invlpg_cycles: CostValue
    cr3_flush_cycles: CostValue
    global_flush_cycles: CostValue
    single_page_flush_ceiling: CostValue
    flush_a_ns: CostValue
    flush_b_ns_per_cpu: CostValue
    flush_socket_b_ns_per_cpu: CostValue
    flush_receiver_ns: CostValue
    flush_broadcast_ns: CostValue

    # The direct map.
    direct_map_entry_ns: CostValue
    table_page_ns: CostValue
    write_entry_ns: CostValue

    # Faults and pages.
    page_clear_ns: CostValue
    ordinary_fault_ns: CostValue
    secret_fault_ns: CostValue
    pool_fault_ns: CostValue
    #: Adding a chunk to a pool, without the 512 clears.
    pool_chunk_ns: CostValue
    #: A CPU's list of free pages is filled. Without a value: a part of what needs the pages.
    refill_ns: CostValue | None = None
    #: A slab cache gets a new slab. Without a value: a part of what needs the objects.
    slab_ns: CostValue | None = None
    #: Zero page of ordinary memory mapped by a read. Without a value: a fault less the clear of its page.
    read_fault_ns: CostValue | None = None
    munmap_page_ns: CostValue
    #: A call that unmaps, its pages aside. Without a value: a part of those, as in the next two.
    munmap_ns: CostValue | None = None
    #: A file's page is unmapped, which stays with the file.
    unmap_page_ns: CostValue | None = None
    #: Unmapping looks at all entries of a page table.
    scan_table_ns: CostValue | None = None
    #: A secret page's last reference goes: put back into the direct map, cleared, freed.
    free_page_ns: CostValue
    #: Part of `free_page_ns` for each page of a pool's chunk, used or not. Without a value: all of it.
    chunk_page_ns: CostValue | None = None
    #: A page of a pool's file leaves the file's page cache. Without a value: a part of freeing it.
    truncate_page_ns: CostValue | None = None
    #: Compaction moves a page of a process. Without a value: it is unmapped, and faulted in elsewhere.
    move_page_ns: CostValue | None = None
    #: Compaction makes a page of a free block a place to move one to. Without a value: a part of moving it.
    isolate_page_ns: CostValue | None = None
    #: It takes a free block for that, and a batch of pages to be moved. Without a value: parts of the same.
    isolate_block_ns: CostValue | None = None
    compact_batch_ns: CostValue | None = None
    #: It looks at a process that may map a page that it moves, since a task that forked it has. Without a value: a part
    #: of moving the page.
    walk_process_ns: CostValue | None = None
    #: It rotates a free list, and goes on.
    rotate_list_ns: CostValue | None = None
    #: It gives such a page back to which nothing was moved. Without a value: as an unmapped page is.
    release_page_ns: CostValue | None = None
    #: A page goes from a CPU's lists to the others. Without a value: a part of freeing it.
    drain_page_ns: CostValue | None = None

    # System calls and tasks.
    null_syscall_ns: CostValue
    memfd_secret_ns: CostValue
    ftruncate_ns: CostValue
    mmap_ns: CostValue
    #: A node of the tree of mappings is set aside for it. Without a value: a part of it.
    tree_node_ns: CostValue | None = None
    fork_ns: CostValue
    #: What a new task does first: it writes to memory that it shares. Without a value: a part of fork.
    start_ns: CostValue | None = None
    #: What a task does first that has waited for its new one: it reads what that says. Without a value: a part of fork.
    resume_ns: CostValue | None = None
    exit_ns: CostValue
    #: An open descriptor is copied by fork, and closed at exit. Without a value: a part of those.
    descriptor_ns: CostValue | None = None
    #: Without a value: a part of giving a file's pages back.
    close_ns: CostValue | None = None
    wait_ns: CostValue


class FlushCost(_Part):
    """What a TLB flush of kernel addresses costs the CPU that asks and the CPUs that are interrupted.

    ``ipi``: the asker waits for ``a_ns`` plus ``b_ns_per_cpu`` per other CPU of its socket and
    ``socket_b_ns_per_cpu`` per CPU beyond; each of them loses ``receiver_ns`` and its own flush. ``invlpgb``
    and ``broadcast`` (arm64): the hardware tells the others, nobody is interrupted, the asker waits
    ``broadcast_ns``.
    """

    kind: FlushKind
    a_ns: float
    b_ns_per_cpu: float
    socket_b_ns_per_cpu: float
    receiver_loss_ns: float
    broadcast_ns: float
    page_ns: float
    full_ns: float
    ceiling_pages: int

    def local_ns(self, pages: int | None = None) -> int:
        """Return what a CPU pays to flush ``pages`` of its own TLB; None or above the ceiling: all of it."""
        whole = pages is None or pages > self.ceiling_pages
        return round(self.full_ns if whole or pages is None else pages * self.page_ns)

    def initiator_ns(self, pages: int | None, near: int, far: int = 0) -> int:
        """Return how long the asking CPU takes until all CPUs have flushed.

        Args:
            pages: Pages to flush; None for `flush_tlb_all`.
            near: Other CPUs on its socket.
            far: CPUs on other sockets.

        Raises:
            ValueError: A negative number of CPUs or pages.
        """
        if near < 0 or far < 0 or (pages is not None and pages < 0):
            raise ValueError(f"flush of {pages} pages on {near} near and {far} far CPUs")
        local = self.local_ns(pages)
        if near + far == 0:
            return local
        if self.kind != "ipi":
            return local + round(self.broadcast_ns)
        return local + round(self.a_ns + self.b_ns_per_cpu * near + self.socket_b_ns_per_cpu * far)

    def receiver_ns(self, pages: int | None = None) -> int:
        """Return what every other CPU loses to the interrupt and its own flush."""
        return round(self.receiver_loss_ns) + self.local_ns(pages) if self.kind == "ipi" else 0


class SplitCost(NamedTuple):
    """One split of a direct-map entry: table page, 512 entries, `flush_tlb_all` under the lock; in ns."""

    table_page_ns: int
    entries_ns: int
    flush_ns: int

    @property
    def total_ns(self) -> int:
        """All of it."""
        return self.table_page_ns + self.entries_ns + self.flush_ns


class CostPreset(_Part):
    """A machine's costs; ``evidence`` keeps figures that the values are derived from or checked against."""

    name: str
    description: str
    #: Times inside a virtual machine are inflated: quote ratios.
    virtual: bool
    flush_kind: FlushKind
    values: CostValues
    evidence: dict[str, CostValue] = {}

    def ns(self, name: str) -> int:
        """Return the value called ``name`` (with or without ``_ns``) in whole nanoseconds.

        Raises:
            ConfigError: No time of that name.
        """
        key = name if name.endswith("_ns") else f"{name}_ns"
        cost = getattr(self.values, key, None)
        if not isinstance(cost, CostValue):
            raise ConfigError(f"no cost {name!r}", nearest=nearest_name(key, CostValues.model_fields))
        return round(cost.value)

    def part_ns(self, name: str, default_ns: int = 0) -> int:
        """Return a value that a preset need not have, in whole nanoseconds."""
        cost: CostValue | None = getattr(self.values, f"{name}_ns")
        return default_ns if cost is None else round(cost.value)

    @property
    def flush(self) -> FlushCost:
        """How flushes are paid."""
        values, ghz = self.values, self.values.cpu_ghz.value
        return FlushCost(
            kind=self.flush_kind,
            a_ns=values.flush_a_ns.value,
            b_ns_per_cpu=values.flush_b_ns_per_cpu.value,
            socket_b_ns_per_cpu=values.flush_socket_b_ns_per_cpu.value,
            receiver_loss_ns=values.flush_receiver_ns.value,
            broadcast_ns=values.flush_broadcast_ns.value,
            page_ns=values.invlpg_cycles.value / ghz,
            full_ns=values.global_flush_cycles.value / ghz,
            ceiling_pages=round(values.single_page_flush_ceiling.value),
        )

    def split(self, near: int, far: int = 0) -> SplitCost:
        """Return the cost of splitting a 2M or 1G entry with ``near`` and ``far`` CPUs to interrupt."""
        entries_ns = round(_TABLE_ENTRIES * self.values.write_entry_ns.value)
        return SplitCost(self.ns("table_page"), entries_ns, self.flush.initiator_ns(None, near, far))

    @property
    def pool_chunk_fault_ns(self) -> int:
        """A pool fault that adds a chunk: the chunk's own work, 512 cold clears, then the fault."""
        clear = self.values.page_clear_ns
        clears = _TABLE_ENTRIES * (clear.value if clear.cold is None else clear.cold)
        return round(self.values.pool_chunk_ns.value + clears + self.values.pool_fault_ns.value)

    def with_values(self, values: Mapping[str, float]) -> CostPreset:
        """Return this preset with some values replaced, as a sweep does; the replaced range is dropped.

        Raises:
            ConfigError: An unknown name or a negative value.
        """
        changed: dict[str, CostValue] = {}
        for name, value in values.items():
            if name not in CostValues.model_fields:
                raise ConfigError(f"no cost {name!r}", nearest=nearest_name(name, CostValues.model_fields))
            if value < 0:
                raise ConfigError(f"cost {name} of {value} is negative", expected="0 or more")
            changed[name] = CostValue(value=value, source="given by the configuration", confidence="derived")
        return self.model_copy(update={"values": self.values.model_copy(update=changed)})

    def with_flush(self, kind: FlushKind) -> CostPreset:
        """Return this preset with another way to flush other CPUs."""
        return self.model_copy(update={"flush_kind": kind})


def cost_names() -> list[str]:
    """Return the names of the presets."""
    return sorted(read_shipped(_PRESETS))


def load_costs(name: str) -> CostPreset:
    """Return the preset ``name``, or the one in the file of that name (``*.yaml``).

    Raises:
        ConfigError: There is none of that name; the file cannot be read, or holds no preset.
    """
    if is_own(name):
        return read_own(Path(name), CostPreset)
    return CostPreset(name=name, **choose(name, read_shipped(_PRESETS), "cost preset"))
