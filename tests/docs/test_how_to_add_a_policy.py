"""The example of docs/how_to_add_a_policy.md runs as it stands there, and keeps what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simcore.run import run

PAGE = Path(__file__).parents[2] / "docs" / "how_to_add_a_policy.md"


def block(language: str) -> str:
    """The page's only code block of a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy of the user's own is found by `module:Class` and holds its experiment's expectations."""
    (tmp_path / "my_policies.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "small_pools.yaml").write_text(block("yaml"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = run(tmp_path / "small_pools.yaml", out=tmp_path / "out")
    assert len(result.verdicts) == 4
    assert result.passed, result.verdicts
