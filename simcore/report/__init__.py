"""Reports: one self-contained page about a run or a sweep, readable without a network.

Models add sections by entry points of the group ``simcore.report_sections``: each is called with a ``Result`` and
returns a list of ``simcore.report.section.Section``.
"""
