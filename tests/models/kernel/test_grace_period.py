"""What is given back later, is so on the CPU that asked for it: callbacks and work items are queued per CPU [6.1]."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.kernel.kernel import Kernel
from models.kernel.limits import User
from tests.models.kernel.machines import boot

CPUS = 3
EVER_AFTER_NS = 10**12


def listed(kernel: Kernel) -> NDArray[np.int64]:
    """Pages on each CPU's lists."""
    records = kernel.store.per_cpu
    return np.array([records["count"].reshape(-1, CPUS)[:, cpu].sum() for cpu in range(CPUS)])


@pytest.mark.parametrize("cpu", range(CPUS))
def test_a_stack_goes_to_the_lists_of_the_cpu_that_collected_its_task(cpu: int) -> None:
    """`vfree` leaves it to a worker of the same CPU."""
    kernel = boot({"memory": "256MiB", "cpus": CPUS})
    parent = kernel.first_task(User("user"))
    child = kernel.fork(parent, 0)
    kernel.exit(child, 1)
    kernel.reap(child, cpu)
    before = listed(kernel)
    assert kernel.run_deferred(EVER_AFTER_NS) > 0
    grown = listed(kernel) - before
    assert grown[cpu] >= 4
    assert not grown[np.arange(CPUS) != cpu].any()


def test_objects_wait_on_the_cpu_that_gave_them_up() -> None:
    """A file closed on one CPU, of which another one has the slab: its inode's slab joins the closer's partial list."""
    kernel = boot({"memory": "256MiB", "cpus": CPUS})
    task = kernel.first_task(User("user"))
    cache = kernel.programs.caches["inode_cache"]
    per_slab = int(kernel.state.caches[cache]["objects_per_slab"])
    files = [kernel.memfd_secret(task, 0) for _ in range(3 * per_slab)]
    kernel.close(task, files[per_slab], 2)
    assert kernel.state.cpu_slabs[cache]["partial_slabs"].tolist() == [0, 0, 0]
    kernel.run_deferred(EVER_AFTER_NS)
    assert kernel.state.cpu_slabs[cache]["partial_slabs"].tolist() == [0, 0, 1]
