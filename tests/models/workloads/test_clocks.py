"""From charges to time: work, the queue of the map lock, flushes and interrupts."""

from __future__ import annotations

from typing import Any

import pytest

from models.kernel.kernel import Kernel
from models.workloads.clocks import Clocks, pay
from tests.models.kernel.machines import boot


@pytest.fixture
def kernel() -> Kernel:
    """Any kernel; its charge is written by hand."""
    return boot({"memory": "64MiB", "cpus": 2})


def charge(kernel: Kernel, **parts: int) -> None:
    for name, value in parts.items():
        kernel.state.charge[0][name] = value


def test_work_lock_and_flush_follow_each_other(kernel: Kernel) -> None:
    """An operation works, holds the lock, and waits for its own flush."""
    clocks = Clocks(2)
    charge(kernel, cpu_ns=100, lock_ns=30, after_ns=7)
    assert pay(kernel.handle, clocks.handle, 1000, 5) == 100 + 5 + 30 + 7
    clock: Any = clocks.clock[0]
    assert clock["lock_free_ns"] == 1000 + 105 + 30
    assert clock["lock_held_ns"] == 30
    assert not any(kernel.state.charge[0].item()), "the charge is paid"


def test_a_clock_that_drifts_makes_all_take_longer(kernel: Kernel) -> None:
    """By a part of what it costs."""
    clocks = Clocks(2)
    clocks.clock[0]["drift"] = 0.25
    charge(kernel, cpu_ns=100, after_ns=20)
    assert pay(kernel.handle, clocks.handle, 1000, 40) == 200


def test_drained_pages_are_paid_for_once(kernel: Kernel) -> None:
    """Where a preset says what they cost; otherwise they are part of what freed them."""
    clocks, drained = Clocks(2), kernel.store.config[0]["drained"]
    kernel.store.config[0]["drained"] = drained + 63
    assert pay(kernel.handle, clocks.handle, 0, 0) == 0
    charge(kernel, drained=drained)
    kernel.state.costs[0]["drain_page"] = 7
    assert pay(kernel.handle, clocks.handle, 0, 0) == 7 * 63
    assert pay(kernel.handle, clocks.handle, 0, 0) == 0


def test_nothing_charged_is_no_time(kernel: Kernel) -> None:
    """And the lock stays free."""
    clocks = Clocks(2)
    assert pay(kernel.handle, clocks.handle, 50, 0) == 0
    assert clocks.clock[0]["lock_free_ns"] == 0


def test_the_lock_is_one_first_in_first_out_server(kernel: Kernel) -> None:
    """Who comes while it is held waits for all before; the flush after the lock is no part of the queue."""
    clocks = Clocks(2)
    ends = []
    for _ in range(3):
        charge(kernel, lock_ns=40, after_ns=1000)
        ends.append(pay(kernel.handle, clocks.handle, 0, 0))
    assert ends == [1040, 1080, 1120]
    assert clocks.clock[0]["lock_waited_ns"] == 40 + 80
    assert clocks.clock[0]["lock_held_ns"] == 120


def test_a_free_lock_is_not_waited_for(kernel: Kernel) -> None:
    """Who comes later than the last holder has gone does not wait."""
    clocks = Clocks(2)
    charge(kernel, lock_ns=40)
    pay(kernel.handle, clocks.handle, 0, 0)
    charge(kernel, lock_ns=40)
    assert pay(kernel.handle, clocks.handle, 41, 0) == 40
    assert clocks.clock[0]["lock_waited_ns"] == 0


def test_a_flush_of_all_cpus_is_owed_by_every_other(kernel: Kernel) -> None:
    """The time that each interrupted CPU loses is noted once, whatever their number, and counted for all."""
    clocks = Clocks(8)
    charge(kernel, after_ns=500, flush_ns=500, flushes=1, interrupted_ns=60)
    pay(kernel.handle, clocks.handle, 0, 0)
    assert clocks.clock[0]["interrupted_ns"] == 60
    counted: Any = kernel.state.counts[0]
    assert counted["flushes"] == 1
    assert counted["flush_ns"] == 500 + 7 * 60
