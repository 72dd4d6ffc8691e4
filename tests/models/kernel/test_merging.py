"""Merging: which policy merges what, what it costs, and that the books of the direct map stay right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.kernel.attributes import NO_TABLE, change_attributes, reset_pages
from models.kernel.code_pages import AREA
from models.kernel.direct_map import KEPT_4K, READ_ONLY, UNCACHED, change_presence
from models.kernel.entities import SecretFile, Task
from models.kernel.kernel import Kernel
from models.kernel.limits import User
from models.kernel.merging import MergingConfig
from models.kernel.secret_pages import remove_range
from tests.models.kernel.machines import MapIdentity, boot, check_pages, tables

POLICIES = ("never", "on_request", "on_free", "periodic")
FIRST_PFN = (1 << 18) + 512 * 20


def machine(merging: Any, **options: Any) -> Kernel:
    return boot({"memory": "4GiB", "cpus": 2}, {"merging": merging, **options})


def counters(kernel: Kernel) -> dict[str, int]:
    record: Any = kernel.state.direct_map.counters[0]
    return {name: int(record[name]) for name in kernel.state.direct_map.counters.dtype.names or ()}


def collapses(kernel: Kernel) -> tuple[int, int]:
    now = counters(kernel)
    return now["level2_collapses"], now["level3_collapses"]


def secret_pages(kernel: Kernel, pages: int) -> tuple[Task, SecretFile]:
    """A file of secret pages, touched and unmapped again."""
    task = kernel.first_task(User("user", memlock_pages=1 << 30))
    file = kernel.memfd_secret(task, 0)
    kernel.ftruncate(file, pages)
    mapping = kernel.mmap(task, file, pages, 0)
    assert kernel.fault(task, mapping, 0, pages).done == pages
    kernel.munmap(task, mapping, 0)
    return task, file


def test_freeing_secret_pages_merges_nothing_under_mainline() -> None:
    """Freed secret pages never ask for a merge, in any kernel [measured: 0 after 16,384]."""
    for policy in ("never", "on_request"):
        kernel = machine(policy)
        task, file = secret_pages(kernel, 3000)
        kernel.close(task, file, 0)
        assert counters(kernel)["level2_splits"] >= 5
        assert collapses(kernel) == (0, 0)


def test_on_free_undoes_what_secret_pages_split() -> None:
    """Restored entries count as equal to those that were never changed: all tables go, and their pages come back."""
    kernel = machine("on_free")
    before = tables(kernel.state.direct_map)
    task, file = secret_pages(kernel, 3000)
    split = counters(kernel)
    assert tables(kernel.state.direct_map) != before
    kernel.close(task, file, 0)
    after = counters(kernel)
    assert (after["level2_collapses"], after["level3_collapses"]) == (split["level2_splits"], split["level3_splits"])
    assert tables(kernel.state.direct_map) == before
    check_pages(kernel.store)


def test_on_free_waits_for_the_last_page_of_a_region() -> None:
    """One page that is still absent keeps the whole table."""
    kernel = machine("on_free")
    remove_range(kernel.handle, 0, 0, FIRST_PFN, 1)
    remove_range(kernel.handle, 0, 0, FIRST_PFN + 100, 1)
    for pfn, expected in ((FIRST_PFN, (0, 0)), (FIRST_PFN + 100, (1, 1))):
        change_presence(kernel.state.direct_map.handle, kernel.store.handle, pfn, 1, True)
        kernel.merging.changed(0)
        assert collapses(kernel) == expected


def test_a_merge_flushes_all_cpus_and_gives_its_table_back() -> None:
    """Two tables, two flushes under `on_free`."""
    kernel = machine("on_free")
    remove_range(kernel.handle, 0, 0, FIRST_PFN, 1)
    change_presence(kernel.state.direct_map.handle, kernel.store.handle, FIRST_PFN, 1, True)
    used = check_pages(kernel.store).used
    kernel.state.charge[:] = np.zeros(1, kernel.state.charge.dtype)
    assert kernel.merging.changed(0) == 2
    charge = kernel.state.charge[0]
    assert charge["flushes"] == charge["full_flushes"] == 2
    assert charge["after_ns"] == 2 * kernel.state.costs[0]["flush_all"]
    assert check_pages(kernel.store).used == used - 2


def area(kernel: Kernel, pfn: int, pages: int) -> int:
    """A holder whose chain has the pages of a range, as if vmalloc had happened to get neighbours."""
    from models.kernel.chains import append  # noqa: PLC0415
    from models.kernel.hwpoison import take_free_page  # noqa: PLC0415

    holder = kernel.new_holder()
    for each in range(pfn, pfn + pages):
        assert take_free_page(kernel.store.handle, 0, each)
        append(kernel.handle, holder, AREA, each, 0)
    return holder


def test_on_request_needs_512_entries_that_are_equal_to_the_bit() -> None:
    """511 read-only pages and an ordinary one stay; 512 merge to 2M, which is read-only, so that the 1G stays split."""
    kernel = machine("on_request")
    holder = area(kernel, FIRST_PFN, 512)
    for pages, expected in ((511, (0, 0)), (512, (1, 0))):
        change_attributes(kernel.handle, 0, 0, FIRST_PFN + pages - 1, 1, READ_ONLY, 0)
        for pfn in range(FIRST_PFN, FIRST_PFN + pages):
            change_attributes(kernel.handle, 0, 0, pfn, 1, READ_ONLY, 0)
        kernel.merging.asked(0, holder, AREA)
        assert collapses(kernel) == expected
    assert kernel.state.direct_map.level(FIRST_PFN) == 2


def test_on_request_never_takes_a_restored_entry_for_an_ordinary_one() -> None:
    """A page that was invalid once has lost its GLOBAL bit, so its region stays at 4K; if all 512 have, it merges."""
    kernel = machine("on_request")
    holder = area(kernel, FIRST_PFN, 512)
    reset_pages(kernel.handle, 0, 0, FIRST_PFN, 1)
    assert kernel.merging.asked(0, holder, AREA) == 0
    for pfn in range(FIRST_PFN + 1, FIRST_PFN + 512):
        reset_pages(kernel.handle, 0, 0, pfn, 1)
    assert kernel.merging.asked(0, holder, AREA) == 1
    assert collapses(kernel) == (1, 0)


def test_on_request_goes_on_to_1g() -> None:
    """Once its last table of 4K entries is gone and all 512 entries of 2M are equal, a region is one 1G entry again."""
    kernel = machine("on_request")
    holder = area(kernel, FIRST_PFN, 1)
    change_attributes(kernel.handle, 0, 0, FIRST_PFN, 1, UNCACHED, 0)
    change_attributes(kernel.handle, 0, 0, FIRST_PFN, 1, 0, UNCACHED)
    assert kernel.merging.asked(0, holder, AREA) == 2
    assert collapses(kernel) == (1, 1)
    assert kernel.state.direct_map.level(FIRST_PFN) == 3


def test_tables_that_boot_made_never_merge() -> None:
    """They may cover what is no memory: the first 2 MiB stay at 4K whatever their entries look like."""
    kernel = machine({"policy": "periodic", "budget": 4096})
    assert kernel.state.direct_map.level(0) == 1
    assert kernel.merging.scan(0) == 0
    assert collapses(kernel) == (0, 0)


def test_a_private_page_of_a_guest_is_never_merged() -> None:
    """Under SNP the entry of a 4K private page has to stay 4K, however equal it looks to a scanner."""
    kernel = machine({"policy": "periodic", "budget": 4096})
    change_attributes(kernel.handle, 0, 0, FIRST_PFN, 1, KEPT_4K, 0)
    assert kernel.merging.scan(0) == 0
    change_attributes(kernel.handle, 0, 0, FIRST_PFN, 1, 0, KEPT_4K)
    assert kernel.merging.scan(0) == 2


def test_the_scanner_keeps_to_its_budget_and_goes_round() -> None:
    """Each round looks at the next regions; after a whole turn every candidate has merged."""
    kernel = machine({"policy": "periodic", "budget": 100})
    pfns = [FIRST_PFN + 512 * 300 * k for k in range(3)]
    for pfn in pfns:
        change_attributes(kernel.handle, 0, 0, pfn, 1, UNCACHED, 0)
        change_attributes(kernel.handle, 0, 0, pfn, 1, 0, UNCACHED)
    rounds = -(-(len(kernel.store.pages) >> 9) // 100)
    merged = [kernel.merging.scan(0) for _ in range(2 * rounds)]
    assert max(merged) <= 2
    assert collapses(kernel)[0] == counters(kernel)["level2_splits"]


def test_the_scanner_can_compare_as_mainline_does() -> None:
    """With `restored_equal: false` a region of freed secret pages never merges."""
    results = {}
    for restored_equal in (True, False):
        kernel = machine({"policy": "periodic", "budget": 4096, "restored_equal": restored_equal})
        task, file = secret_pages(kernel, 600)
        kernel.close(task, file, 0)
        results[restored_equal] = kernel.merging.scan(0)
    assert results[True] > results[False] == 0


def test_a_policy_is_named_alone_or_with_its_options() -> None:
    """`merging: on_free` and `merging: {policy: on_free}` are the same; an unknown name is refused."""
    assert MergingConfig.model_validate("on_free") == MergingConfig(policy="on_free")
    with pytest.raises(ValueError, match="policy"):
        MergingConfig.model_validate("sometimes")


def test_on_request_is_of_x86_alone() -> None:
    """arm64 has no such code."""
    with pytest.raises(ValueError, match="arm64"):
        boot({"memory": "4GiB", "arch": "arm64"}, {"merging": "on_request"})


@given(
    policy=st.sampled_from(POLICIES),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["remove", "restore", "reset", "read_only", "writable", "merge"]),
            st.integers(0, 2047),
            st.sampled_from([1, 3, 512, 513]),
        ),
        max_size=30,
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_identity_holds_after_any_mix(policy: str, steps: list[tuple[str, int, int]]) -> None:
    """Sizes and counters agree, tables are held once, and no page is lost, in whatever order things split and merge."""
    kernel = boot({"memory": "1200MiB", "cpus": 1}, {"merging": policy})
    identity, before = MapIdentity(kernel.state.direct_map), check_pages(kernel.store).used
    holder = area(kernel, 2048 * 8, 8)
    for what, offset, count in steps:
        pfn = 2048 * 8 + offset
        if what == "remove":
            remove_range(kernel.handle, 0, 0, pfn, count)
        elif what == "restore":
            present = int(kernel.state.direct_map.counters[0]["unmapped_pages"])
            changed = change_presence(kernel.state.direct_map.handle, kernel.store.handle, pfn, count, True)
            assert int(kernel.state.direct_map.counters[0]["unmapped_pages"]) == present - changed
        elif what == "reset":
            assert reset_pages(kernel.handle, 0, 0, pfn, count) != NO_TABLE
        elif what == "merge":
            kernel.merging.asked(0, holder, AREA)
            kernel.merging.scan(0)
        else:
            to_set, to_clear = (READ_ONLY, 0) if what == "read_only" else (0, READ_ONLY)
            change_attributes(kernel.handle, 0, 0, pfn, count, to_set, to_clear)
        kernel.merging.changed(0)
        identity.check()
    now = counters(kernel)
    in_use = now["level2_splits"] + now["level3_splits"] - now["level2_collapses"] - now["level3_collapses"]
    assert len(tables(kernel.state.direct_map)) == in_use
    assert check_pages(kernel.store).used == before + in_use + 8
