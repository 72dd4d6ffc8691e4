"""The policies page: its table of the worst cases is made as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from models.kernel.secretmem.registry import POLICIES
from simcore.sweep.sweep import run_sweep

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "policies.md"


def test_both_tables_name_every_policy() -> None:
    """What the registry knows, in its order."""
    names = re.findall(r"^\| `(\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert names == [*POLICIES, *POLICIES]


@pytest.mark.long
def test_the_page_s_code_makes_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep, made small, and the code block as it stands: one row per policy, with what the text says of it."""
    settings = ["machine.memory=8GiB", "machine.cpus=2"]
    run_sweep(ROOT / "configs" / "policies.yaml", settings, out=tmp_path / "runs" / "policies", executor="serial")
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    worst = names["worst"]
    assert list(worst.index) == list(POLICIES)
    assert worst.bytes_4k["page"] > 0.85 * (8 << 30)
    assert worst.bytes_4k["pmd_pool"] == worst.bytes_4k["cma"] == worst.bytes_4k["boot_reserve"]
    assert worst.ram_bytes["pmd_pool"] > 0.85 * (8 << 30)
    assert worst.ram_bytes["cma"] == worst.ram_bytes["boot_reserve"] == 4 << 30
    assert worst.ram_bytes["unmapped_cache"] < 0.05 * (8 << 30)
