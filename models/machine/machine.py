"""A machine: its configuration as users write it, and the checked description that the models work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from models.machine.costs import CostPreset, FlushKind, load_costs
from models.machine.cpu import MAX_CPUS, CpuTopology, NumaNode, split_memory, spread_evenly
from models.machine.memory import Arch, FirmwareRange, MemoryMap, PfnRange, RangeType, clip
from models.machine.preset_files import read_shipped
from models.machine.snapshot import Snapshot, load_snapshot
from models.machine.tlb import TlbPreset, load_tlb
from simcore.errors import ConfigError, nearest_name
from simcore.units import Bytes, parse_bytes

__all__ = [
    "BootConfig",
    "Machine",
    "MachineConfig",
    "NodeConfig",
    "RangeConfig",
    "build_machine",
    "machine_names",
]

_PRESETS = Path(__file__).parent / "presets" / "machines.yaml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RangeConfig(_Part):
    """A firmware range in bytes, ``end`` exclusive; ``[start, end]`` and ``[start, end, type]`` will do."""

    start: Bytes
    end: Bytes
    type: RangeType = "usable"

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            if not 2 <= len(given) <= 3:
                raise ValueError(f"a memory range is [start, end] or [start, end, type], got {given!r}")
            return dict(zip(("start", "end", "type"), given, strict=False))
        return given


class NodeConfig(_Part):
    """A NUMA node: the address ranges of its memory and its number of CPUs (0: memory only)."""

    memory: tuple[RangeConfig, ...] = Field(min_length=1)
    cpus: int = Field(ge=0, le=MAX_CPUS)


class BootConfig(_Part):
    """Options of the kernel's command line that decide how memory is mapped."""

    #: False: `nogbpages`, or a CPU without 1G pages.
    gbpages: bool = True
    #: Only 4K entries.
    debug_pagealloc: bool = False
    #: arm64 CPU with BBML2_NOABORT under 6.18 or later: blocks that are split on demand; else arm64 maps 4K
    #: only.
    bbml2: bool = False
    #: arm64: `rodata=full`, the default: aliases in the direct map become read-only as well. Without it blocks
    #: stay, nothing in the direct map can be changed, and memfd_secret does not exist.
    rodata_full: bool = True

    def maps_4k_only(self, arch: Arch) -> bool:
        """Return whether the direct map may hold nothing larger than 4K."""
        return self.debug_pagealloc or (arch == "arm64" and self.rodata_full and not self.bbml2)

    def can_set_direct_map(self, arch: Arch) -> bool:
        """Return whether single pages of the direct map can be changed [arch/arm64/mm/pageattr.c]."""
        return arch == "x86_64" or self.rodata_full or self.debug_pagealloc


def _scalar_or_list(given: Any) -> str:
    return "list" if isinstance(given, list | tuple) else "scalar"


def _read_size(given: Any) -> Any:
    """Read a size ahead of the union, so that an error names ``memory`` and no member of the union."""
    return given if isinstance(given, list | tuple) else parse_bytes(given)


_Memory = Annotated[
    Annotated[Bytes, Tag("scalar")] | Annotated[tuple[RangeConfig, ...], Tag("list")],
    Discriminator(_scalar_or_list),
    BeforeValidator(_read_size),
]
_Nodes = Annotated[
    Annotated[Annotated[int, Field(ge=1, le=1024)], Tag("scalar")]
    | Annotated[tuple[NodeConfig, ...], Tag("list")],
    Discriminator(_scalar_or_list),
]


