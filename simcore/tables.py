"""Tables and verdicts on the terminal; texts from experiments are shown as they are, never as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simcore.units import format_count

__all__ = ["print_table", "print_verdicts"]

_STYLES = {"passed": "green", "FAILED": "bold red", "error": "bold red"}


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, prose: bool = False) -> None:
    """Print rows of text; the first column to the left, the others to the right, but for a last one of prose."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        left = number == 0 or (prose and number == len(headings) - 1)
        table.add_column(Text(heading), justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        # A file or a pipe has no width to fit into.
        console = Console(highlight=False, width=200)
    console.print(table)


def print_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Print one line per condition: passed or failed, and with what values."""
    console = Console(highlight=False, soft_wrap=True)
    for verdict in verdicts:
        word = "passed" if verdict["passed"] else "FAILED"
        values = ", ".join(
            f"{name} = {format_count(value) if isinstance(value, int | float) else value}"
            for name, value in verdict["values"].items()
        )
        console.print(Text(word, style=_STYLES[word]), Text(f"{verdict['check']}   ({values})"))
