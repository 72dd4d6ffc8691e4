"""The report of a sweep: curves with intervals, differences, a sortable table of points and one of runs, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simcore.analysis.intervals import summarise
from simcore.analysis.tables import column, groups, numbers
from simcore.report.page import render
from simcore.report.run_report import configuration, provenance
from simcore.report.section import Chart, Line, Section, escape, table
from simcore.result import format_value
from simcore.sweep.result import SweepResult
from simcore.units import format_bytes, format_ns
from simcore.views.scale import scale_of

__all__ = ["sweep_report"]

_SAMPLED_FROM = 12
"""Distinct values from which a parameter of many is a sample's: shown as a cloud, not as a curve."""
_CURVES = 8
_SHOWN_RUNS = 2000


def sweep_report(result: SweepResult) -> str:
    """Return the page about a sweep, finished or not."""
    about = result.about
    runs = result.to_table()
    statuses = column(runs, "status") if runs.num_rows else []
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    sections = []
    if counts.get("done"):
        metrics = result.shown_metrics()
        sections += [_curves(result, runs, metrics), _points(result, metrics), *_differences(result, metrics)]
        sections.append(_runs(result, runs, metrics))
    if any(status != "done" for status in counts):
        sections.append(_failures(result))
    if about.get("config"):
        sections.append(configuration(about["config"]))
    sections.append(provenance(_manifest(about), "simcore sweep CONFIG"))
    done = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none yet"
    facts = {
        "points": len(groups(runs, result.parameters)) if runs.num_rows else 0,
        "runs": done,
        "varied": ", ".join(result.parameters) or "nothing",
        "intervals": f"{result.confidence:.0%}, Student's t",
    }
    items = "".join(f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in facts.items())
    description = f'<p class="lead">{escape(about["description"])}</p>' if about.get("description") else ""
    return render(str(about.get("title") or about["name"]), f'{description}<ul class="facts">{items}</ul>', sections)


def _manifest(about: Mapping[str, Any]) -> dict[str, Any]:
    versions = dict(about["versions"])
    return {"source": about.get("source"), "model_class": versions.pop("model", ""), "versions": versions}


def _curves(result: SweepResult, runs: Any, metrics: Sequence[str]) -> Section:
    distinct = {name: len(set(column(runs, name))) for name in result.parameters}
    varied = [name for name in result.parameters if distinct[name] > 1]
    points = len(groups(runs, varied)) if varied else 1
    charts: list[Chart] = []
    for metric in metrics:
        if not varied:
            break
        widest = max(distinct[name] for name in varied)
        if len(varied) > 1 and widest >= _SAMPLED_FROM and points < 2 * widest:
            charts += [_cloud(result, runs, metric, name) for name in varied]
        else:
            charts.append(_curve(result, runs, metric, varied, distinct))
    return Section("Curves", "" if charts else "<p>Nothing varies between the runs.</p>", charts)


def _curve(result: SweepResult, runs: Any, metric: str, varied: Sequence[str], distinct: Mapping[str, int]) -> Chart:
    over = max(varied, key=lambda name: (_is_numeric(runs, name), distinct[name]))
    others = sorted((name for name in varied if name != over), key=distinct.__getitem__)
    by = next((name for name in others if distinct[name] <= _CURVES), None)
    keys = [over, by] if by else [over]
    hidden = [name for name in varied if name not in keys]
    shown = _averaged(runs, keys, metric) if hidden else runs
    rows = summarise(shown, keys, [metric], result.confidence)
    numeric = _is_numeric(runs, over)
    x_scale = _unit(result, over, numbers(runs, over) if numeric else None)
    y_scale = scale_of(_base(metric), float(np.nanmax(np.abs(numbers(runs, metric)))))
    lines = []
    for value in dict.fromkeys(row[by] for row in rows) if by else [None]:
        chosen = [row for row in rows if by is None or row[by] == value]
        chosen.sort(key=lambda row: row[over] if numeric else 0)
        x = [row[over] / x_scale.factor for row in chosen] if numeric else [str(row[over]) for row in chosen]
        columns = {
            name: np.array([np.nan if row[name] is None else row[name] for row in chosen], np.float64) / y_scale.factor
            for name in ("mean", "low", "high")
        }
        label = metric if by is None else f"{by} = {_text(result, by, value)}"
        lines.append(Line(label, np.array(x) if numeric else x, columns["mean"], columns["low"], columns["high"]))
    note = f"Mean and {result.confidence:.0%} interval" + (f", averaged over {', '.join(hidden)}." if hidden else ".")
    return Chart(metric, lines, "points", _with_unit(over, x_scale.label), _with_unit("", y_scale.label), note)


def _cloud(result: SweepResult, runs: Any, metric: str, over: str) -> Chart:
    y_scale = scale_of(_base(metric), float(np.nanmax(np.abs(numbers(runs, metric)))))
    values = numbers(runs, metric) / y_scale.factor
    if not _is_numeric(runs, over):
        line = Line(metric, [str(value) for value in column(runs, over)], values)
        return Chart(f"{metric} over {over}", [line], "cloud", over, _with_unit("", y_scale.label))
    places = numbers(runs, over)
    scale = _unit(result, over, places)
    line = Line(metric, places / scale.factor, values)
    return Chart(f"{metric} over {over}", [line], "cloud", _with_unit(over, scale.label), _with_unit("", y_scale.label))