class MachineConfig(_Part):
    """What the machine is. ``preset`` fills in what is not given.

    Attributes:
        preset: A machine of presets/machines.yaml.
        snapshot: File of a machine as its kernel told of itself (`simcore host snapshot`); it fills in what is not
            given, and memory begins in the state it describes.
        arch: x86_64 or arm64.
        memory: A size, laid out as a common machine does, or the firmware's ranges.
        cpus: CPUs; with explicit nodes, their sum.
        sockets: Sockets; by default one per node.
        nodes: NUMA nodes: a number (memory and CPUs are shared evenly, in order) or each one's memory and
            CPUs.
        boot: Boot options.
        costs: Name of a cost preset, or a file that holds one (`simcore host calibrate` writes such a file).
        cost_values: Single costs that replace those of the preset.
        flush: How other CPUs flush: by interrupt, or told by hardware (AMD's INVLPGB, arm64's broadcast);
            None: as the cost preset says, arm64 always by broadcast.
        tlb: Name of a TLB preset.
        host_page: In a virtual machine, the page size that the host maps it with; None on bare metal.
    """

    preset: str | None = None
    snapshot: str | None = None
    arch: Arch = "x86_64"
    memory: _Memory = Field(default=64 << 30)
    cpus: int = Field(default=4, ge=1, le=MAX_CPUS)
    sockets: int | None = Field(default=None, ge=1)
    nodes: _Nodes = Field(default=1)
    boot: BootConfig = BootConfig()
    costs: str = "haswell_bare_metal"
    cost_values: dict[str, float] = {}
    flush: FlushKind | None = None
    tlb: str = "haswell"
    host_page: Literal["4K", "2M", "1G"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_from_snapshot(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, Mapping) or given.get("snapshot") is None:
            return given
        if given.get("preset") is not None:
            raise ValueError(f"a machine is a preset ({given['preset']!r}) or a snapshot, not both")
        path = file_path(str(given["snapshot"]), info)
        try:
            known = load_snapshot(path).machine_keys()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if isinstance(given.get("boot"), Mapping) and "boot" in known:
            known["boot"] = {**known["boot"], **given["boot"]}
            return {**known, **given, "snapshot": str(path), "boot": known["boot"]}
        return {**known, **given, "snapshot": str(path)}

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("preset") is None:
            return given
        name = given["preset"]
        presets = read_shipped(_PRESETS)
        if name not in presets:
            near = nearest_name(str(name), presets)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"no machine preset {name!r}; there are {', '.join(sorted(presets))}{hint}")
        filled = dict(presets[name])
        if isinstance(given.get("nodes"), list | tuple):  # explicit nodes bring their own CPUs
            filled = {key: value for key, value in filled.items() if key not in {"cpus", "sockets"}}
        if isinstance(given.get("boot"), Mapping) and "boot" in filled:
            filled["boot"] = {**filled["boot"], **given["boot"]}
            return {**filled, **given, "boot": filled["boot"]}
        return {**filled, **given}

    @field_validator("memory")
    @classmethod
    def _can_be_laid_out(cls, memory: Any, info: ValidationInfo) -> Any:
        if "arch" in info.data:
            _memory_map(memory, info.data["arch"])
        return memory

    @field_validator("costs")
    @classmethod
    def _costs_exist(cls, name: str, info: ValidationInfo) -> str:
        if name.endswith((".yaml", ".yml")):
            name = str(file_path(name, info))
        return _loads(load_costs, name)

    @field_validator("tlb")
    @classmethod
    def _tlb_exists(cls, name: str) -> str:
        return _loads(load_tlb, name)

    @model_validator(mode="after")
    def _is_possible(self) -> MachineConfig:
        if self.boot.bbml2 and self.arch != "arm64":
            raise ValueError(f"boot.bbml2 is a feature of arm64, the machine is {self.arch}")
        if self.flush is not None and (self.flush == "broadcast") != (self.arch == "arm64"):
            raise ValueError(
                f"flush {self.flush!r} does not exist on {self.arch}: "
                "x86_64 has ipi and invlpgb, arm64 broadcast"
            )
        try:
            build_machine(self)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self


def file_path(name: str, info: ValidationInfo) -> Path:
    """Return the absolute path of a file that a configuration names, relative to its own directory."""
    directory = (info.context or {}).get("directory")
    return (Path(directory) / name if directory is not None else Path(name)).absolute()


def _loads(load: Callable[[str], object], name: str) -> str:
    """Return ``name`` if there is such a preset.

    Raises:
        ValueError: There is none, so that the configuration's error names the key and line.
    """
    try:
        load(name)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return name


@dataclass(frozen=True)
class Machine:
    """A checked machine.

    Attributes:
        memory: Firmware ranges and RAM.
        topology: Sockets and nodes of the CPUs.
        nodes: NUMA nodes, in order of their number.
        arch: x86_64 or arm64.
        boot: Boot options.
        costs: What operations cost.
        tlb: The TLB preset.
        host_page: Page size of the host in a virtual machine.
        snapshot: The state that memory begins in; None: as a boot leaves it.
    """

    memory: MemoryMap
    topology: CpuTopology
    nodes: tuple[NumaNode, ...]
    arch: Arch
    boot: BootConfig
    costs: CostPreset
    tlb: TlbPreset
    host_page: Literal["4K", "2M", "1G"] | None
    snapshot: Snapshot | None = None

    @property
    def cpus(self) -> int:
        """Number of CPUs."""
        return self.topology.cpus


