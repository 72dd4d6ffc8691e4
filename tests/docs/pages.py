"""Code blocks of Markdown pages, and how each kind is run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from simcore.experiment import Experiment
from simcore.sweep.plan import SweepConfig

__all__ = ["ROOT", "Block", "PageRun", "blocks"]

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*) ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: After the opening fence.
        mark: The word behind it: `fails` for commands that must end with 2.
        file: Name of the file that the paragraph before tells the reader to save it as, or None.
        text: The code.
        line: Where it stands.
        needs: Commands that the paragraph before has run, such as `simcore sweep configs/x.yaml`.
    """

    language: str
    mark: str
    file: str | None
    text: str
    line: int
    needs: tuple[str, ...] = ()


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        saved = re.search(r"[Ss]ave this|experiment, ", before)
        names = re.findall(r"`([\w-]+\.(?:yaml|py))`", before) if saved else []
        line = text.count("\n", 0, match.start()) + 1
        needs = tuple(re.findall(r"`(simcore sweep [^`]+)`", before)) if match[1] == "python" else ()
        found.append(Block(match[1], match[2], names[-1] if names else None, match[3], line, needs))
    return found


class PageRun:
    """A reader who does what a page says, in a directory with the project's files.

    Args:
        directory: An empty directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._names: dict[str, Any] = {}
        for name in ("configs", "tests", "docs", "Makefile"):
            (directory / name).symlink_to(ROOT / name)

    def do(self, block: Block) -> None:
        """Run a block.

        Raises:
            AssertionError: It does not do what the page says.
        """
        if block.file is not None:
            (self.directory / block.file).write_text(block.text, encoding="utf-8")
            if block.language == "yaml" and self._is_experiment(block.text):
                Experiment.load(self.directory / block.file)
        elif block.language == "yaml":
            self._check_yaml(block.text)
        elif block.language == "python":
            for command in block.needs:
                self._command(command, 0)
            exec(compile(block.text, f"block in line {block.line}", "exec"), self._names)
        elif block.language == "sh":
            self._shell(block)
        else:
            assert block.language == "text", f"line {block.line}: nobody knows how to check {block.language!r}"

    def _is_experiment(self, text: str) -> bool:
        keys = yaml.safe_load(text)
        return "workloads" in keys or "base" in keys

    def _check_yaml(self, text: str) -> None:
        keys = yaml.safe_load(text)
        assert isinstance(keys, dict)
        if "workloads" in keys:
            Experiment.from_mapping(keys)
        else:  # part of a sweep
            assert set(keys) <= set(SweepConfig.model_fields)
            SweepConfig.model_validate(keys)

    def _shell(self, block: Block) -> None:
        for line in block.text.splitlines():
            command = line.partition("#")[0].strip()
            if not command:
                continue
            first = command.split()[0]
            if first in {"make", "git", "pip", "python3", "cd"}:
                self._check_set_up(command)
                continue
            self._command(command, 2 if block.mark == "fails" else 0)

    def _command(self, command: str, expected: int) -> None:
        real = re.sub(r"^(\.venv/bin/)?simcore\b", f"{sys.executable} -m simcore", command)
        assert real != command, f"{command!r} is no command of this project"
        done = subprocess.run(["bash", "-c", real], cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr

    def _check_set_up(self, command: str) -> None:
        """What installs is not run again; targets of make must be there."""
        words = command.split()
        if words[0] == "make":
            targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
            assert set(words[1:]) <= targets, command
