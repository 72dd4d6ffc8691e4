"""A machine: its configuration as users write it, and the checked description that the models work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

from models.machine.boot_options import BootConfig
from models.machine.costs import CostPreset, FlushKind, load_costs
from models.machine.cpu import MAX_CPUS, CpuTopology, NumaNode, split_memory, spread_evenly
from models.machine.filling import fill_from_preset, fill_from_snapshot
from models.machine.memory import Arch, FirmwareRange, MemoryMap
from models.machine.nodes import NodeConfig, RangeConfig, explicit_shares, sockets_of_cpus
from models.machine.snapshot import Snapshot, load_snapshot
from models.machine.tlb import TlbPreset, load_tlb
from simcore.errors import ConfigError
from simcore.units import Bytes, parse_bytes

__all__ = ["Machine", "MachineConfig", "build_machine"]


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
    Annotated[Annotated[int, Field(ge=1, le=1024)], Tag("scalar")] | Annotated[tuple[NodeConfig, ...], Tag("list")],
    Discriminator(_scalar_or_list),
]


class MachineConfig(BaseModel):
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

    model_config = ConfigDict(extra="forbid", frozen=True)

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
        return fill_from_snapshot(given, file_path(str(given["snapshot"]), info))

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("preset") is None:
            return given
        return fill_from_preset(given)

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
                f"flush {self.flush!r} does not exist on {self.arch}: x86_64 has ipi and invlpgb, arm64 broadcast"
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
        shares = explicit_shares(memory, config.nodes)
    topology = CpuTopology(sockets_of_cpus(config.sockets, node_of, count), node_of)
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
