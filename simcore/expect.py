"""``expect:`` in an experiment: conditions on a run's results, and whether they held."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from simcore.errors import ConfigError, nearest_name
from simcore.expressions import Expression, ExpressionError, parse, parse_condition

__all__ = ["Check", "Expectations", "Verdict", "check_names", "evaluate", "parse_checks"]

#: As YAML gives it: conditions by what they are about, or whole expressions in a list.
Expectations = dict[str, str | int | float | list[str | int | float]] | list[str]

#: Functions of a series that conditions may use, and the statistic that each reads.
REDUCTIONS = {"final": "final", "peak": "max", "lowest": "min", "mean": "mean", "integral": "integral"}

_REDUCED = re.compile(rf"({'|'.join(REDUCTIONS)})\(([\w.]+)\)")


@dataclass(frozen=True)
class Check:
    """A condition that a run must fulfil."""

    text: str
    expression: Expression


@dataclass(frozen=True)
class Verdict:
    """What became of a check.

    Attributes:
        check: The condition as written.
        passed: Whether it held.
        values: What the names in it stood for.
    """

    check: str
    passed: bool
    values: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``summary.json``."""
        return asdict(self)


def parse_checks(expectations: Expectations) -> list[Check]:
    """Read conditions.

    A mapping has the subject as its key (``direct_map.level2_splits: "== 0"``, ``peak(tasks.alive): "<=
    8"``), a list has whole expressions.

    Raises:
        ConfigError: A condition that cannot be read; its key says which.
    """
    checks: list[Check] = []
    if isinstance(expectations, list):
        for number, text in enumerate(expectations):
            checks.append(_read(f"expect.{number}", text, partial(parse, text, REDUCTIONS)))
        return checks
    for key, conditions in expectations.items():
        subject = key.replace(" ", "")
        for condition in conditions if isinstance(conditions, list) else [conditions]:
            shown = condition if isinstance(condition, str) else f"== {condition}"
            checks.append(
                _read(
                    f"expect.{key}",
                    f"{subject} {shown}",
                    partial(parse_condition, subject, condition, REDUCTIONS),
                )
            )
    return checks


def _read(key: str, text: str, read: Callable[[], Expression]) -> Check:
    try:
        return Check(text, read())
    except ExpressionError as error:
        raise ConfigError(str(error), key=key) from None


def check_names(checks: list[Check], known: set[str]) -> None:
    """Refuse names that no run of this configuration will know.

    Raises:
        ConfigError: An unknown name, with the nearest known one.
    """
    for check in checks:
        for used in sorted(check.expression.names | check.expression.series):
            reduced = _REDUCED.fullmatch(used)
            name = reduced[2] if reduced else used
            if name not in known:
                raise ConfigError(
                    f"`{check.text}` names {name!r}, which is no series, result or quantity",
                    key="expect",
                    nearest=nearest_name(name, known),
                )


def evaluate(
    checks: list[Check], values: Mapping[str, Any], statistics: Mapping[str, Mapping[str, Any]]
) -> list[Verdict]:
    """Return a verdict per check.

    Args:
        checks: The conditions.
        values: Final values of series, results and quantities by name.
        statistics: Per series, what ``Recorder.statistics`` gives.

    Raises:
        ExpressionError: An unknown name, or a condition that is no condition (a number, say).
    """
    reductions = {name: _reduction(name, key, statistics) for name, key in REDUCTIONS.items()}
    verdicts: list[Verdict] = []
    for check in checks:
        expression = check.expression
        # A subject such as `peak(x)` reaches the expression as one name.
        subjects = [match for name in sorted(expression.names) if (match := _REDUCED.fullmatch(name))]
        known = {**values, **{match[0]: reductions[match[1]](match[2]) for match in subjects}}
        outcome = expression.evaluate(known, reductions)
        if not isinstance(outcome, bool):
            raise ExpressionError("this is a value and not a condition", check.text)
        used = {name: known[name] for name in sorted(expression.names)}
        for match in _REDUCED.finditer(check.text.replace(" ", "")):
            used[match[0]] = reductions[match[1]](match[2])
        verdicts.append(Verdict(check.text, outcome, used))
    return verdicts


def _reduction(name: str, key: str, statistics: Mapping[str, Mapping[str, Any]]) -> Callable[[str], float]:
    def reduce(series: str) -> float:
        if series not in statistics or key not in statistics[series]:
            raise ExpressionError(f"there is no {name}() of {series!r}", f"{name}({series})")
        value: float = statistics[series][key]
        return value

    return reduce
