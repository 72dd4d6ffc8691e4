"""CPUs and nodes: who sits where, and how memory is shared out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.machine.cpu import CpuTopology, split_memory, spread_evenly
from models.machine.memory import MemoryMap, PfnRange


@given(items=st.integers(1, 500), groups=st.integers(1, 500))
def test_spread_is_even_and_in_order(items: int, groups: int) -> None:
    """Group sizes differ by one at most when there are enough to go round."""
    homes = spread_evenly(items, groups)
    assert list(homes) == sorted(homes)
    if items >= groups:
        sizes = [homes.count(group) for group in range(groups)]
        assert max(sizes) - min(sizes) <= 1


@given(mib=st.integers(128, 1 << 20), nodes=st.integers(1, 16))
def test_nodes_share_all_memory(mib: int, nodes: int) -> None:
    """No page is lost or doubled, borders fall on 4 MiB, shares differ by less than 8 MiB."""
    ram = MemoryMap.from_size(mib << 20).ram
    shares = split_memory(ram, nodes)
    assert sum(part.pages for share in shares for part in share) == sum(part.pages for part in ram)
    assert all(low[-1].end <= high[0].start for low, high in pairwise(shares))
    assert all(share[0].start % 1024 == 0 for share in shares[1:])
    sizes = [sum(part.pages for part in share) for share in shares]
    assert max(sizes) - min(sizes) < 2048


def test_node_without_memory_is_refused() -> None:
    """More nodes than 4 MiB blocks."""
    with pytest.raises(ValueError, match="no memory"):
        split_memory([PfnRange(0, 2048)], 4)


def test_remote_cpus_are_told_by_socket() -> None:
    """Flushes cost more across sockets."""
    topology = CpuTopology((0, 0, 0, 1, 1), (0, 0, 0, 1, 1))
    assert topology.sockets == 2
    assert topology.remote(0) == (2, 2)
    assert topology.remote(4) == (1, 3)
    assert topology.cpus_of_node(1) == (3, 4)


@pytest.mark.parametrize(("sockets", "nodes"), [((), ()), ((0,) * 9000, (0,) * 9000), ((0, 0), (0,))])
def test_impossible_topology_is_refused(sockets: tuple[int, ...], nodes: tuple[int, ...]) -> None:
    """No CPU, too many, or CPUs without a node."""
    with pytest.raises(ValueError, match="CPUs"):
        CpuTopology(sockets, nodes)
