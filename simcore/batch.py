"""A directory of experiments: all validated first, then run, with one table of verdicts."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from simcore.config import load
from simcore.errors import ConfigError, SimcoreError
from simcore.experiment import Experiment
from simcore.run import run
from simcore.run_directory import check_place, write_atomically
from simcore.units import format_ns

__all__ = ["HEADINGS", "Row", "exit_code", "find_experiments", "run_all", "table"]

HEADINGS = ["experiment", "verdict", "checks", "simulated", "wall", "what it shows, or what failed"]

#: What became of one experiment: ``experiment``, ``verdict`` (passed, FAILED, no checks, bad input, error),
#: ``checks``, ``failed``, ``message``, ``simulated_ns``, ``wall_s``, ``fingerprint``, ``directory``,
#: ``description``.
Row = dict[str, Any]


def find_experiments(directory: Path) -> list[Path]:
    """Return the experiments in a directory by name: its YAML files but sweeps, and bases (``_name.yaml``).

    Raises:
        ConfigError: There is none, or one cannot be loaded.
    """
    files = sorted(
        path
        for path in directory.iterdir()
        if path.suffix in {".yaml", ".yml"} and path.is_file() and not path.name.startswith(("_", "."))
    )
    files = [path for path in files if "design" not in load(path).data]
    if not files:
        raise ConfigError("holds no experiments", file=directory, expected="a directory with YAML files")
    return files


def run_all(directory: Path, overrides: list[str], out: Path, jobs: int = 1, plot: bool = False) -> list[Row]:
    """Run every experiment of a directory; write each to ``out/<name>`` and the verdicts beside them.

    Args:
        directory: Where the experiments are.
        overrides: ``--set`` texts, for all of them.
        out: Where the runs go; ``verdicts.json`` and ``verdicts.md`` repeat the table.
        jobs: How many to run at a time, each in a process of its own.
        plot: Draw each run's plots too.

    Raises:
        ConfigError: An experiment cannot be used; none has been run then.
        OutputError: A place to write to is taken by something else.
    """
    places: dict[str, Path] = {}
    for path in find_experiments(directory):
        name = Experiment.load(path, overrides).directory_name
        if name in places:
            raise ConfigError(f"has the name {name!r}, as {places[name].name} has", file=path, key="name")
        places[name] = path
        check_place(out / name)
    work = partial(_run_one, overrides=overrides, plot=plot)
    paths, targets = list(places.values()), [out / name for name in places]
    if jobs == 1:
        rows = [work(path, target) for path, target in zip(paths, targets, strict=True)]
    else:
        # Fresh interpreters: forking a process that has threads of numerical libraries may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(paths)), mp_context=context) as pool:
            rows = list(pool.map(work, paths, targets))
    write_atomically(out / "verdicts.json", (json.dumps(rows, indent=2) + "\n").encode())
    write_atomically(out / "verdicts.md", _markdown(rows).encode())
    return rows


def _run_one(path: Path, target: Path, overrides: list[str], plot: bool) -> Row:
    """Run one experiment to a row. A run that fails is a row too, and not the end of the others."""
    row: Row = {
        "experiment": path.stem,
        "description": "",
        "directory": str(target),
        "checks": 0,
        "failed": [],
    }
    try:
        experiment = Experiment.load(path, overrides)
        row |= {"experiment": experiment.name, "description": experiment.keys.description}
        result = run(experiment, out=target)
        if plot:
            from simcore import views  # noqa: PLC0415 - Matplotlib only when it draws

            views.draw_all(result, target)
    except SimcoreError as error:
        return row | {"verdict": "bad input", "message": str(error)}
    except Exception as error:  # a bug of one model must not hide the verdicts of the others
        return row | {"verdict": "error", "message": f"{type(error).__name__}: {error}"}
    verdict = "no checks" if not result.verdicts else "passed" if result.passed else "FAILED"
    return row | {
        "verdict": verdict,
        "checks": len(result.verdicts),
        "failed": [entry["check"] for entry in result.verdicts if not entry["passed"]],
        "simulated_ns": result.summary["simulated_ns"],
        "wall_s": result.summary["wall_s"],
        "fingerprint": result.fingerprint,
    }


def exit_code(rows: list[Row]) -> int:
    """Return 0 when all held, 2 when an experiment could not be used, else 1."""
    verdicts = {row["verdict"] for row in rows}
    if "bad input" in verdicts:
        return 2
    return 1 if verdicts & {"FAILED", "error"} else 0


def table(rows: list[Row]) -> list[list[str]]:
    """Return the rows as texts under ``HEADINGS``."""
    return [
        [
            row["experiment"],
            row["verdict"],
            f"{row['checks'] - len(row['failed'])}/{row['checks']}",
            format_ns(row["simulated_ns"]) if "simulated_ns" in row else "",
            f"{row['wall_s']:.2f}s" if "wall_s" in row else "",
            "; ".join(row["failed"]) or row.get("message", "") or row["description"],
        ]
        for row in rows
    ]


def _markdown(rows: list[Row]) -> str:
    lines = [HEADINGS, ["---"] * len(HEADINGS), *table(rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
