"""Values with units: what is read as a size or a time, and what is left alone."""

from __future__ import annotations

from simcore.sweep.quantities import quantity


def test_quantities_are_read_and_other_text_is_left_alone() -> None:
    assert quantity("64GiB") == 64 << 30
    assert quantity("10ms") == 10_000_000
    assert quantity("page") == "page"
    assert quantity("5.9") == "5.9"
    assert quantity("3 apples") == "3 apples"
    assert quantity([1]) == [1]
