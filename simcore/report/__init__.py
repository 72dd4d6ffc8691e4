"""Reports: one self-contained page about a run or a sweep, readable without a network.

Models add sections by entry points of the group ``simcore.report_sections``: each is called with a ``Result`` and
returns a list of ``Section``.
"""

from __future__ import annotations

from simcore.report.section import SECTION_GROUP, Chart, Line, Section

__all__ = ["SECTION_GROUP", "Chart", "Line", "Section"]
