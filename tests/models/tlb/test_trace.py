"""Reading traces, and the command that runs the exact model on one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.tlb.commands import app
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import Hierarchy
from models.tlb.replay import TraceTiling, replay
from models.tlb.trace import TraceError, detect_format, read_pages
from simcore.errors import ConfigError, SimcoreError

LACKEY = """==12== Lackey, an example Valgrind tool
==12== Command: true
I  04016b80,3
 L 1ffefff7e0,8
 S 1ffeffffffc,8
I  04016b83,5
 M 04222cac,4
==12==
"""
DYNAMORIO = """Output format:
<--record#-> <--instr#->: <---tid---> <record details>
------------------------------------------------------------
           1           0:     1400000 <marker: version 6>
           2           1:     1400000 ifetch       3 byte(s) @ 0x00007f0012345678 48 89 e7
           3           1:     1400000 write        8 byte(s) @ 0x00007ffc00001ff8 by PC 0x00007f0012345678
           4           1:     1400000 pref-r-L1     1 byte(s) @ 0x00007ffc00003000 by PC 0x00007f0012345678
           5           1:     1400000 dflush       64 byte(s) @ 0x00007ffc00003000 by PC 0x00007f0012345678
           6           1:     1400000 read         16 byte(s) @ 0x00007ffc00001ff8 by PC 0x00007f0012345678
"""
SAMPLE = "Format: <data address>: <data size>, <(r)ead/(w)rite/opcode>\n"
SAMPLE += "0x00007ffc00001ff8:  8, w\n0x00007f0000000000:  3, mov\n"
SAMPLE_X86 = "Format: <instr address>,<(r)ead/(w)rite>,<data size>,<data address>\n"
SAMPLE_X86 += "0x7f0012345678,w,8,0x7ffc00001ff8\n0x7f0012345678,r,16,0x7ffc00001ff8\n"


def _write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "trace"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _pages(path: Path) -> list[int]:
    return [int(page) for chunk in read_pages(path) for page in chunk]


def test_binary_addresses_become_pages(tmp_path: Path) -> None:
    """Little-endian uint64, the highest address too."""
    addresses = np.array([0x1FFF, 0x7FFF_FFFF_F000, 0xFFFF_FFFF_FFFF_FFFF], "<u8")
    assert _pages(_write(tmp_path, addresses.tobytes())) == [1, 0x7FFF_FFFF_F, (1 << 52) - 1]


def test_lackey_counts_data_and_both_pages_of_a_crossing(tmp_path: Path) -> None:
    """Loads, stores and modifies; instructions and messages are left out."""
    path = _write(tmp_path, LACKEY)
    assert detect_format(path) == "lackey"
    assert _pages(path) == [
        0x1FFEFFF7E0 >> 12,
        0x1FFEFFFFFFC >> 12,
        (0x1FFEFFFFFFC >> 12) + 1,
        0x4222CAC >> 12,
    ]


@pytest.mark.parametrize(("text", "count"), [(DYNAMORIO, 3), (SAMPLE, 1), (SAMPLE_X86, 3)])
def test_dynamorio_counts_reads_and_writes(tmp_path: Path, text: str, count: int) -> None:
    """The view tool's lines and the samples' lines; instruction fetches and markers are left out."""
    path = _write(tmp_path, text)
    assert detect_format(path) == "drmemtrace"
    pages = _pages(path)
    assert len(pages) == count
    assert pages[0] == 0x7FFC00001


@pytest.mark.parametrize("content", ["binary", "text"])
def test_a_pipe_reads_as_a_file_does(tmp_path: Path, content: str) -> None:
    """``-`` is the standard input, longer than what the format is found out from."""
    addresses = np.random.default_rng(3).integers(0, 1 << 40, 30_000, dtype=np.uint64)
    data = addresses.tobytes() if content == "binary" else "".join(f" L {a:x},1\n" for a in addresses).encode()
    path = _write(tmp_path, data)
    told = CliRunner().invoke(app, ["trace", "-", "--json"], input=data)
    asked = CliRunner().invoke(app, ["trace", str(path), "--json"])
    assert {**json.loads(told.output), "trace": str(path)} == json.loads(asked.output)
    assert json.loads(told.output)["accesses"] == len(addresses)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (" L 1ffefff7e0,8\n L zz,8\n", "line 2"),
        (" L ffffffffffffffff,8\n", "line 1"),
        (DYNAMORIO + "  5 1: 1400000 read 8 byte(s) @ nowhere\n", "line 10"),
        (SAMPLE + "0x00007ffc00001ff8:  zz, w\n", "line 4"),
        (SAMPLE_X86 + "0x7f0012345678,w,8\n", "line 4"),
        (b"\x00" * 13, "byte 8"),
        ("hello world\n", "line 1"),
        ("==1== only talk\nI  04016b80,3\n", "line 1"),
        ("I  04016b80,3\n L 10,1\nnonsense\n", "line 3"),
        ("", "empty"),
    ],
)
def test_bad_traces_say_where(tmp_path: Path, content: str | bytes, place: str) -> None:
    """Malformed, cut off, of no known format, or empty: one error with file and place."""
    path = _write(tmp_path, content)
    with pytest.raises(TraceError, match=place) as caught:
        list(read_pages(path))
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, SimcoreError)


def test_a_missing_trace_is_told(tmp_path: Path) -> None:
    """No such file, and a directory."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(TraceError, match="cannot be read"):
            list(read_pages(path))


