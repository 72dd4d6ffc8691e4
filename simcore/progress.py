"""A progress bar on standard error: simulated time and the model's own figures; none without a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from simcore.units import format_count, format_ns

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    name: str, until_ns: int | None, show: bool | None = None
) -> Iterator[Callable[[int, Mapping[str, int]], None] | None]:
    """Show a bar while the context lasts.

    Args:
        name: What runs.
        until_ns: Simulated time at which it ends at the latest; None shows a bar without end.
        show: Whether to show it; None does when standard error is a terminal.

    Yields:
        A function of simulated time and the model's figures, or None when nothing is shown.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only when something is shown
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Plain(TextColumn):
        """Text in which brackets are brackets."""

        def render(self, task: object) -> Text:
            return Text(str(getattr(task, "fields", {}).get(self.text_format, "")))

    columns = (Plain("label"), BarColumn(bar_width=24), Plain("figures"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("run", total=until_ns, label=name, figures="")

        def update(now_ns: int, figures: Mapping[str, int]) -> None:
            shown = [format_ns(now_ns), *(f"{format_count(count)} {what}" for what, count in figures.items())]
            bar.update(task, completed=now_ns, figures="  ".join(shown))

        yield update
