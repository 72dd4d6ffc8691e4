"""Pictures of results. ``draw_all`` makes those of one run: its series, and what its model brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcore.errors import SimcoreError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from simcore.result import Result

__all__ = ["MAP_GROUP", "PLOT_GROUP", "draw_all", "draw_maps", "draw_together", "load_entry"]

PLOT_GROUP = "simcore.plots"
MAP_GROUP = "simcore.maps"


def draw_all(result: Result, directory: Path, patterns: Sequence[str] | None = None) -> list[Path]:
    """Draw a run into a directory; return the files.

    ``series.png`` shows the series. Each installed entry point of the group ``simcore.plots`` is called as
    ``function(result, directory)`` and returns the path it wrote, several, or None when it has nothing to
    show.

    Args:
        result: The run.
        directory: Where to write; made if it is not there.
        patterns: Series to draw, by name or shell pattern; with it, the plots of models are left out.

    Raises:
        SimcoreError: A pattern that no series has, or a plot that cannot be loaded.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - only when it draws

    from simcore.views.series import small_multiples  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / "series.png"]
    small_multiples(result, patterns, paths[0])
    if patterns:
        return paths
    for entry in sorted(entry_points(group=PLOT_GROUP), key=lambda entry: entry.name):
        drawn = load_entry(entry, "plot")(result, directory)
        if drawn is not None:
            paths += [Path(drawn)] if isinstance(drawn, str | Path) else [Path(path) for path in drawn]
    return paths


def draw_together(
    results: Sequence[Result],
    labels: Sequence[str],
    directory: Path,
    patterns: Sequence[str] | None = None,
    *,
    intervals: bool = False,
) -> list[Path]:
    """Draw several runs into one picture in a directory; return the files.

    Args:
        results: The runs.
        labels: What the legend calls them.
        directory: Where to write; made if it is not there.
        patterns: Series to draw, by name or shell pattern.
        intervals: They are replications: draw mean and interval instead of every run.

    Raises:
        SimcoreError: A pattern that no series has.
    """
    from simcore.views.replications import replication_bands  # noqa: PLC0415 - only when it draws
    from simcore.views.series import small_multiples  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    if intervals:
        path = directory / "replications.png"
        replication_bands(results, patterns, path)
    else:
        path = directory / "runs.png"
        small_multiples(results, patterns, path, labels)
    return [path]


def draw_maps(result: Result, directory: Path, at_ns: int | None = None, animate: bool = False) -> list[Path]:
    """Draw the maps that models bring: the state of a run at a moment, over time, or as an animation.

    Each installed entry point of the group ``simcore.maps`` is called as ``function(result, directory,
    at_ns=..., animate=...)`` and returns the paths that it wrote.

    Raises:
        SimcoreError: No model brings a map, one cannot be loaded, or the run left none.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - only when it draws

    entries = sorted(entry_points(group=MAP_GROUP), key=lambda entry: entry.name)
    if not entries:
        raise SimcoreError("no installed model brings a map")
    paths: list[Path] = []
    for entry in entries:
        paths += load_entry(entry, "map")(result, directory, at_ns=at_ns, animate=animate)
    return paths


def load_entry(entry: EntryPoint, kind: str) -> Any:
    """Return what an entry point names.

    Raises:
        SimcoreError: It cannot be loaded.
    """
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise SimcoreError(f"{kind} {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