def test_a_trace_without_data_is_told(tmp_path: Path) -> None:
    """Instructions alone."""
    path = _write(tmp_path, "I  04016b80,3\n")
    with pytest.raises(TraceError, match="no data access"):
        list(read_pages(path, "lackey"))


@pytest.mark.parametrize("text", ["3M", "2M:130%", "2M:x", "", "2M:1.2.3", "1G:-1"])
def test_bad_tilings_are_refused(text: str) -> None:
    """Sizes that are none, shares beyond the whole."""
    with pytest.raises(ConfigError, match="tiling"):
        TraceTiling.parse(text)


def test_a_split_share_is_a_share_of_regions() -> None:
    """About the stated share of 2M regions is 4K, each as a whole, the same at each reading."""
    tiling = TraceTiling.parse("2m:30%", seed=3)
    pages = np.arange(0, 4000 * 512, 256)
    sizes = tiling.sizes(pages)
    assert np.array_equal(sizes[::2], sizes[1::2])
    assert (sizes == 0).mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(sizes[:100], tiling.sizes(pages[:100]))


def test_chunks_and_flushes_fall_on_the_same_accesses() -> None:
    """A stream cut anywhere is flushed at the same places as the whole."""
    hierarchy = Hierarchy.from_preset("skylake_sp")
    pages = np.random.default_rng(1).integers(0, 4000, 10_000)
    tiling = TraceTiling.parse("4K")
    whole = replay(hierarchy, [pages], tiling, flush_every=777)
    cut = replay(hierarchy, np.array_split(pages, 13), tiling, flush_every=777)
    assert whole == cut
    tlb = ExactTlb(hierarchy)
    for start in range(0, pages.size, 777):
        tlb.run(pages[start : start + 777], sizes=np.zeros(pages[start : start + 777].size, np.uint8))
        tlb.flush()
    assert tlb.counts == whole.counts


def test_command_prints_a_table_and_json(tmp_path: Path) -> None:
    """The command gives the same figures both ways, with the confidence of the preset."""
    path = _write(tmp_path, (np.arange(3000, dtype="<u8") << np.uint64(12)).tobytes())
    runner = CliRunner()
    printed = runner.invoke(app, ["trace", str(path), "--tlb", "zen5", "--tiling", "4K", "--no-coalesce"])
    assert printed.exit_code == 0
    assert "3,000" in printed.output
    assert "unverified" in printed.output
    told = runner.invoke(app, ["trace", str(path), "--tlb", "zen5", "--no-coalesce", "--json"])
    values = json.loads(told.output)
    assert values["walks"] == values["touched_pages"] == values["by_size"]["4K"]["walks"] == 3000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tlb", "zen6"], "zen5"),
        (["--host-page", "8K"], "4K"),
        (["--format", "lakey"], "lackey"),
        (["--tiling", "5M"], "2M:30%"),
    ],
)
def test_command_refuses_bad_options_with_a_hint(tmp_path: Path, options: list[str], told: str) -> None:
    """Errors are of the kind that the command line prints as one message, and name what would do."""
    path = _write(tmp_path, b"\x00" * 16)
    done = CliRunner().invoke(app, ["trace", str(path), *options])
    assert isinstance(done.exception, SimcoreError)
    assert told in str(done.exception)


def test_command_shows_a_preset_with_its_words() -> None:
    """Every value of a preset is shown with its confidence."""
    rows = json.loads(CliRunner().invoke(app, ["show", "--tlb", "zen5", "--json"]).output)["values"]
    words = {row["key"]: row["confidence"] for row in rows}
    assert words["l1d.0.entries"] == "measured"
    assert words["1g_in_l2"] == "verified"
    assert words["l2.0.ways"] == "unverified"
