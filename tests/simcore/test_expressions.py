"""Expressions: what they compute, what they refuse, and that a refusal names the place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcore.expressions import ExpressionError, parse, parse_condition

VALUES = {
    "tasks": 3,
    "limit.pages": 4,
    "machine.memory": 1 << 36,
    "direct_map.4k_bytes": 4096,
    "limit.from": 2,
    "policy": "page",
    "zero": 0,
    "on": True,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("2 ** 10", 1024),
        ("7 // 2 + 7 % 4 - 1", 5),
        ("-tasks + 10", 7),
        ("4GiB", 4 << 30),
        ("0.5 ms".replace(" ", ""), 500_000),
        ("1.5K", 1536),
        ("1e3", 1000.0),
        ("1_000", 1000),
        ("0.9 * machine.memory", 0.9 * (1 << 36)),
        ("tasks <= limit.pages and machine.memory >= 4GiB", True),
        ("tasks < 3 or tasks > 3", False),
        ("not tasks == 3", False),
        ("1 < tasks < limit.pages", True),
        ("4 < tasks < limit.pages", False),
        ("direct_map.4k_bytes == 4K", True),
        ("limit.from + 1", 3),
        ("policy == 'page'", True),
        ('policy in ("pmd_pool", "page")', True),
        ("policy not in ['page']", False),
        ("on == true", True),
        ("min(tasks, limit.pages) + max(1, 2) + abs(-5) + round(1.6)", 12),
    ],
)
def test_value(text: str, expected: object) -> None:
    """Arithmetic, units, chains, names that Python would not take and the value functions."""
    assert parse(text).evaluate(VALUES) == expected


def test_division_is_true_division() -> None:
    """`/` of integers keeps the fraction."""
    assert parse("tasks / limit.pages").evaluate(VALUES) == pytest.approx(0.75)


def test_short_circuit_spares_the_rest() -> None:
    """`and` and `or` stop early, so a guard may stand before a division."""
    assert parse("zero != 0 and 1 / zero > 2").evaluate(VALUES) is False
    assert parse("zero == 0 or 1 / zero > 2").evaluate(VALUES) is True


def test_names_and_series() -> None:
    """Names needed by value and series needed by name are told apart."""
    expression = parse("peak(direct_map.4k_bytes) > 0.5 * machine.memory", reductions={"peak"})
    assert expression.names == {"machine.memory"}
    assert expression.series == {"direct_map.4k_bytes"}
    assert expression.evaluate(VALUES, {"peak": lambda name: float(1 << 36) if "4k" in name else 0.0}) is True


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [("> 0.9 * machine.memory", 1 << 36, True), ("== 0", 1, False), (">= 1 and < 5", 4, True),
     (">= 1 and < 5", 5, False), ("< 1 or > 9", 10, True), ("!= 3", 4, True), ("not (> 3)", 3, True)],
)  # fmt: skip
def test_condition_with_leading_operator(text: str, value: int, holds: bool) -> None:
    """The subject stands before each comparison that lacks a left side, also a name with odd segments."""
    condition = parse_condition("direct_map.2m_bytes", text)
    assert condition.evaluate({**VALUES, "direct_map.2m_bytes": value}) is holds
    assert "direct_map.2m_bytes" in condition.names


def test_condition_by_number_is_equality() -> None:
    assert parse_condition("tasks", 3).evaluate(VALUES) is True
    assert parse_condition("tasks", 3.5).evaluate(VALUES) is False


def test_condition_on_a_reduction() -> None:
    """The subject may be a function of a series."""
    condition = parse_condition("peak(direct_map.4k_bytes)", ">= 2 and < 4", reductions={"peak"})
    assert condition.series == {"direct_map.4k_bytes"}
    assert condition.evaluate({}, {"peak": lambda name: 3.0}) is True
    assert condition.evaluate({}, {"peak": lambda name: 4.0}) is False


def test_condition_without_operator_is_refused() -> None:
    with pytest.raises(ExpressionError, match="begins with one of"):
        parse_condition("tasks", "machine.memory")


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("tasks <", 7, "cannot be read"),
        ("1 + $", 4, "unexpected '\\$'"),
        ("tasks + 4GB", 8, "did you mean GiB"),
        ("1 + open('x')", 4, "no function open"),
        ("peak(tasks)", 0, "no function peak"),
        ("[x for x in y]", 1, "cannot be read"),
        ("(lambda)(1)", 0, "no function lambda"),
        ("min()", 0, "needs an argument"),
        ("min(*tasks)", 4, "Starred is not allowed"),
        ("", None, "empty"),
        ("1 +" * 1000, None, "longer than"),
        ("(" * 400 + "1" + ")" * 400, None, "cannot be read|nested"),
        ("2(3)", 0, "only a named function"),
    ],
)
def test_refused_when_read(text: str, column: int | None, reason: str) -> None:
    """What is not on the list never becomes an expression, and the message names the place."""
    with pytest.raises(ExpressionError, match=reason) as caught:
        parse(text)
    if column is not None:
        assert caught.value.column == column
        assert f"column {column + 1}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "tasks.__class__()",
        "(1).real",
        "tasks[0]",
        "f'{tasks}'",
        "x := 1",
        "1; 2",
        "b'x'",
        "1 @ 2",
    ],
)
def test_nothing_of_python_leaks_in(text: str) -> None:
    """Calls, attributes, subscripts, assignments and formatted strings are refused or are unknown names."""
    with pytest.raises(ExpressionError):
        parse(text).evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("task + 1", "unknown name task; did you mean tasks"),
        ("1 / zero", "division by zero"),
        ("2 ** 65", "too large a power"),
        ("10.0 ** 64 ** 3", "too large a power"),
        ("policy * 3", "cannot calculate with 'page'"),
        ("policy < 3", "not supported"),
        ("3 in tasks", "not iterable"),
    ],
)
def test_refused_when_evaluated(text: str, reason: str) -> None:
    """Unknown names come with the nearest one; values of the wrong kind are an error that shows the text."""
    with pytest.raises(ExpressionError, match=reason) as caught:
        parse(text).evaluate(VALUES)
    assert text in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text whatsoever raises anything but ExpressionError."""
    with contextlib.suppress(ExpressionError):
        parse(text).evaluate(VALUES)


@given(st.text(alphabet="0123456789.()+-*/%<>=! andortaskszemin,'KMGis_e", max_size=60))
def test_any_likely_text_is_read_or_refused(text: str) -> None:
    """The same over texts that look like expressions."""
    with contextlib.suppress(ExpressionError):
        parse(text).evaluate(VALUES)
