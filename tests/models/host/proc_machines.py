"""The machines whose `/proc` files the tests read: one recorded, three written after the formats of other kernels."""

from pathlib import Path

from models.host.sources import Sources

TESTS = Path(__file__).parents[2]
MACHINES = {
    "zen5_guest_24g": TESTS / "recordings" / "proc" / "zen5_guest_24g",
    "xeon_5_15_two_nodes": TESTS / "data" / "proc" / "xeon_5_15_two_nodes",
    "arm64_6_6": TESTS / "data" / "proc" / "arm64_6_6",
    "container_6_8": TESTS / "data" / "proc" / "container_6_8",
}


def sources(machine: str) -> Sources:
    return Sources.copied(MACHINES[machine])
