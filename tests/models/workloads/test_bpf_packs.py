"""Packs of BPF programs: where programs lie, and when a pack is full or empty."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.kernel.code import Area
from models.workloads.bpf_packs import CHUNK_BYTES, PACK_BYTES, Pack

CHUNKS = PACK_BYTES // CHUNK_BYTES


def pack() -> Pack:
    return Pack(Area(1, 512, 512))


def test_programs_are_placed_first_fit() -> None:
    """A gap in the middle is used before the end."""
    packed = pack()
    assert [packed.place(size) for size in (10, 20, 30)] == [0, 10, 30]
    packed.remove(10)
    assert packed.place(21) == 60
    assert packed.place(20) == 10


def test_a_full_pack_has_no_place() -> None:
    """Two MiB in chunks of 64 bytes."""
    packed = pack()
    assert packed.place(CHUNKS) == 0
    assert packed.place(1) is None
    packed.remove(0)
    assert packed.empty


def test_only_what_is_there_can_be_removed() -> None:
    """A program that is freed twice shows itself."""
    packed = pack()
    packed.place(5)
    with pytest.raises(ValueError, match="chunk 3"):
        packed.remove(3)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, CHUNKS // 3)), max_size=40))
def test_programs_never_overlap(steps: list[tuple[bool, int]]) -> None:
    """Whatever comes and goes, every program has its chunks for itself, inside the pack."""
    packed = pack()
    there: dict[int, Any] = {}
    for remove, size in steps:
        if remove and there:
            packed.remove(there.popitem()[0])
        elif (start := packed.place(size)) is not None:
            assert start + size <= CHUNKS
            assert all(start + size <= other or other + length <= start for other, length in there.items())
            there[start] = size
    assert packed.empty == (not there)
