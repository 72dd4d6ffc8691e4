"""The front door: one experiment to one result, and to a run directory if wanted.

Imports nothing heavy, because ``import simcore`` and every command line start here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcore.experiment import Experiment
    from simcore.result import Result
    from simcore.trace import Trace

__all__ = ["run"]


def run(
    experiment: Experiment | Mapping[str, Any] | Path | str,
    *,
    set: Mapping[str, Any] | Iterable[str] = (),
    out: Path | str | None = None,
    progress: bool | None = None,
    trace: Trace | None = None,
) -> Result:
    """Run an experiment.

    Args:
        experiment: A YAML file, a mapping with the same keys, or a validated experiment.
        set: Changes to it: a mapping from dotted keys to values, or ``key.path=value`` texts.
        out: Run directory to write, in place of an older run; None keeps the result in memory.
        progress: Show a progress bar on standard error; None does so when that is a terminal.
        trace: Where the model reports what happens when (``simcore.trace.Trace``).

    Returns:
        The result. A failed ``expect:`` is no error: ask ``result.passed``.

    Raises:
        ConfigError: The experiment cannot be used.
        OutputError: ``out`` cannot be written, or holds something that is no run.
    """
    from simcore.experiment import Experiment  # noqa: PLC0415 - see the module's docstring
    from simcore.progress import progress_bar  # noqa: PLC0415
    from simcore.simulation import simulate  # noqa: PLC0415

    if isinstance(experiment, Experiment):
        loaded = experiment
        if set:
            loaded = Experiment.from_mapping(experiment.effective(), set)
    elif isinstance(experiment, Mapping):
        loaded = Experiment.from_mapping(experiment, set)
    else:
        loaded = Experiment.load(experiment, set)
    with progress_bar(loaded.name, loaded.keys.until, progress) as show:
        result = simulate(loaded, show, trace)
    if out is not None:
        result.save(out)
    return result
