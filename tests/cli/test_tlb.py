"""`simcore tlb` as a user meets it: a trace in, tables out, exit code 2 and one message for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import simcore


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    pages = np.random.default_rng(1).integers(0, 20_000, 50_000, dtype=np.uint64)
    path = tmp_path / "addresses.bin"
    (pages << np.uint64(12)).astype("<u8").tofile(path)
    return path


def test_a_trace_is_counted_per_size_of_entry(trace: Path) -> None:
    """Every access of the file is an L1 hit, an L2 hit or a walk, and the command says so in JSON."""
    done = simcore(trace.parent, "tlb", "trace", trace.name, "--tlb", "zen5", "--tiling", "2M:30%", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tlb"] == "zen5"
    assert told["accesses"] == 50_000 == told["l1_hits"] + told["l2_hits"] + told["walks"]
    assert sum(size["accesses"] for size in told["by_size"].values()) == 50_000
    assert told["by_size"]["4K"]["accesses"] > 0
    assert told["by_size"]["2M"]["accesses"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("addresses.bin", "--tlb", "zen55"), "zen5"),
        (("nowhere.bin",), "nowhere.bin"),
        (("addresses.bin", "--tiling", "3M"), "3M"),
        (("short.bin", "--format", "uint64"), "short.bin"),
    ],
)
def test_bad_input_gets_one_message_and_exit_code_2(trace: Path, arguments: tuple[str, ...], message: str) -> None:
    """A wrong preset, file, tiling or format is the user's to correct: no traceback."""
    (trace.parent / "short.bin").write_bytes(b"12345")
    done = simcore(trace.parent, "tlb", "trace", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr


def test_a_cpu_of_the_users_own_is_one_file(trace: Path) -> None:
    """A preset given by its path works like a shipped one, words of confidence included."""
    (trace.parent / "mine.yaml").write_text(
        "same_as: zen5\nl2:\n"
        "  - {sizes: [4K, 2M], entries: {value: 64, confidence: measured, source: mine}, ways: 16}\n"
    )
    done = simcore(trace.parent, "tlb", "show", "--tlb", "./mine.yaml", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["values"]
    assert {"key": "l2.0.entries", "value": "64", "confidence": "measured", "source": "mine"} in rows
