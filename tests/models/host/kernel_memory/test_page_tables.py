"""The direct map is found by its own page tables, and its tiling read off them."""

import struct
from itertools import pairwise

import pytest

from models.host.kernel_memory.memory import KernelMemory, KernelMemoryError
from models.host.kernel_memory.page_tables import PageTables
from models.host.kernel_memory.type_info import TypeInfo
from models.host.procfs import parse_meminfo
from models.host.sources import Sources
from tests.models.host.kernel_memory.kernel import PAGE, MadeUpMemory, needs_kernel_memory
from tests.models.host.kernel_memory.made_up_btf import MadeUpBtf

BASE = 0xFFFF_9240_0000_0000
TASK, MM = 0xFFFF_FFFF_8200_0000, 0xFFFF_FFFF_8200_1000
PGD, PUD, PMD, PTE = 0x5000, 0x6000, 0x7000, 0x8000  # physical
PRESENT, LARGE = 0x63, 0xE3


def _types() -> TypeInfo:
    made = MadeUpBtf()
    word = made.number("long", 8)
    made.structure("task_struct", 64, ("active_mm", word, 24))
    made.structure("mm_struct", 64, ("pgd", word, 8))
    return TypeInfo(made.data())


def _table(**entries: int) -> bytes:
    rows = [0] * 512
    for index, entry in entries.items():
        rows[int(index[1:])] = entry
    return struct.pack("<512Q", *rows)


def _memory() -> MadeUpMemory:
    """3 GiB: the first of them at 2M but for one region at 4K and one that is not there, the last of them at 1G."""
    top, first = BASE >> 39 & 511, BASE >> 30 & 511
    middle = {f"_{k}": k << 21 | LARGE for k in range(512)}
    middle |= {"_0": PTE | PRESENT, "_7": 0}
    return MadeUpMemory(
        TASK,
        {
            TASK: bytes(24) + struct.pack("<Q", MM) + bytes(PAGE - 32),
            MM: bytes(8) + struct.pack("<Q", BASE + PGD) + bytes(PAGE - 16),
            BASE + PGD: _table(**{f"_{top}": PUD | PRESENT}),
            BASE + PUD: _table(**{f"_{first}": PMD | PRESENT, f"_{first + 2}": 2 << 30 | LARGE}),
            BASE + PMD: _table(**middle),
            BASE + PTE: _table(**{f"_{k}": k << 12 | PRESENT for k in range(512) if k != 9}),
        },
    )


def test_the_tiling_is_read_off_the_tables() -> None:
    """A page taken out of a table is an entry of it; what is not mapped is none; 1G that is missing is left out."""
    tables = PageTables(_memory(), _types())
    assert tables.base == BASE
    assert tables.tiles(3 << 18) == (
        (0, 512, 1), (512, 6 * 512, 2), (8 * 512, 504 * 512, 2), (2 << 18, 1 << 18, 3),
    )  # fmt: skip
    assert tables.tiles(1) == tables.tiles(1 << 18)


def test_addresses_are_translated_at_every_size() -> None:
    """4K, 2M and 1G; where nothing is mapped there is no answer."""
    tables = PageTables(_memory(), _types())
    for physical in (0x3123, 5 << 21 | 0x1234, 2 << 30 | 0x123456):
        assert tables.physical(BASE + physical) == physical
    for physical in (9 << 12, 7 << 21, 1 << 30):
        with pytest.raises(KernelMemoryError, match="not mapped"):
            tables.physical(BASE + physical)


def test_tables_that_do_not_map_themselves_are_refused() -> None:
    """As where entries carry other bits: no tiling is better than a wrong one."""
    memory = _memory()
    memory.pages[BASE + PTE] = bytes(PAGE)
    with pytest.raises(KernelMemoryError, match="do not map themselves"):
        PageTables(memory, _types())


def test_five_levels_are_walked_too() -> None:
    """With five levels the kernel's half begins lower, and one more table stands before."""
    base = 0xFF11_0000_0000_0000
    memory = _memory()
    moved = {
        address - BASE + base if address >= BASE and address < TASK else address: page
        for address, page in memory.pages.items()
    }
    top, upper = base >> 48 & 511, base >> 39 & 511
    moved[MM] = bytes(8) + struct.pack("<Q", base + 0x4000) + bytes(PAGE - 16)
    moved[base + 0x4000] = _table(**{f"_{top}": PGD | PRESENT})
    moved[base + PGD] = _table(**{f"_{upper}": PUD | PRESENT})
    first = base >> 30 & 511
    moved[base + PUD] = _table(**{f"_{first}": PMD | PRESENT, f"_{first + 2}": 2 << 30 | LARGE})
    tables = PageTables(MadeUpMemory(TASK, moved), _types())
    assert tables.base == base
    assert tables.tiles(3 << 18)[-1] == (2 << 18, 1 << 18, 3)
    assert tables.physical(base + (5 << 21)) == 5 << 21


@needs_kernel_memory
def test_this_machine_is_tiled_as_it_counts() -> None:
    """The tables of 4K entries are no fewer than the kernel counts, and no entry of 1G is missing."""
    counted = parse_meminfo(Sources().text("meminfo"))
    with KernelMemory(16) as memory:
        tiles = PageTables(memory, TypeInfo.of_this_kernel()).tiles(1 << 24)
    pages = {level: sum(count for _, count, its in tiles if its == level) for level in (1, 2, 3)}
    assert 4 * pages[1] == pytest.approx(counted["DirectMap4k"], abs=64 << 10)
    assert 4 * pages[3] == pytest.approx(counted.get("DirectMap1G", 0), abs=4 << 20)
    assert all(start + count <= following for (start, count, _), (following, *_) in pairwise(tiles))
