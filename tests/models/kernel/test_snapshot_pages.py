"""The allocator as a snapshot found it: what was given back last is handed out first."""

import numpy as np

from models.host.snapshot import take_snapshot
from models.kernel.pages.allocator import ALLOC_DEFAULT, alloc_block
from models.kernel.pages.layout import UNMOVABLE, Store
from models.kernel.snapshot_pages import snapshot_pages
from models.machine.page_runs import encode_pages, encode_runs
from models.machine.snapshot import PageSnapshot, Snapshot
from tests.models.host.proc_machines import sources

FREE, GIVEN = (1 << 20, (1 << 20) + (1 << 18)), (1 << 20) + (1 << 18) + 1024
CPU = 1
ORDER = GIVEN + 2 * np.random.default_rng(5).permutation(200)


def _snapshot(*cpus: int) -> Snapshot:
    """A machine with 1 GiB of free unmovable memory in one piece, and some pages given back beside it on some CPUs."""
    given_back = tuple((cpu, encode_pages(ORDER[number :: len(cpus)])) for number, cpu in enumerate(cpus))
    snapshot = take_snapshot(sources("zen5_guest_24g"))
    pages = PageSnapshot(
        free=encode_runs(np.array([FREE])), unmarked="",
        given_back=given_back,
        types=((0, 1 << 11, "Movable"), (1 << 11, 516, "Unmovable")),
    )  # fmt: skip
    return snapshot.model_copy(update={"pages": pages})


def _taken(store: Store, cpu: int, number: int) -> list[int]:
    return [int(alloc_block(store.handle, 0, cpu, 0, UNMOVABLE, ALLOC_DEFAULT, 2)) for _ in range(number)]


def test_pages_given_back_come_first_on_their_cpu() -> None:
    """The last one first, as on the kernel's own lists, less a few that others have; another CPU takes other pages."""
    snapshot = _snapshot(CPU)
    store = snapshot_pages(snapshot, snapshot.cpus, 1, np.random.default_rng(1))
    free = int(store.config[0]["free_pages"]) + int(store.config[0]["per_cpu_pages"]) - (FREE[1] - FREE[0])
    assert 0.75 * len(ORDER) <= free <= len(ORDER)
    assert _taken(store, CPU, free) == ORDER.tolist()[:free][::-1]
    assert not set(_taken(store, 0, 50)) & set(ORDER.tolist())


def test_what_others_take_is_drawn() -> None:
    """It cannot be known: placements begin at other pages, the same placement at the same."""
    snapshot = _snapshot(CPU)
    stores = [snapshot_pages(snapshot, snapshot.cpus, 1, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    first, again, other = ([int(pfn) for pfn in _taken(store, CPU, 20)] for store in stores)
    assert first == again != other


def test_on_several_cpus_the_order_is_drawn() -> None:
    """Tasks take turns, so that nobody can say which gets what."""
    snapshot = _snapshot(0, CPU)
    store = snapshot_pages(snapshot, snapshot.cpus, 1, np.random.default_rng(1))
    for cpu in (0, CPU):
        taken = _taken(store, cpu, 60)
        mine = ORDER[cpu::2].tolist()
        assert set(taken) <= set(mine)
        assert taken != mine[: len(taken)][::-1]
