"""CPUs and NUMA nodes: which CPU sits on which socket and node, and which memory belongs to which node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from models.machine.memory import PfnRange, clip

__all__ = ["MAX_CPUS", "CpuTopology", "NumaNode", "split_memory", "spread_evenly"]

#: NR_CPUS of x86-64 with CONFIG_MAXSMP [6.1 arch/x86/Kconfig].
MAX_CPUS = 8192

#: Node borders fall on the largest buddy block (order 10, 4 MiB), so that no block belongs to two nodes.
_NODE_ALIGN_PAGES = 1 << 10


@dataclass(frozen=True)
class NumaNode:
    """One NUMA node: its RAM (ascending page-frame ranges) and its CPUs (may be none: a memory-only node)."""

    id: int
    ram: tuple[PfnRange, ...]
    cpus: tuple[int, ...]

    @property
    def pages(self) -> int:
        """Pages of RAM on this node."""
        return sum(part.pages for part in self.ram)


@dataclass(frozen=True)
class CpuTopology:
    """Where each CPU sits: ``socket_of[cpu]`` and ``node_of[cpu]``.

    Raises:
        ValueError: No CPU, too many, or the two tuples differ in length.
    """

    socket_of: tuple[int, ...]
    node_of: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= MAX_CPUS:
            raise ValueError(f"{self.cpus} CPUs; a machine has 1 to {MAX_CPUS}")
        if len(self.node_of) != self.cpus:
            raise ValueError(f"{self.cpus} CPUs on sockets but {len(self.node_of)} on nodes")

    @property
    def cpus(self) -> int:
        """Number of CPUs."""
        return len(self.socket_of)

    @cached_property
    def sockets(self) -> int:
        """Number of sockets that hold a CPU."""
        return len(set(self.socket_of))

    def cpus_of_node(self, node: int) -> tuple[int, ...]:
        """Return the CPUs of ``node``, ascending."""
        return tuple(cpu for cpu, home in enumerate(self.node_of) if home == node)

    def remote(self, cpu: int) -> tuple[int, int]:
        """Return how many other CPUs share the socket of ``cpu``, and how many sit on other sockets."""
        near = self._socket_sizes[self.socket_of[cpu]]
        return near - 1, self.cpus - near

    @cached_property
    def _socket_sizes(self) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for socket in self.socket_of:
            sizes[socket] = sizes.get(socket, 0) + 1
        return sizes


def spread_evenly(items: int, groups: int) -> tuple[int, ...]:
    """Return the group of each of ``items`` things laid out in order over ``groups``, as evenly as can be."""
    return tuple(item * groups // items for item in range(items))


def split_memory(ram: Sequence[PfnRange], nodes: int) -> tuple[tuple[PfnRange, ...], ...]:
    """Share RAM over ``nodes`` in address order, equal parts, borders on 4 MiB.

    Raises:
        ValueError: A node would get no memory.
    """
    total = sum(part.pages for part in ram)
    borders = [0]
    for node in range(1, nodes):
        borders.append(_address_of(ram, total * node // nodes) // _NODE_ALIGN_PAGES * _NODE_ALIGN_PAGES)
    borders.append(ram[-1].end)
    shares = tuple(tuple(clip(ram, low, high)) for low, high in pairwise(borders))
    if empty := [node for node, share in enumerate(shares) if not share]:
        raise ValueError(f"{nodes} nodes share {total} pages: node {empty[0]} would have no memory")
    return shares


def _address_of(ram: Sequence[PfnRange], nth: int) -> int:
    """Return the page frame of the ``nth`` page of RAM."""
    for part in ram:
        if nth < part.pages:
            return part.start + nth
        nth -= part.pages
    return ram[-1].end
