"""Footprint presets and their state: what operations take and give back, without a page allocator."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from models.kernel.footprint_presets import footprint_presets, load_footprints
from models.kernel.footprints import Footprints, FootprintsError, Step
from tests.models.kernel.footprint_reference import FootprintState, Ledger, Release, Request


def pages(entries: list[Any], what: type[Request] | type[Release], prefix: str = "") -> int:
    return sum(
        1 << entry.order for entry in entries if isinstance(entry, what) and entry.kind.startswith(prefix)
    )


@pytest.mark.parametrize("name", ["minimal_6_1", "distribution_6_1"])
def test_presets_load_and_share_their_operations(name: str) -> None:
    """Every preset knows every operation that models call, and says how sure it is."""
    footprints = load_footprints(name)
    assert footprints.name == name
    assert footprints.confidence
    assert set(footprints.operations) == set(load_footprints("minimal_6_1").operations)
    assert name in footprint_presets()


def test_unknown_preset_names_the_nearest() -> None:
    """A misspelt preset is refused with a hint."""
    with pytest.raises(FootprintsError, match="did you mean 'minimal_6_1'"):
        load_footprints("minimal_61")


def test_unknown_operation_names_the_nearest() -> None:
    """A misspelt operation is refused with a hint."""
    with pytest.raises(FootprintsError, match="did you mean 'memfd_secret'"):
        load_footprints("minimal_6_1").steps("memfd_secre")


@pytest.mark.parametrize(
    "step",
    [
        {"label": "x"},
        {"pages": "stack", "object": "filp", "label": "x"},
        {"pages": "stack"},
        {"page_table": "pxd", "label": "x"},
        {"pages": "stack", "label": "x", "order": 11},
        {"pages": "stack", "label": "x", "colour": "red"},
    ],
)
def test_impossible_steps_are_refused(step: dict[str, Any]) -> None:
    """A step is exactly one thing, takes under a label, and has no unknown keys."""
    with pytest.raises(ValidationError):
        Step.model_validate(step)


def test_unknown_slab_cache_is_refused_by_name() -> None:
    """A step cannot take an object of a cache that the preset does not describe."""
    data = load_footprints("minimal_6_1").model_dump(by_alias=True)
    data["operations"]["fork"][0]["object"] = "task_strut"
    with pytest.raises(ValidationError, match=r"task_strut.*did you mean 'task_struct'"):
        Footprints.model_validate(data)


def test_what_the_boot_gives_back_names_a_slab_cache() -> None:
    """A thread of the kernel that ends late frees objects of caches that exist."""
    content = load_footprints("minimal_6_1").model_dump(by_alias=True)
    content["background"] = [{"after_ns": 1, "operation": "late_device", "gives": {"kmaloc_64": 3}}]
    with pytest.raises(ValidationError, match="kmalloc_64"):
        Footprints.model_validate(content)


def test_one_name_in_two_caches_is_refused() -> None:
    """An object comes from one cache."""
    data = load_footprints("minimal_6_1").model_dump(by_alias=True)
    data["caches"]["size_64"]["merges"] = [*data["caches"]["size_64"]["merges"], "filp"]
    with pytest.raises(ValidationError, match="filp is served by"):
        Footprints.model_validate(data)


def test_xarray_nodes_add_up() -> None:
    """A file's nodes are those of all its levels, and a file of one page has none."""
    xarray = load_footprints("minimal_6_1").xarray
    assert [xarray.new_nodes(index) for index in (0, 1, 2, 16, 17, 32, 256)] == [0, 1, 0, 2, 0, 1, 3]
    assert sum(xarray.new_nodes(index) for index in range(5000)) == xarray.nodes(5000)


def test_gather_pages_come_when_a_batch_is_full() -> None:
    """Eight pages fit on the stack, and a flush comes after nineteen gather pages."""
    gather = load_footprints("minimal_6_1").mmu_gather
    assert [gather.gather_pages(n) for n in (7, 8, 517, 518, 10**6)] == [0, 1, 1, 2, 19]


def test_fork_takes_the_stack_in_one_bulk_request_before_any_page_table() -> None:
    """The order inside copy_process decides which frames lie beside each other."""
    state = FootprintState(load_footprints("minimal_6_1"))
    requests = state.perform("fork", Ledger())
    kinds = [entry.kind for entry in requests if not entry.kind.startswith("slab")]
    assert kinds[:5] == ["kernel_stack"] * 4 + ["page_table:pgd"]
    assert all(isinstance(e, Request) and e.bulk_pages == 4 for e in requests if e.kind == "kernel_stack")
    tables = [kind.split(":")[1] for kind in kinds[4:]]
    assert tables == ["pgd", "p4d", "pud", "pmd", "pte", "pte", "pud", "pmd", "pte", "pte", "pte"]


def test_a_life_gives_back_every_page_table_stack_and_copy() -> None:
    """Nothing but slabs on partial lists is left of tasks that are gone; handles come back once each."""
    state = FootprintState(load_footprints("minimal_6_1"))
    taken: list[Request | Release] = []
    given: list[Request | Release] = []
    for _ in range(3):
        ledgers = [Ledger() for _ in range(100)]
        for ledger in ledgers:
            taken += state.perform("fork", ledger) + state.perform("child_starts", ledger)
        for ledger in ledgers:
            given += [e for op in ("exit", "exit_switched_away", "reap") for e in state.perform(op, ledger)]
        given += state.end_grace_period(1 << 60)
        given += state.end_grace_period(1 << 61)
    out = taken + [entry for entry in given if isinstance(entry, Request)]
    for kind in ("kernel_stack", "page_table:p", "copy", "mmu_gather"):
        assert pages(given, Release, kind) == pages(out, Request, kind)
    handles = Counter(entry.handle for entry in given if isinstance(entry, Release))
    assert set(handles.values()) == {1}
    left = pages(out, Request, "slab") - pages(given, Release, "slab")
    assert 0 <= left == sum(state.slab_pages().values())
    assert left < 0.2 * pages(taken, Request, "slab") + 512


def test_objects_wait_for_a_grace_period() -> None:
    """A closed file's dentry and inode go only when the tick after the grace period comes."""
    footprints = load_footprints("minimal_6_1")
    state = FootprintState(footprints)
    ledger = Ledger()
    state.perform("memfd_secret", ledger)
    state.perform("close_file", ledger, now_ns=1)
    due_ns = state.next_grace_ns()
    assert due_ns is not None
    assert due_ns % footprints.grace_period.tick_ns == 0
    assert state.end_grace_period(due_ns - 1) == []
    assert state.next_grace_ns() == due_ns
    state.end_grace_period(due_ns)
    assert state.next_grace_ns() is None


def test_the_same_operations_give_the_same_requests() -> None:
    """The state has no hidden input."""

    def run() -> list[Request | Release]:
        state, ledger = FootprintState(load_footprints("minimal_6_1")), Ledger()
        return [e for _ in range(50) for e in state.perform("fork", ledger)]

    assert run() == run()


def test_deeper_tasks_pay_for_longer_chains() -> None:
    """Each generation of forks adds an anon_vma_chain to every anonymous mapping."""

    def slab_pages(generation: int) -> int:
        state = FootprintState(load_footprints("minimal_6_1"))
        for _ in range(100):
            state.perform("fork", Ledger(), generation=generation)
        return state.slab_pages()["size_64"]

    assert slab_pages(5) > slab_pages(1)
