"""The allocator with the very lists that a snapshot read: what is handed out next is what lay at their heads."""

import numpy as np
import pytest

from models.host.snapshot import take_snapshot
from models.kernel.pages.allocator import ALLOC_DEFAULT, alloc_block
from models.kernel.pages.layout import FREE, PER_CPU, UNMOVABLE, USED, Store
from models.kernel.snapshot_lists import append_blocks, fill_lists, let_others_take
from models.kernel.snapshot_pages import snapshot_pages
from models.machine.page_runs import encode_pages
from models.machine.snapshot import ListSnapshot, Snapshot
from tests.models.host.proc_machines import sources

NORMAL = 1 << 20
#: Frames in no order that anybody would guess.
LISTED = NORMAL + 4 * np.random.default_rng(5).permutation(400)
BUDDY = NORMAL + 4096 + 8 * np.random.default_rng(6).permutation(64)
#: So much movable memory that no watermark is near.
PLENTY = NORMAL + (1 << 18) + 1024 * np.arange(200)
CPU = 1


def _snapshot(**changes: object) -> Snapshot:
    """A machine of two CPUs; one has single unmovable pages on its list, and free blocks of two pages lie behind."""
    part = {"node": 0, "zone": "Normal", "type": "Unmovable"}
    lists = ListSnapshot.model_validate(
        {
            "buddy": [
                {**part, "order": 1, "pfns": encode_pages(BUDDY)},
                {**part, "order": 10, "type": "Movable", "pfns": encode_pages(PLENTY)},
            ],
            "per_cpu": [{**part, "order": 0, "cpu": CPU, "pfns": encode_pages(LISTED)}],
            **changes,
        }
    )
    return take_snapshot(sources("zen5_guest_24g")).model_copy(update={"lists": lists, "pages": None})


def _store(**changes: object) -> Store:
    return snapshot_pages(_snapshot(**changes), 2, 1, np.random.default_rng(1))


def _taken(store: Store, cpu: int, number: int) -> list[int]:
    return [int(alloc_block(store.handle, 0, cpu, 0, UNMOVABLE, ALLOC_DEFAULT, 2)) for _ in range(number)]


def test_pages_are_handed_out_in_the_order_of_the_list() -> None:
    """Its own CPU's list first, without a draw; another CPU takes from the buddy list's head."""
    assert _taken(_store(), CPU, len(LISTED)) == LISTED.tolist()
    assert _taken(_store(), 0, 6) == [int(BUDDY[at // 2]) + at % 2 for at in range(6)]


def test_what_others_take_is_drawn() -> None:
    """It cannot be known: under another seed other pages are missing, the others keep their order."""
    stores = [_store() for _ in range(3)]
    for store, seed in zip(stores, (1, 1, 2), strict=True):
        let_others_take(store, np.random.default_rng(seed))
    left = int(stores[0].per_cpu[2, CPU]["count"])
    assert 0.8 * len(LISTED) <= left < len(LISTED)
    first, again, other = (_taken(store, CPU, left - 20) for store in stores)
    assert first == again != other
    assert first == [pfn for pfn in LISTED.tolist() if pfn in set(first)]


def test_every_page_is_counted_once() -> None:
    """Free, on a CPU's list, or taken by others: the counters say what the lists hold."""
    store = _store()
    let_others_take(store, np.random.default_rng(1))
    state = store.pages["state"]
    assert (state[BUDDY] == FREE).all()
    assert int(store.config[0]["free_pages"]) == 2 * len(BUDDY) + 1024 * len(PLENTY)
    kept = int((state[LISTED] == PER_CPU).sum())
    assert int(store.config[0]["per_cpu_pages"]) == int(store.per_cpu["count"].sum()) == kept
    assert kept + int((state[LISTED] == USED).sum()) == len(LISTED)


@pytest.mark.parametrize("unknown", [{"zone": "Device"}, {"node": 3}])
def test_lists_of_other_zones_are_left_out(unknown: dict[str, object]) -> None:
    """A snapshot may tell of zones that the model does not have."""
    one = {"node": 0, "zone": "Normal", "type": "Unmovable", "order": 0, "pfns": encode_pages(BUDDY), **unknown}
    store = _store(buddy=[one], per_cpu=[])
    assert int(store.config[0]["free_pages"]) == 0


def test_blocks_of_pageblock_order_give_their_pageblocks_their_type() -> None:
    """What is free tells the type of the pageblocks that it covers: freed pages return to lists of that type."""
    store = Store(NORMAL + (1 << 12), 3, 2, 1, 9, huge_lists=True)
    whole = {"node": 0, "zone": "Normal", "order": 10, "type": "Reclaimable", "pfns": encode_pages(np.array([NORMAL]))}
    fill_lists(store, ListSnapshot.model_validate({"buddy": [whole], "per_cpu": []}), {(0, "Normal"): 2})
    assert (store.block_types[NORMAL >> 9 : (NORMAL >> 9) + 3] ^ 1).tolist() == [2, 2, 1]


def test_an_empty_list_has_nothing_to_take() -> None:
    """A CPU that was idle since boot."""
    store = Store(1 << 12, 1, 1, 1, 9, huge_lists=False)
    append_blocks(store, 0, np.zeros(0, np.int64))
    let_others_take(store, np.random.default_rng(1))
    assert int(store.config[0]["per_cpu_pages"]) == 0
