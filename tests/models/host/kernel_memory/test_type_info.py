"""Where the members of the kernel's structures are."""

import pytest

from models.host.kernel_memory.type_info import BTF_FILE, TypeInfo, TypeInfoError
from tests.models.host.kernel_memory.made_up_btf import TYPEDEF, UNION, MadeUpBtf


def _types() -> TypeInfo:
    made = MadeUpBtf()
    word = made.number("long", 8)
    head = made.structure("list_head", 16, ("next", word, 0), ("prev", word, 8))
    lists = made.array(head, 5)
    area = made.structure("free_area", 88, ("free_list", lists, 0), ("nr_free", word, 80))
    areas = made.add(TYPEDEF, "areas_t", made.array(area, 11))
    hidden = made.structure("", 16, ("lru", head, 0), kind=UNION)
    made.structure("zone", 1000, ("name", made.pointer(word), 0), ("", hidden, 8), ("free_area", areas, 24))
    made.enumeration("migratetype", MIGRATE_UNMOVABLE=0, MIGRATE_ISOLATE=4)
    return TypeInfo(made.data())


def test_members_are_found_through_names_and_nameless_structures() -> None:
    """Offsets add up along the path; type names and unions without a name are no step of it."""
    types = _types()
    assert types.size("zone") == 1000
    assert types.offset("zone", "free_area") == 24
    assert types.offset("zone", "lru.prev") == 16
    assert types.offset("free_area", "nr_free") == 80


def test_arrays_and_enumerations_tell_their_sizes() -> None:
    """How many orders and types a kernel has is its own affair."""
    types = _types()
    assert types.length("zone", "free_area") == 11
    assert types.length("free_area", "free_list") == 5
    assert types.enumerators("migratetype") == {"MIGRATE_UNMOVABLE": 0, "MIGRATE_ISOLATE": 4}


@pytest.mark.parametrize("path", ["nothing", "free_area.nothing", "name.nothing"])
def test_what_a_kernel_does_not_have_is_named(path: str) -> None:
    """A member that was renamed must be told, not read somewhere else."""
    with pytest.raises(TypeInfoError, match=f"struct zone has no {path}"):
        _types().offset("zone", path)


def test_a_structure_or_enumeration_that_is_not_there_is_named() -> None:
    """As on a kernel that was built without it."""
    with pytest.raises(TypeInfoError, match="no struct kthread"):
        _types().size("kthread")
    with pytest.raises(TypeInfoError, match="no enum zone_type"):
        _types().enumerators("zone_type")
    with pytest.raises(TypeInfoError, match="no array"):
        _types().length("zone", "name")


def test_other_data_is_refused() -> None:
    """An empty file, or one of another kind."""
    for data in (b"", b"\x7fELF" + bytes(64)):
        with pytest.raises(TypeInfoError, match="not BTF"):
            TypeInfo(data)


@pytest.mark.parametrize("kept", [0.4, 0.7, 0.9])
def test_data_that_ends_too_early_is_refused(kept: float) -> None:
    """One message, whatever is missing."""
    made = MadeUpBtf()
    made.structure("pair", 16, ("first", made.number("long", 8), 0))
    data = made.data()
    with pytest.raises(TypeInfoError, match="too early"):
        TypeInfo(data[: int(kept * len(data))]).offset("pair", "first")


@pytest.mark.skipif(not BTF_FILE.exists(), reason="this kernel has no BTF")
def test_this_kernel_has_what_every_kernel_has() -> None:
    """Facts of any x86-64 or arm64 kernel of the last years."""
    types = TypeInfo.of_this_kernel()
    assert types.size("list_head") == 16
    assert types.length("zone", "free_area") == 11
    assert types.enumerators("migratetype")["MIGRATE_MOVABLE"] == 1
