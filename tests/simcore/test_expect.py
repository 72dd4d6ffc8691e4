"""Conditions on results: read before a run, checked after it, never evaluated as Python."""

from __future__ import annotations

from typing import Any

import pytest

from simcore.errors import ConfigError, SimcoreError
from simcore.expect import check_names, evaluate, parse_checks

VALUES = {"map.4k_bytes": 900, "machine.memory": 1000, "splits": 0, "policy": "page"}
STATISTICS = {"map.4k_bytes": {"final": 900, "max": 950, "min": 1, "mean": 500.5, "integral": 10**20}}


@pytest.mark.parametrize(
    ("expectations", "passed"),
    [
        ({"splits": "== 0"}, True),
        ({"splits": 0}, True),
        ({"splits": ["> 0"]}, False),
        ({"map.4k_bytes": "> 0.8 * machine.memory"}, True),
        ({"map.4k_bytes": "> 0.9 * machine.memory"}, False),
        ({"peak(map.4k_bytes)": "== 950"}, True),
        ({"peak( map.4k_bytes )": ">= 1 and < 951"}, True),
        ({"mean(map.4k_bytes)": "> 501"}, False),
        ({"lowest(map.4k_bytes)": 1}, True),
        (["peak(map.4k_bytes) > map.4k_bytes and splits == 0"], True),
        ({"policy": "== 'page'"}, True),
    ],
)
def test_conditions(expectations: Any, passed: bool) -> None:
    verdicts = evaluate(parse_checks(expectations), VALUES, STATISTICS)
    assert [verdict.passed for verdict in verdicts] == [passed]


def test_a_verdict_shows_what_the_names_stood_for() -> None:
    (verdict,) = evaluate(parse_checks({"peak(map.4k_bytes)": "> 0.5 * machine.memory"}), VALUES, STATISTICS)
    assert verdict.to_json() == {
        "check": "peak(map.4k_bytes) > 0.5 * machine.memory",
        "passed": True,
        "values": {"machine.memory": 1000, "peak(map.4k_bytes)": 950},
    }


@pytest.mark.parametrize(
    "condition", ["__import__('os').system('true') == 0", "splits.__class__ == 1", "(lambda: 1)() == 1"]
)
def test_nothing_but_conditions_is_read(condition: str) -> None:
    with pytest.raises(SimcoreError):
        evaluate(parse_checks([condition]), VALUES, STATISTICS)


def test_names_are_checked_before_the_run() -> None:
    with pytest.raises(ConfigError, match=r"names 'split', .*did you mean 'splits'"):
        check_names(parse_checks({"split": 0}), set(VALUES))
    with pytest.raises(ConfigError, match=r"'map\.4k_byte'"):
        check_names(parse_checks({"peak(map.4k_byte)": 0}), set(VALUES))
    with pytest.raises(ConfigError, match=r"'map\.4k_byte'"):
        check_names(parse_checks(["peak(map.4k_byte) > 0"]), set(VALUES))
    check_names(parse_checks({"peak(map.4k_bytes)": 0}), set(VALUES))


def test_a_value_is_no_condition() -> None:
    with pytest.raises(SimcoreError, match="value and not a condition"):
        evaluate(parse_checks(["splits + 1"]), VALUES, STATISTICS)
