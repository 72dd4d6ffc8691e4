"""Lists of free blocks: head and tail, and runs of memory that nobody has touched."""

from __future__ import annotations

import pytest

from models.kernel.pages.layout import MAX_ORDER, MOVABLE, Store
from models.kernel.pages.lists import add_head, add_tail, buddy_list, remove, take_block
from tests.models.kernel.machines import buddy_blocks, elements
from tests.models.kernel.stores import LARGEST, ZONE, empty_store, give_run

TOP = MAX_ORDER - 1


def run_list(store: Store) -> int:
    return int(buddy_list(ZONE, TOP, MOVABLE))


def test_head_and_tail() -> None:
    """`list_add` puts a block before all others, `list_add_tail` behind them."""
    store, index = empty_store(), int(buddy_list(ZONE, 0, MOVABLE))
    add_head(store.handle, index, 5)
    add_head(store.handle, index, 3)
    add_tail(store.handle, index, 9)
    assert elements(store, index) == [3, 5, 9]


@pytest.mark.parametrize("gone", [3, 5, 9])
def test_remove_from_anywhere(gone: int) -> None:
    """A block leaves its list from the head, the middle or the tail, and the others stay in order."""
    store, index = empty_store(), int(buddy_list(ZONE, 0, MOVABLE))
    for pfn in (3, 5, 9):
        add_tail(store.handle, index, pfn)
    remove(store.handle, index, gone)
    assert elements(store, index) == [pfn for pfn in (3, 5, 9) if pfn != gone]


def test_a_list_can_become_empty_and_full_again() -> None:
    """Taking the last block leaves neither head nor tail behind."""
    store, index = empty_store(), int(buddy_list(ZONE, 2, MOVABLE))
    add_head(store.handle, index, 8)
    remove(store.handle, index, 8)
    assert elements(store, index) == []
    add_tail(store.handle, index, 16)
    assert elements(store, index) == [16]


def test_untouched_memory_is_one_element() -> None:
    """A run stands for all its blocks, in ascending order, and touches the record of its first page alone."""
    store = empty_store()
    give_run(store, LARGEST, 5)
    assert elements(store, run_list(store)) == [LARGEST]
    assert buddy_blocks(store, ZONE, TOP, MOVABLE) == [k * LARGEST for k in range(1, 6)]
    assert not store.pages["state"][LARGEST + 1 :].any()


def test_taking_from_a_run_leaves_the_rest_in_its_place() -> None:
    """Of a run, the first block goes; the rest keeps its place between its neighbours."""
    store = empty_store()
    index = run_list(store)
    add_tail(store.handle, index, 0)
    give_run(store, 2 * LARGEST, 3)
    add_tail(store.handle, index, 7 * LARGEST)
    remove(store.handle, index, 2 * LARGEST)
    assert buddy_blocks(store, ZONE, TOP, MOVABLE) == [0, 3 * LARGEST, 4 * LARGEST, 7 * LARGEST]
    for pfn in (3 * LARGEST, 4 * LARGEST):
        remove(store.handle, index, pfn)
    assert buddy_blocks(store, ZONE, TOP, MOVABLE) == [0, 7 * LARGEST]


@pytest.mark.parametrize("at", range(5))
def test_any_block_of_a_run_can_be_taken_out(at: int) -> None:
    """`take_block` cuts a run around a block; order and number of blocks stay, and so do the neighbours."""
    store = empty_store()
    index, first = run_list(store), LARGEST
    add_tail(store.handle, index, 7 * LARGEST)
    give_run(store, first, 5)
    add_tail(store.handle, index, 0)
    before = buddy_blocks(store, ZONE, TOP, MOVABLE)
    assert take_block(store.handle, index, first + at * LARGEST)
    assert buddy_blocks(store, ZONE, TOP, MOVABLE) == before
    assert first + at * LARGEST in elements(store, index)
    assert store.pages["owner"][first + at * LARGEST] == 0
    remove(store.handle, index, first + at * LARGEST)
    before.remove(first + at * LARGEST)
    assert buddy_blocks(store, ZONE, TOP, MOVABLE) == before


def test_a_block_that_is_not_in_the_list_is_not_taken() -> None:
    """Neither a block between two runs nor one beyond them is found."""
    store = empty_store()
    give_run(store, 0, 2)
    give_run(store, 3 * LARGEST, 2)
    assert not take_block(store.handle, run_list(store), 2 * LARGEST)
    assert not take_block(store.handle, run_list(store), 5 * LARGEST)
    assert elements(store, run_list(store)) == [0, 3 * LARGEST]