def _averaged(runs: Any, keys: Sequence[str], metric: str) -> dict[str, list[Any]]:
    """Return one row per combination of the keys and replication: the mean over everything else."""
    values = numbers(runs, metric)
    made: dict[str, list[Any]] = {name: [] for name in (*keys, metric)}
    for key, members in groups(runs, [*keys, "replication"]).items():
        known = values[members][~np.isnan(values[members])]
        for name, value in zip(keys, key, strict=False):
            made[name].append(value)
        made[metric].append(float(known.mean()) if known.size else None)
    return made


def _points(result: SweepResult, metrics: Sequence[str]) -> Section:
    rows = []
    for row in result.statistics(metrics):
        interval = "" if np.isnan(row["half_width"]) else _range(row["metric"], row["low"], row["high"])
        rows.append(
            [
                row["metric"], *_point(result, row), (str(row["n"]), row["n"]), _number(row["metric"], row["mean"]),
                interval, _number(row["metric"], row["min"]), _number(row["metric"], row["max"]),
            ]
        )  # fmt: skip
    heads = ["metric", *result.parameters, "n", "mean", f"{result.confidence:.0%} interval", "smallest", "largest"]
    return Section("Points", table(heads, rows, sortable=True))


def _differences(result: SweepResult, metrics: Sequence[str]) -> list[Section]:
    baseline = result.about["baseline"]
    if baseline is None:
        return []
    rows = []
    for metric in metrics:
        for row in result.differences(metric):
            interval = "" if np.isnan(row["high"]) else _range(metric, row["low"], row["high"])
            rows.append(
                [metric, *_point(result, row), (str(row["n"]), row["n"]), _number(metric, row["difference"]), interval,
                 (f"{row['p_holm']:.2g}", row["p_holm"])]
            )  # fmt: skip
    heads = ["metric", *result.parameters, "n", "difference", f"{result.confidence:.0%} interval", "p (Holm)"]
    named = ", ".join(f"{key} = {value}" for key, value in baseline.items())
    lead = f"<p>From {escape(named)}, run by run with the same random numbers.</p>"
    return [Section("Differences", lead + table(heads, rows, sortable=True))]


def _runs(result: SweepResult, runs: Any, metrics: Sequence[str]) -> Section:
    shown = runs.slice(0, _SHOWN_RUNS).to_pylist()
    rows = [
        [*_point(result, row), (str(row["replication"]), row["replication"]), str(row["status"]),
         *("" if row[metric] is None else _number(metric, row[metric]) for metric in metrics)]
        for row in shown
    ]  # fmt: skip
    more = f"The first {_SHOWN_RUNS} of {runs.num_rows} runs." if runs.num_rows > _SHOWN_RUNS else ""
    heads = [*result.parameters, "replication", "status", *metrics]
    return Section("Runs", table(heads, rows, sortable=True, caption=more))


def _failures(result: SweepResult) -> Section:
    reasons: dict[str, int] = {}
    manifest = result.manifest().to_pydict()
    for status, error in zip(manifest["status"], manifest["error"], strict=True):
        if status != "done":
            reasons[f"{status}: {error}"] = reasons.get(f"{status}: {error}", 0) + 1
    rows = [[(str(count), count), reason] for reason, count in sorted(reasons.items(), key=lambda item: -item[1])]
    return Section("Runs that did not succeed", table(["runs", "reason"], rows))


def _point(result: SweepResult, row: Mapping[str, Any]) -> list[Any]:
    """Return the cells of a design point: numbers sort as numbers."""
    return [
        (_text(result, name, row[name]), row[name]) if _is_number(row[name]) else str(row[name])
        for name in result.parameters
    ]


def _text(result: SweepResult, name: str, value: Any) -> str:
    unit = result.about["units"].get(name)
    if not _is_number(value) or unit is None:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return format_bytes(value) if unit == "bytes" else format_ns(value)


def _number(metric: str, value: float) -> tuple[str, float]:
    return _plain(metric, value), value


def _range(metric: str, low: float, high: float) -> str:
    return f"{_plain(metric, low)} .. {_plain(metric, high)}"


def _plain(metric: str, value: float) -> str:
    """Return a metric's value for people; ``mean(x_bytes)`` has the unit of ``x_bytes``."""
    if value is None or np.isnan(value):
        return ""
    text = format_value(_base(metric), abs(value))
    return text if value >= 0 else f"-{text}"


def _base(metric: str) -> str:
    """Return the series that a metric is of."""
    return metric.rpartition("(")[2].rstrip(")")


def _unit(result: SweepResult, name: str, values: Any) -> Any:
    kind = {"bytes": "x_bytes", "ns": "x_ns"}.get(result.about["units"].get(name, ""), "x")
    return scale_of(kind, 0.0 if values is None else float(np.nanmax(values)))


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]".strip() if unit else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numeric(runs: Any, name: str) -> bool:
    return all(_is_number(value) for value in column(runs, name))
