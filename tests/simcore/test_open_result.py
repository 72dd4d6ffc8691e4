"""The package's front door: what Python code finds under `simcore`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import simcore
from simcore.errors import SimcoreError
from simcore.result import Result
from simcore.sweep.result import SweepResult
from tests.simcore.sweep.sweep_files import run, write_sweep

HOSTILE = "<script>alert(1)</script>"


def test_it_opens_runs_and_sweeps(tmp_path: Path) -> None:
    """One call opens whatever a directory holds, so that nobody has to know which it is."""
    config = write_sweep(tmp_path / "sweep.yaml", design={"grid": {"customers": [3, 6]}}, replications=2)
    run(config, tmp_path / "sweep")
    simcore.run(config, out=tmp_path / "run", progress=False)
    assert isinstance(simcore.open_result(tmp_path / "run"), Result)
    assert isinstance(simcore.open_result(tmp_path / "sweep"), SweepResult)
    with pytest.raises(SimcoreError):
        simcore.open_result(tmp_path)


def test_results_show_themselves_in_notebooks_with_names_escaped(tmp_path: Path) -> None:
    """A notebook renders what it is given: names from experiments must not become markup."""
    config = write_sweep(tmp_path / "sweep.yaml", name=HOSTILE, design={"grid": {"customers": [3, 6]}}, replications=2)
    shown = [run(config, tmp_path / "sweep")._repr_html_(), simcore.run(config, progress=False)._repr_html_()]
    for markup in shown:
        assert "<script>" not in markup
        assert "<table>" in markup


def test_a_result_writes_its_report(tmp_path: Path) -> None:
    """From Python as from the command line: one call, one file."""
    config = write_sweep(tmp_path / "sweep.yaml", design={"grid": {"customers": [3, 6]}}, replications=2)
    page = simcore.run(config, progress=False).report(tmp_path / "run.html")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert run(config, tmp_path / "sweep").report() == tmp_path / "sweep" / "report.html"


def test_importing_the_package_is_light() -> None:
    """Every command line imports it first."""
    code = "import simcore, sys; print(bool({'numba', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_unknown_names_are_refused() -> None:
    """A typing error must raise, not import something."""
    with pytest.raises(AttributeError, match="opne"):
        simcore.opne  # noqa: B018
