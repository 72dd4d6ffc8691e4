"""Units of axes."""

from __future__ import annotations

import pytest

from simcore.views.scale import scale_of


@pytest.mark.parametrize(
    ("name", "largest", "label"),
    [
        ("x_bytes", 64 << 30, "GiB"),
        ("x_bytes", 3000, "KiB"),
        ("x_bytes", 100, "B"),
        ("x_bytes", 0, "B"),
        ("wait_ns", 5e6, "ms"),
        ("wait_ns", 3e9, "s"),
        ("wait_ns", 3 * 86400e9, "d"),
        ("tasks", 1e6, ""),
    ],
)
def test_units_suit_people(name: str, largest: float, label: str) -> None:
    assert scale_of(name, largest).label == label
