"""Machine configurations: sizes, ranges, presets, nodes; and machines that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from models.machine.filling import machine_names
from models.machine.machine import Machine, MachineConfig, build_machine

GIB = 1 << 30


def built(**config: Any) -> Machine:
    return build_machine(MachineConfig.model_validate(config))


@pytest.mark.parametrize("name", machine_names())
def test_presets_are_machines(name: str) -> None:
    """Each can be built, and single keys beside it replace its own."""
    machine = built(preset=name)
    assert machine.memory.ram_bytes > 3 * GIB
    assert built(preset=name, memory="2GiB").memory.ram_bytes <= 2 * GIB


def test_preset_boot_options_are_merged() -> None:
    """Giving one boot option does not drop the preset's others."""
    assert built(preset="arm64_256g", boot={"gbpages": False}).boot.bbml2


def test_explicit_nodes_beside_a_preset_bring_their_own_cpus() -> None:
    """The preset's number of CPUs is not held against them."""
    nodes = [{"memory": [[0, "3GiB"]], "cpus": 1}, {"memory": [["4GiB", "300GiB"]], "cpus": 2}]
    machine = built(preset="server_256g_2s", nodes=nodes)
    assert machine.cpus == 3


def test_memory_may_be_ranges() -> None:
    """As lists or mappings, with units or plain addresses, in any order."""
    lines = [{"start": "4GiB", "end": "5GiB"}, [0x100000, 3 * GIB], [3 * GIB, 4 * GIB, "reserved"]]
    machine = built(memory=lines)
    assert [tuple(part) for part in machine.memory.ram] == [(256, 786432), (1048576, 1310720)]


def test_nodes_share_memory_and_cpus() -> None:
    """In order, evenly; a socket per node unless told otherwise."""
    machine = built(memory="64GiB", cpus=8, nodes=2)
    assert [node.cpus for node in machine.nodes] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert abs(machine.nodes[0].pages - machine.nodes[1].pages) < 2048
    assert machine.topology.sockets == 2
    assert built(memory="64GiB", cpus=8, nodes=2, sockets=1).topology.remote(0) == (7, 0)
    assert built(memory="64GiB", cpus=8, nodes=1, sockets=2).topology.remote(0) == (3, 4)


def test_explicit_nodes_may_lack_cpus() -> None:
    """A memory-only node."""
    nodes = [{"memory": [[0, "3GiB"]], "cpus": 4}, {"memory": [["4GiB", "6GiB"]], "cpus": 0}]
    machine = built(memory="5GiB", nodes=nodes)
    assert machine.nodes[1].cpus == ()
    assert machine.nodes[1].pages == 2 * GIB // 4096
    assert machine.cpus == 4


def test_arm64_maps_4k_unless_the_cpu_can_split() -> None:
    """BBML2 brings blocks back; flushes are broadcast either way."""
    plain = built(arch="arm64")
    assert plain.boot.maps_4k_only(plain.arch)
    assert plain.costs.flush_kind == "broadcast"
    able = built(arch="arm64", boot={"bbml2": True})
    assert not able.boot.maps_4k_only(able.arch)


def test_costs_can_be_set_one_by_one() -> None:
    """What a sweep over costs does."""
    machine = built(cost_values={"flush_a_ns": 900}, flush="invlpgb")
    assert machine.costs.flush.a_ns == 900
    assert machine.costs.flush.kind == "invlpgb"


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"memory": "-4GiB"}, "memory", "negative"),
        ({"memory": "64GB"}, "memory", "GiB"),
        ({"memory": "17TiB"}, "memory", "32MiB to 16TiB"),
        ({"memory": "1MiB"}, "memory", "32MiB to 16TiB"),
        ({"memory": [[0, "2GiB"], ["1GiB", "3GiB"]]}, "memory", "overlap"),
        ({"memory": [[0, "2GiB", "usable", 1]]}, "memory", "start, end"),
        ({"memory": [[0, "2GiB", "ram"]]}, "memory", "usable"),
        ({"cpus": 0}, "cpus", "greater than or equal to 1"),
        ({"cpus": 9000}, "cpus", "8192"),
        ({"nodes": 5, "cpus": 4}, "", "5 nodes share 4 CPUs"),
        ({"nodes": 0}, "nodes", "greater than or equal to 1"),
        ({"nodes": 3, "sockets": 2, "cpus": 6}, "", "divides"),
        ({"sockets": 5, "cpus": 4}, "", "5 sockets for 4 CPUs"),
        ({"nodes": 16, "cpus": 16, "memory": "32MiB"}, "", "no memory"),
        ({"costs": "haswel_bare_metal"}, "costs", "haswell_bare_metal"),
        ({"tlb": "zen55"}, "tlb", "zen5"),
        ({"cost_values": {"fork": 1}}, "", "fork_ns"),
        ({"preset": "laptop"}, "", "did you mean 'laptop_32g'"),
        ({"boot": {"bbml2": True}}, "", "arm64"),
        ({"flush": "broadcast"}, "", "x86_64"),
        ({"arch": "riscv"}, "arch", "arm64"),
        ({"host_page": "3M"}, "host_page", "2M"),
        ({"memroy": "4GiB"}, "memroy", "not permitted"),
    ],
)
def test_impossible_machines_are_refused(config: dict[str, Any], key: str, message: str) -> None:
    """The error names the key where one key is to blame, shows the value, and says what would do."""
    with pytest.raises(ValidationError, match=message) as caught:
        MachineConfig.model_validate(config)
    (error,) = caught.value.errors()
    assert (str(error["loc"][0]) if error["loc"] else "") == key


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [{"memory": [[0, "3GiB"]], "cpus": 1}, {"memory": [["2GiB", "5GiB"]], "cpus": 1}],
            "both have memory",
        ),
        ([{"memory": [[0, "2GiB"]], "cpus": 1}], "the machine has"),
        (
            [{"memory": [[0, "8GiB"]], "cpus": 1}, {"memory": [["9GiB", "10GiB"]], "cpus": 1}],
            "node 1 has no memory",
        ),
        ([{"memory": [[0, "8GiB"]], "cpus": 0}], "0 CPUs"),
    ],
)
def test_impossible_nodes_are_refused(nodes: list[dict[str, Any]], message: str) -> None:
    """Memory of two nodes or of none, nodes without memory, nobody to run."""
    with pytest.raises(ValidationError, match=message):
        MachineConfig.model_validate({"memory": "4GiB", "nodes": nodes})


def test_cpus_must_agree_with_explicit_nodes() -> None:
    """Both given and different is a contradiction."""
    nodes = [{"memory": [[0, "8GiB"]], "cpus": 2}]
    with pytest.raises(ValidationError, match="cpus is 4, but the nodes have 2"):
        MachineConfig.model_validate({"memory": "4GiB", "cpus": 4, "nodes": nodes})


def test_schema_can_be_made() -> None:
    """`simcore schema` prints it."""
    schema = MachineConfig.model_json_schema()
    assert {"memory", "cpus", "nodes", "boot", "costs", "tlb"} <= set(schema["properties"])
