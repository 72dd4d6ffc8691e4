"""What arithmetic makes of measured figures."""

import pytest

from models.host.cost_derivation import derive

FIGURES = {
    "null_syscall": [150.0, 160.0, 155.0], "ordinary_fault": [1500.0, 1600.0, 1580.0], "shared_fault": [2400.0, 2430.0],
    "page_clear_hot": [76.0, 80.0], "page_clear_cold": [330.0, 340.0], "secret_fault": [16000.0, 16600.0, 17000.0],
    "munmap_page": [260.0], "free_page": [1140.0], "memfd_secret": [1850.0], "ftruncate": [1000.0], "mmap": [6000.0],
    "fork": [70000.0, 80000.0], "fork_exit_wait": [128000.0, 130000.0], "fault_with_2m_split": [35000.0, 36000.0],
}  # fmt: skip


def test_a_secret_fault_is_put_together_to_what_was_measured() -> None:
    """Fault, direct-map entry and flush are told apart by arithmetic; their sum is the measurement."""
    costs = derive(FIGURES, cpus=2, ghz=2.6, virtual=True, machine="a test")
    total = costs.ns("secret_fault") + costs.ns("direct_map_entry") + costs.flush.initiator_ns(1, 1)
    assert total == pytest.approx(16600, rel=0.01)
    assert total + costs.split(1, 0).total_ns == pytest.approx(35500, rel=0.01)


def test_one_cpu_has_nobody_to_wait_for() -> None:
    """On one CPU the flush is local, and the sum still holds."""
    costs = derive({**FIGURES, "secret_fault": [4500.0]}, cpus=1, ghz=2.6, virtual=False, machine="a test")
    total = costs.ns("secret_fault") + costs.ns("direct_map_entry") + costs.flush.initiator_ns(1, 0)
    assert total == pytest.approx(4500, rel=0.01)
