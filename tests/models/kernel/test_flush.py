"""Flushes as the kernel charges them: who waits, who is interrupted, and what putting them off changes."""

from __future__ import annotations

from typing import Any

import pytest

from models.kernel.attributes import change_attributes
from models.kernel.flush import flush_kernel, flush_removed
from models.kernel.flush_config import FlushConfig
from models.workloads.clocks import Clocks, pay
from tests.models.kernel.machines import boot


def paid(kernel: Any, clocks: Clocks, now_ns: int = 0) -> int:
    return int(pay(kernel.handle, clocks.handle, now_ns, 0))


def test_a_flush_costs_its_initiator_and_every_interrupted_cpu() -> None:
    """The CPU time that is counted is the initiator's wait and one interrupt on each of the others."""
    kernel = boot({"memory": "64MiB", "cpus": 4}, {})
    flush, clocks = kernel.costs.flush, Clocks(4)
    flush_kernel(kernel.handle, False)
    assert paid(kernel, clocks) == flush.initiator_ns(1, 3)
    counts: Any = kernel.state.counts[0]
    assert counts["flush_ns"] == flush.initiator_ns(1, 3) + 3 * flush.receiver_ns(1)
    assert clocks.clock[0]["interrupted_ns"] == flush.receiver_ns(1)


def test_more_cpus_and_a_second_socket_cost_more_and_broadcast_does_not() -> None:
    """By interrupt the cost grows with CPUs and sockets; INVLPGB interrupts nobody, whatever their number."""

    def cost(**machine: Any) -> int:
        kernel = boot({"memory": "64MiB", **machine}, {})
        flush_kernel(kernel.handle, False)
        paid(kernel, Clocks(machine["cpus"]))
        return int(kernel.state.counts[0]["flush_ns"])

    few, many = cost(cpus=2), cost(cpus=16)
    assert cost(cpus=1) < few < many < cost(cpus=16, sockets=2)
    assert cost(cpus=2, flush="invlpgb") == cost(cpus=16, flush="invlpgb") < many
    arm = {"arch": "arm64", "memory": [[0, "1GiB"]]}
    assert cost(cpus=2, **arm) == cost(cpus=192, **arm) < cost(cpus=192)


def test_a_split_counts_as_a_full_flush_under_the_lock() -> None:
    """Splitting 1G and 2M around a page flushes everything twice; the page's own flush is no full one."""
    kernel = boot({"memory": "4GiB", "cpus": 2}, {})
    clocks, pfn = Clocks(2), 1 << 18
    made = change_attributes(kernel.handle, 0, 0, pfn, 1, 0, 0)
    flush_kernel(kernel.handle, False)
    paid(kernel, clocks)
    counts: Any = kernel.state.counts[0]
    flush = kernel.costs.flush
    assert made == counts["full_flushes"] > 0
    assert counts["flushes"] == made + 1
    waits = made * flush.initiator_ns(None, 1) + flush.initiator_ns(1, 1)
    assert counts["flush_ns"] == waits + made * flush.receiver_ns(None) + flush.receiver_ns(1)


@pytest.mark.parametrize("batch", [1, 8])
def test_deferred_flushes_interrupt_nobody_and_cost_each_cpu_its_tlb_once_a_period(batch: int) -> None:
    """The remover flushes its own TLB a batch at a time; all lose theirs at the first removal of each period."""
    config = {"flush": {"mode": "deferred", "batch": batch, "period": 1_000_000}}
    kernel = boot({"memory": "64MiB", "cpus": 4}, config)
    flush, clocks = kernel.costs.flush, Clocks(4)
    spent = 0
    for number in range(16):
        flush_removed(kernel.handle, False)
        spent += paid(kernel, clocks, now_ns=number * 125_000)
    counts: Any = kernel.state.counts[0]
    rounds = counts["full_flushes"]
    assert rounds == 2
    assert counts["flushes"] == 0
    assert spent == 16 // batch * flush.local_ns(batch) + rounds * flush.local_ns(None)
    assert clocks.clock[0]["interrupted_ns"] == rounds * flush.local_ns(None)


def test_batched_flushes_are_full_ones_and_few() -> None:
    """64 removals in batches of 16 are four full flushes of all CPUs."""
    kernel = boot({"memory": "64MiB", "cpus": 4}, {"flush": {"mode": "batched", "batch": 16}})
    clocks = Clocks(4)
    for _ in range(64):
        flush_removed(kernel.handle, False)
        paid(kernel, clocks)
    counts: Any = kernel.state.counts[0]
    assert counts["flushes"] == counts["full_flushes"] == 4
    assert counts["flush_ns"] == 4 * (
        kernel.costs.flush.initiator_ns(None, 3) + 3 * kernel.costs.flush.receiver_ns(None)
    )


def test_batches_have_a_size_of_their_own_by_mode() -> None:
    """What is not said is 1 for deferred flushes and 64 for batched ones."""
    assert FlushConfig(mode="deferred").batch_pages == 1
    assert FlushConfig(mode="batched").batch_pages == 64
