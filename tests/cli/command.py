"""The command `simcore` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def simcore(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in ``directory``, with this repository importable for its test models."""
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-m", "simcore", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": search, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
