"""The table of a comparison with a live run."""

from __future__ import annotations

import typer

from models.host.compare import Outcome
from models.host.live_comparison import CounterRow
from simcore.tables import print_table

__all__ = ["print_comparison", "table_rows"]

HEADINGS = ("counter", "real", "median", "least", "most", "error", "error %", "")


def table_rows(rows: list[CounterRow]) -> list[list[str]]:
    """Return the rows of the table as text."""
    table = []
    for row in rows:
        share = "" if row.relative is None else f"{100 * row.relative:+.0f}"
        verdict = "" if row.allowed is None else ("passed" if row.passed else "FAILED")
        numbers = [_number(value) for value in (row.real, row.median, row.low, row.high)]
        table.append([row.what, *numbers, f"{row.error:+.4g}", share, verdict])
    return table


def print_comparison(outcome: Outcome) -> None:
    """Print the table, what was drawn at random, and what to know."""
    comparison, snapshot = outcome.comparison, outcome.snapshot
    print_table(HEADINGS, table_rows(list(comparison.rows)))
    typer.echo(f"simulated over {comparison.placements} placements of what the snapshot does not know:")
    for part in ("free_blocks", "pages", "tiles"):
        origin = snapshot.provenance.get(part)
        if origin is not None and origin.gap:
            typer.echo(f"  {part}: {origin.gap}")
    for note in comparison.notes:
        typer.echo(note)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.4g}"
