"""Cost presets: complete, sourced, and composed as the kernel composes the work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.machine.costs import CostPreset, CostValue, CostValues, cost_names, load_costs
from simcore.errors import ConfigError

PRESETS = [load_costs(name) for name in cost_names()]


@pytest.fixture(params=PRESETS, ids=lambda preset: preset.name)
def preset(request: pytest.FixtureRequest) -> CostPreset:
    found: CostPreset = request.param
    return found


def test_every_value_is_sure_of_itself_or_has_a_range(preset: CostPreset) -> None:
    """What is guessed or derived can be swept, unless it is a plain repeated figure marked as such."""
    for name in CostValues.model_fields:
        cost: CostValue | None = getattr(preset.values, name)
        if cost is None:
            assert not CostValues.model_fields[name].is_required()  # others stand in for these
            continue
        assert cost.source
        assert (
            cost.range is not None
            or cost.confidence in {"published", "measured", "unverified"}
            or name == "cpu_ghz"
        )


def test_split_is_built_from_its_parts(preset: CostPreset) -> None:
    """A table page, 512 entries, and a full flush on all CPUs; more CPUs cost only more flush."""
    alone, crowd = preset.split(0), preset.split(7, 8)
    assert alone.total_ns == alone.table_page_ns + alone.entries_ns + alone.flush_ns
    assert alone.entries_ns == round(512 * preset.values.write_entry_ns.value)
    assert crowd[:2] == alone[:2]
    assert crowd.flush_ns == preset.flush.initiator_ns(None, 7, 8) > alone.flush_ns


def test_flush_switches_to_the_whole_tlb_above_the_ceiling(preset: CostPreset) -> None:
    """33 pages one by one, 34 all at once [arch/x86/mm/tlb.c]."""
    flush = preset.flush
    assert flush.local_ns(33) == round(33 * flush.page_ns)
    assert flush.local_ns(34) == flush.local_ns(None) == round(flush.full_ns)


@given(near=st.integers(0, 500), far=st.integers(0, 500), pages=st.one_of(st.none(), st.integers(0, 100)))
def test_flush_never_gets_cheaper_with_more_cpus(near: int, far: int, pages: int | None) -> None:
    """And a CPU on another socket costs at least as much as a near one."""
    for preset in PRESETS:
        flush = preset.flush
        base = flush.initiator_ns(pages, near, far)
        assert base <= flush.initiator_ns(pages, near + 1, far) <= flush.initiator_ns(pages, near, far + 1)


def test_shootdown_fit_meets_the_rows_it_was_fitted_on() -> None:
    """The published operation: its local time, then a + b per other thread."""
    bare = load_costs("haswell_bare_metal")
    local = bare.evidence["shootdown_local_ns"].value
    for threads, name in ((2, "shootdown_one_remote_ns"), (4, "shootdown_four_threads_ns")):
        remote = bare.flush.initiator_ns(1, threads - 1) - bare.flush.local_ns(1)
        assert local + remote == pytest.approx(bare.evidence[name].value, rel=0.01)


def test_hardware_flushes_interrupt_nobody(preset: CostPreset) -> None:
    """INVLPGB and arm64's broadcast: no receiver loses time, and the asker's wait does not grow."""
    assert preset.flush.receiver_ns(1) > 0
    hardware = preset.with_flush("invlpgb").flush
    assert hardware.receiver_ns(1) == 0
    assert hardware.initiator_ns(1, 1) == hardware.initiator_ns(1, 100, 100)
    assert hardware.initiator_ns(1, 0) == hardware.local_ns(1)


def test_guest_parts_add_up_to_what_was_measured() -> None:
    """Fault plus flush is the measured fault; a 2M split on top is the measured difference."""
    guest = load_costs("zen5_guest_2cpu")
    fault = guest.ns("secret_fault") + guest.flush.initiator_ns(1, 1)
    evidence = guest.evidence
    assert fault == pytest.approx(evidence["secretmem_fault_ns"].value, rel=0.02)
    with_split = fault + guest.split(1).total_ns
    assert with_split == pytest.approx(evidence["secretmem_fault_with_2m_split_ns"].value, rel=0.03)
    freed = guest.ns("munmap_page") + guest.ns("free_page")
    assert freed == pytest.approx(evidence["secretmem_free_ns_per_page"].value, rel=0.01)
    task = guest.ns("fork") + guest.ns("exit") + guest.ns("wait")
    assert task == pytest.approx(evidence["fork_exit_wait_ns"].value, rel=0.01)
    file = guest.ns("memfd_secret") + guest.ns("ftruncate") + guest.ns("mmap") + fault
    assert file == pytest.approx(evidence["one_page_secret_inode_ns"].value, rel=0.02)


def test_chunk_fault_is_mostly_clearing(preset: CostPreset) -> None:
    """512 clears outweigh the rest, as in the instruction counts."""
    clear = preset.values.page_clear_ns
    clears = 512 * (clear.cold or clear.value)
    assert clears < preset.pool_chunk_fault_ns < 2 * clears


def test_values_can_be_replaced_for_a_sweep(preset: CostPreset) -> None:
    """One value changes, the others and the preset itself stay."""
    changed = preset.with_values({"flush_a_ns": 1, "secret_fault_ns": 5})
    assert (changed.flush.a_ns, changed.ns("secret_fault_ns")) == (1, 5)
    assert changed.values.page_clear_ns == preset.values.page_clear_ns
    assert preset.flush.a_ns != 1


def test_bad_names_and_values_are_shown(preset: CostPreset) -> None:
    """With the nearest valid name."""
    with pytest.raises(ConfigError, match="did you mean 'flush_a_ns'"):
        preset.with_values({"flush_a": 1})
    with pytest.raises(ConfigError, match="negative"):
        preset.with_values({"fork_ns": -1})
    with pytest.raises(ConfigError, match="did you mean 'fork_ns'"):
        preset.ns("forks")
    with pytest.raises(ConfigError, match="did you mean 'haswell_bare_metal'"):
        load_costs("haswell")
    with pytest.raises(ValueError, match="near"):
        preset.flush.initiator_ns(1, -1)


@pytest.mark.parametrize(
    "given_value",
    [
        {"value": 5, "range": [6, 7], "source": "x", "confidence": "measured"},
        {"value": 5, "source": "x", "confidence": "swept"},
        {"value": 5, "source": "", "confidence": "measured"},
        {"value": 5, "source": "x", "confidence": "sure"},
        {"value": -1, "source": "x", "confidence": "measured"},
    ],
)
def test_value_that_contradicts_itself_is_refused(given_value: dict[str, object]) -> None:
    """Outside its range, swept without one, without a source, with an unknown confidence, negative."""
    with pytest.raises(ValidationError):
        CostValue.model_validate(given_value)
