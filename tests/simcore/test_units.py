"""Units: what a size or duration means, and that ambiguous or impossible ones are refused with a hint."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simcore.units import (
    BYTE_UNITS,
    Bytes,
    Nanoseconds,
    Pages,
    Ratio,
    UnitError,
    format_bytes,
    format_count,
    format_ns,
    parse_bytes,
    parse_ns,
    parse_pages,
    parse_ratio,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64GiB", 64 << 30),
        ("64 GiB", 64 << 30),
        ("1.5GiB", 3 << 29),
        ("4K", 4096),
        ("2M", 2 << 20),
        ("1G", 1 << 30),
        ("16TiB", 16 << 40),
        ("512", 512),
        ("512B", 512),
        ("1_000", 1000),
        ("1e3", 1000),
        (4096, 4096),
        (4096.0, 4096),
        ("0.1KiB", None),
    ],
)
def test_sizes(text: Any, size_bytes: int | None) -> None:
    if size_bytes is None:
        with pytest.raises(UnitError, match="whole number"):
            parse_bytes(text)
    else:
        assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("10ms", 10**7),
        ("1.5s", 15 * 10**8),
        ("250us", 250_000),
        ("250µs", 250_000),
        ("3", 3),
        ("2h", 72 * 10**11),
        ("1d", 864 * 10**11),
        ("1e-3s", 10**6),
        ("5min", 300 * 10**9),
    ],
)
def test_durations(text: str, duration_ns: int) -> None:
    assert parse_ns(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "nearest"), [("64GB", "GiB"), ("64gb", "GiB"), ("3kB", "KiB"), ("1Mib", "MiB"), ("5mb", "MiB")]
)
def test_units_of_two_meanings_are_refused_with_the_one_meant(text: str, nearest: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_bytes(text)
    assert caught.value.nearest == nearest
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "given",
    ["-1GiB", -1, True, None, [], "GiB", "", "nan", float("nan"), float("inf"), "1e99", "1e999999999", 2**63],
)
def test_impossible_sizes_are_refused(given: Any) -> None:
    with pytest.raises(UnitError):
        parse_bytes(given)


def test_a_size_is_no_duration_and_pages_have_no_unit() -> None:
    with pytest.raises(UnitError, match="unknown unit 'GiB'"):
        parse_ns("1GiB")
    with pytest.raises(UnitError, match="unknown unit 'K'"):
        parse_pages("4K")
    assert parse_pages("2048") == 2048


@pytest.mark.parametrize(
    ("given", "ratio"), [(0.5, 0.5), ("12.5%", 0.125), (1, 1.0), ("0.25", 0.25), ("100 %", 1.0)]
)
def test_ratios(given: Any, ratio: float) -> None:
    assert parse_ratio(given) == ratio


@pytest.mark.parametrize("given", [1.5, -0.1, "120%", "half", True, None, float("nan")])
def test_impossible_ratios_are_refused(given: Any) -> None:
    with pytest.raises(UnitError):
        parse_ratio(given)


@given(st.integers(0, 2**53), st.sampled_from(["B", "KiB", "MiB"]))
def test_every_whole_size_is_read_exactly(count: int, unit: str) -> None:
    assert parse_bytes(f"{count % 2**33}{unit}") == count % 2**33 * BYTE_UNITS[unit]


def test_pydantic_types_read_units_and_report_bad_ones() -> None:
    assert TypeAdapter(Bytes).validate_python("4KiB") == 4096
    assert TypeAdapter(Nanoseconds).validate_python("1us") == 1000
    assert TypeAdapter(Pages).validate_python(7) == 7
    assert TypeAdapter(Ratio).validate_python("50%") == 0.5
    with pytest.raises(ValidationError, match="GiB"):
        TypeAdapter(Bytes).validate_python("4GB")
    assert TypeAdapter(Bytes).json_schema()["anyOf"][0] == {"type": "integer", "minimum": 0}


def test_numbers_for_people() -> None:
    assert [format_bytes(size) for size in (0, 4096, 3 << 29, 64 << 30)] == ["0B", "4KiB", "1.5GiB", "64GiB"]
    assert [format_ns(time) for time in (0, 999, 1500, 10**7, 72 * 10**11)] == [
        "0ns",
        "999ns",
        "1.5us",
        "10ms",
        "2h",
    ]
    assert [format_count(count) for count in (1600, 2.5, 0)] == ["1,600", "2.5", "0"]
