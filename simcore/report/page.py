"""The page: sections, charts and scripts in one HTML file that loads nothing and runs nothing but its own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from simcore.report.section import Chart, Section, escape

__all__ = ["render"]


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the page.

    The page's policy (`Content-Security-Policy`) forbids every request, and every script but those written here, which
    it knows by their hashes: markup that slipped through from an experiment could not run.

    Args:
        title: The heading and the window's title.
        lead: Markup under the heading.
        sections: In order.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - megabytes

    data = [
        {"id": f"part-{number}", "charts": [chart.to_json() for chart in section.charts], "data": section.data}
        for number, section in enumerate(sections)
    ]
    own = "".join(
        f"page.part({json.dumps(f'part-{number}')}, function (root, data, page) {{\n{section.script}\n}});\n"
        for number, section in enumerate(sections)
        if section.script
    )
    scripts = [get_plotlyjs()] if any(section.charts for section in sections) else []
    scripts.append(f"(function () {{\n{_asset('page.js')}\n{own}page.start();\n}})();")
    style = _asset("page.css") + "".join(section.style for section in sections)
    policy = "; ".join(
        [
            "default-src 'none'", "img-src data: blob:", "style-src 'unsafe-inline'",
            "script-src " + " ".join(_hash(script) for script in scripts), "base-uri 'none'", "form-action 'none'",
        ]
    )  # fmt: skip
    contents = "".join(
        f'<li><a href="#part-{number}">{escape(section.title)}</a></li>' for number, section in enumerate(sections)
    )
    body = "".join(_section(number, section) for number, section in enumerate(sections))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the results</a>\n'
        f'<header><h1>{escape(title)}</h1>{lead}<button type="button" id="theme">Dark</button></header>\n'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n<main id="main">{body}</main>\n'
        f'<script type="application/json" id="report-data">{_json(data)}</script>\n'
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _section(number: int, section: Section) -> str:
    charts = "".join(_figure(f"part-{number}-chart-{place}", chart) for place, chart in enumerate(section.charts))
    return (
        f'<section id="part-{number}"><h2>{escape(section.title)}</h2>{section.html}'
        f'<div class="charts">{charts}</div></section>\n'
    )


def _figure(name: str, chart: Chart) -> str:
    toggles = "".join(
        f'<label><input type="checkbox" checked data-line="{number}"><span class="swatch"></span>'
        f"{escape(line.label)}</label>"
        for number, line in enumerate(chart.lines)
    )
    note = f"<figcaption>{escape(chart.note)}</figcaption>" if chart.note else ""
    return (
        f'<figure id="{name}"><h3>{escape(chart.title)}</h3><div class="toggles">{toggles}</div>'
        f'<div class="chart" tabindex="0" role="img" aria-label="{escape(chart.title)}; arrow keys move, plus and '
        f'minus zoom, 0 shows all"></div>{note}</figure>'
    )


def _asset(name: str) -> str:
    return (files("simcore.report") / name).read_text(encoding="utf-8")


def _json(data: Any) -> str:
    """Return JSON that no browser takes for the end of its element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
