"""What a kernel reports of its direct map at the start: page tables, or Linux 6.1's own count."""

from __future__ import annotations

from models.kernel.boot_layout import boot_layout
from models.kernel.boot_profile import load_boot_profile
from models.machine.machine import MachineConfig, build_machine
from tests.models.kernel.machines import boot

MACHINE = {"memory": 4 << 30, "cpus": 1}
PAGE_BYTES = 4096


def sizes(report: str) -> tuple[int, int, int]:
    kernel = boot(MACHINE, {"boot": "minimal", "report": report})
    counters = kernel.state.direct_map.counters[0]
    return tuple(PAGE_BYTES * int(counters[name]) for name in ("pages_4k", "pages_2m", "pages_1g"))  # type: ignore[return-value]


def test_sizes_begin_with_what_was_asked_for() -> None:
    """By default what a walk of the page tables finds; on request the double counting of 6.1."""
    tiling = boot_layout(build_machine(MachineConfig.model_validate(MACHINE)), load_boot_profile("minimal")).tiling
    assert sizes("page_tables") == tuple(tiling.walk)
    assert sizes("as_linux_6_1") == tuple(tiling.as_linux_6_1)
    assert tiling.walk != tiling.as_linux_6_1


def test_the_tiling_itself_is_the_same() -> None:
    """Only the count differs: every page is mapped by the same entry."""
    kernels = [boot(MACHINE, {"boot": "minimal", "report": report}) for report in ("page_tables", "as_linux_6_1")]
    pfns = range(0, 1 << 20, 509)
    one, other = ([kernel.state.direct_map.level(pfn) for pfn in pfns] for kernel in kernels)
    assert one == other
