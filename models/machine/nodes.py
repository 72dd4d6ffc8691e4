"""Sockets and NUMA nodes: ranges and nodes as users write them, and which RAM and CPUs each node gets."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.machine.cpu import MAX_CPUS, spread_evenly
from models.machine.memory import FirmwareRange, MemoryMap, PfnRange, RangeType, clip
from simcore.units import Bytes

__all__ = ["NodeConfig", "RangeConfig", "explicit_shares", "sockets_of_cpus"]


class RangeConfig(BaseModel):
    """A firmware range in bytes, ``end`` exclusive; ``[start, end]`` and ``[start, end, type]`` will do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class NodeConfig(BaseModel):
    """A NUMA node: the address ranges of its memory and its number of CPUs (0: memory only)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: tuple[RangeConfig, ...] = Field(min_length=1)
    cpus: int = Field(ge=0, le=MAX_CPUS)


def sockets_of_cpus(sockets: int | None, node_of: tuple[int, ...], nodes: int) -> tuple[int, ...]:
    """Return each CPU's socket: whole nodes on sockets, or whole sockets on nodes."""
    if sockets is None:
        return node_of
    if sockets > len(node_of):
        raise ValueError(f"{sockets} sockets for {len(node_of)} CPUs")
    if sockets % nodes and nodes % sockets:
        raise ValueError(f"{nodes} nodes and {sockets} sockets: neither number divides the other")
    return spread_evenly(len(node_of), sockets)


def explicit_shares(memory: MemoryMap, nodes: tuple[NodeConfig, ...]) -> tuple[tuple[PfnRange, ...], ...]:
    """Return each node's RAM.

    Raises:
        ValueError: Memory belongs to two nodes or to none, or a node has none.
    """
    # A node's range may hold holes and reserved parts: only the RAM in it counts.
    lines = sorted((line.start, line.end, node) for node, part in enumerate(nodes) for line in part.memory)
    for (start, end, node), (next_start, _, other) in pairwise(lines):
        if next_start < end:
            raise ValueError(f"nodes {node} and {other} both have memory at {next_start:#x} (a range from {start:#x})")
    shares = tuple(
        tuple(part for line in sorted(node.memory, key=lambda line: line.start) for part in _pages_of(memory, line))
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
