"""The report of one run: verdicts, what the model shows, series, results, configuration, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from simcore.report.charts import other_charts
from simcore.report.page import render
from simcore.report.section import SECTION_GROUP, Section, escape, table
from simcore.result import Result, format_value
from simcore.units import format_count, format_ns
from simcore.views import load_entry
from simcore.yaml_scalars import dump_yaml

__all__ = ["configuration", "provenance", "run_report", "verdicts"]


def run_report(result: Result) -> str:
    """Return the page about a run.

    Raises:
        SimcoreError: A section of a model cannot be loaded.
    """
    models = _model_sections(result)
    others = other_charts(result, [name for section in models for name in section.series])
    sections = [verdicts(result.verdicts), *models]
    if others:
        title = "Other series" if models else "Series"
        sections.append(Section(title, charts=others))
    command = f"simcore run {result.manifest.get('source') or 'config.yaml'}"
    sections += [_results(result), configuration(result.config), provenance(result.manifest, command)]
    return render(result.name, _lead(result), sections)


def _model_sections(result: Result) -> list[Section]:
    sections: list[Section] = []
    for entry in sorted(entry_points(group=SECTION_GROUP), key=lambda entry: entry.name):
        sections += load_entry(entry, "report section")(result)
    return sections


def _lead(result: Result) -> str:
    summary, config = result.summary, result.config
    checks = result.verdicts
    verdict = ""
    if checks:
        word, kind = ("all checks passed", "good") if result.passed else ("a check failed", "bad")
        verdict = f'<li class="{kind}">{word}</li>'
    facts = {
        "simulated": format_ns(summary["simulated_ns"]),
        "seed": f"{config.get('seed', 0)}, replication {config.get('replication', 0)}",
        "events": format_count(summary["events"]),
        "took": format_ns(round(summary["wall_s"] * 1e9)),
        "fingerprint": result.fingerprint[:16],
    }
    items = "".join(f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in facts.items())
    description = f'<p class="lead">{escape(config["description"])}</p>' if config.get("description") else ""
    return f'{description}<ul class="facts">{verdict}{items}</ul>'


def verdicts(checks: list[dict[str, Any]]) -> Section:
    """Return the section of the conditions and how they came out."""
    if not checks:
        return Section("Verdicts", "<p>The experiment states no conditions (<code>expect:</code>).</p>")
    rows = []
    for check in checks:
        values = ", ".join(f"{name} = {format_value(name, value)}" for name, value in check["values"].items())
        word = '<span class="good">passed</span>' if check["passed"] else '<span class="bad">FAILED</span>'
        rows.append(f"<tr><td>{word}</td><td><code>{escape(check['check'])}</code></td><td>{escape(values)}</td></tr>")
    heads = "<thead><tr><th>verdict</th><th>condition</th><th>values</th></tr></thead>"
    return Section("Verdicts", f"<table>{heads}<tbody>{''.join(rows)}</tbody></table>")


def _results(result: Result) -> Section:
    rows = []
    for name, value in result.values.items():
        if name in {"name", "fingerprint"}:
            continue
        found = result.summary["statistics"].get(name, {})
        extremes = [
            (format_value(name, found[key]), found[key]) if key in found else "" for key in ("min", "max", "mean")
        ]
        cell = (format_value(name, value), value) if isinstance(value, int | float) else str(value)
        rows.append([name, cell, *extremes])
    return Section("Results", table(["result", "final", "smallest", "largest", "mean over time"], rows, sortable=True))


def configuration(config: Mapping[str, Any]) -> Section:
    """Return the section of the effective configuration, with every default."""
    text = dump_yaml(dict(config))
    return Section(
        "Configuration", f'<p>As it took effect, defaults included.</p><pre tabindex="0">{escape(text)}</pre>'
    )


def provenance(manifest: Mapping[str, Any], command: str) -> Section:
    """Return the section of where the results come from."""
    versions = manifest.get("versions", {})
    rows = [
        ["made at", manifest.get("created_at", "")],
        ["source", manifest.get("source") or "a mapping in Python"],
        ["model", manifest.get("model_class", "")],
        ["fingerprint", manifest.get("fingerprint", "")],
        ["versions", ", ".join(f"{name} {version}" for name, version in versions.items())],
        ["again with", command],
    ]
    return Section("Provenance", table(["what", "value"], [row for row in rows if row[1]]))