def build_machine(config: MachineConfig) -> Machine:
    """Return the machine that ``config`` describes.

    Raises:
        ValueError: It cannot exist; the message shows what contradicts what.
        ConfigError: A cost or TLB preset of that name does not exist.
    """
    memory = _memory_map(config.memory, config.arch)
    if isinstance(config.nodes, int):
        count = config.nodes
        if count > config.cpus:
            raise ValueError(
                f"{count} nodes share {config.cpus} CPUs: "
                "a node without CPUs is possible, but must be listed under nodes"
            )
        node_of = spread_evenly(config.cpus, count)
        shares = split_memory(memory.ram, count)
    else:
        count = len(config.nodes)
        node_of = tuple(node for node, part in enumerate(config.nodes) for _ in range(part.cpus))
        if "cpus" in config.model_fields_set and config.cpus != len(node_of):
            raise ValueError(f"cpus is {config.cpus}, but the nodes have {len(node_of)}")
        shares = _explicit_shares(memory, config.nodes)
    topology = CpuTopology(_sockets(config.sockets, node_of, count), node_of)
    nodes = tuple(NumaNode(node, shares[node], topology.cpus_of_node(node)) for node in range(count))
    costs = load_costs(config.costs).with_values(config.cost_values)
    kind = "broadcast" if config.arch == "arm64" else config.flush
    if kind is not None:
        costs = costs.with_flush(kind)
    tlb = load_tlb(config.tlb)
    snapshot = None if config.snapshot is None else load_snapshot(Path(config.snapshot))
    if snapshot is not None and any(zone.end_pfn > memory.max_pfn for zone in snapshot.zones):
        raise ValueError(f"the snapshot's zones end above the machine's memory of {memory.ram_bytes} bytes")
    return Machine(memory, topology, nodes, config.arch, config.boot, costs, tlb, config.host_page, snapshot)


def _memory_map(memory: int | tuple[RangeConfig, ...], arch: Arch) -> MemoryMap:
    if isinstance(memory, int):
        return MemoryMap.from_size(memory, arch)
    return MemoryMap.from_ranges((FirmwareRange(line.start, line.end, line.type) for line in memory), arch)


def _sockets(sockets: int | None, node_of: tuple[int, ...], nodes: int) -> tuple[int, ...]:
    """Return each CPU's socket: whole nodes on sockets, or whole sockets on nodes."""
    if sockets is None:
        return node_of
    if sockets > len(node_of):
        raise ValueError(f"{sockets} sockets for {len(node_of)} CPUs")
    if sockets % nodes and nodes % sockets:
        raise ValueError(f"{nodes} nodes and {sockets} sockets: neither number divides the other")
    return spread_evenly(len(node_of), sockets)


def _explicit_shares(memory: MemoryMap, nodes: tuple[NodeConfig, ...]) -> tuple[tuple[PfnRange, ...], ...]:
    """Return each node's RAM.

    Raises:
        ValueError: Memory belongs to two nodes or to none, or a node has none.
    """
    # A node's range may hold holes and reserved parts: only the RAM in it counts.
    lines = sorted((line.start, line.end, node) for node, part in enumerate(nodes) for line in part.memory)
    for (start, end, node), (next_start, _, other) in pairwise(lines):
        if next_start < end:
            raise ValueError(
                f"nodes {node} and {other} both have memory at {next_start:#x} (a range from {start:#x})"
            )
    shares = tuple(
        tuple(
            part
            for line in sorted(node.memory, key=lambda line: line.start)
            for part in _pages_of(memory, line)
        )
        for node in nodes
    )
    if empty := [node for node, share in enumerate(shares) if not share]:
        raise ValueError(f"node {empty[0]} has no memory: none of its ranges holds RAM")
    owned = sum(part.pages for share in shares for part in share)
    if owned != memory.ram_pages:
        raise ValueError(f"the nodes hold {owned} pages of RAM, the machine has {memory.ram_pages}")
    return shares


def _pages_of(memory: MemoryMap, line: RangeConfig) -> list[PfnRange]:
    return clip(memory.ram, *FirmwareRange(line.start, line.end, line.type).whole_pages)


def machine_names() -> list[str]:
    """Return the names of the machine presets."""
    return sorted(read_shipped(_PRESETS))
