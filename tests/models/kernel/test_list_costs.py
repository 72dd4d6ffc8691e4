"""Costs that a preset may tell apart: lists filled, pages drained, new slabs."""

from __future__ import annotations

from models.kernel.list_costs import charge_lists, forgive
from models.kernel.slab_caches import take_object
from tests.models.kernel.machines import boot


def test_what_is_forgiven_is_not_charged_later() -> None:
    """Neither what was due, nor pages drained before."""
    kernel = boot({"memory": "64MiB", "cpus": 1})
    kernel.state.costs[0]["drain_page"], kernel.state.costs[0]["refill"] = 7, 50
    kernel.store.config[0]["drained"] += 100
    kernel.store.config[0]["refills"] += 10
    kernel.state.charge[0]["cpu_ns"] = 1000
    forgive(kernel.state)
    kernel.store.config[0]["drained"] += 3
    kernel.store.config[0]["refills"] += 1
    charge_lists(kernel.handle)
    assert kernel.state.charge[0]["cpu_ns"] == 3 * 7 + 50


def test_a_new_slab_costs_what_the_preset_says() -> None:
    """An object of a slab that is there costs nothing."""
    kernel = boot({"memory": "64MiB", "cpus": 1})
    kernel.state.costs[0]["slab"] = 5
    forgive(kernel.state)
    cache = kernel.programs.caches["dentry"]
    before = int(kernel.state.caches[cache]["slabs"])
    for _ in range(3 * int(kernel.state.caches[cache]["objects_per_slab"])):
        take_object(kernel.handle, 0, 0, cache)
    new = int(kernel.state.caches[cache]["slabs"]) - before
    assert new >= 2
    assert kernel.state.charge[0]["cpu_ns"] == 5 * new
