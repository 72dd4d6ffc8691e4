"""TLB presets: shipped ones load, words of confidence stay with their values, bad files are told where."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.machine.stated import CONFIDENCES
from models.machine.tlb import load_tlb, tlb_names
from simcore.errors import ConfigError

GOOD = """
confidence: verified
l1d: [{sizes: [4K, 2M, 1G], entries: {value: 48, confidence: measured, source: a knee}, ways: 0}]
l2: [{sizes: [4K, 2M], entries: 1024, ways: 8}]
l2_latency_cycles: 6
"""


def _write(tmp_path: Path, text: str, name: str = "mine.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", tlb_names())
def test_every_preset_states_every_value(name: str) -> None:
    """Each shipped preset loads, and each value in it has one of the three words."""
    preset = load_tlb(name)
    assert preset.name == name
    table = preset.confidence_table()
    assert {row[2] for row in table} <= set(CONFIDENCES)
    assert sum(preset.confidence_shares().values()) == len(table)


def test_the_cpus_that_experiments_name_are_there() -> None:
    """Names that validation configs use."""
    wanted = {
        "sandy_bridge",
        "haswell",
        "skylake_sp",
        "kaby_lake_r",
        "zen3",
        "zen5",
        "neoverse_n1",
        "ampereone",
    }
    assert wanted <= set(tlb_names())


def test_words_belong_to_single_values() -> None:
    """Zen 5's sizes are measured while its ways are not."""
    zen5 = load_tlb("zen5")
    assert zen5.confidence_of("l2.0.entries") == "measured"
    assert zen5.confidence_of("l2.0.ways") == "unverified"
    assert zen5.confidence_of("1g_in_l2") == "verified"


def test_a_preset_can_be_taken_over() -> None:
    """``same_as`` brings the values and their words; further keys replace them."""
    same, base = load_tlb("cascade_lake"), load_tlb("skylake_sp")
    assert same.model_copy(update={"name": base.name}) == base
    hashed, zen5 = load_tlb("zen5_hashed"), load_tlb("zen5")
    assert hashed.l1d == zen5.l1d
    assert hashed.l2[0].replacement == "random"
    assert hashed.confidence_of("l1d.0.entries") == "measured"


def test_a_users_file_is_one_yaml_file(tmp_path: Path) -> None:
    """A CPU is added as a file given by its path; its default word and single words hold."""
    mine = load_tlb(_write(tmp_path, GOOD))
    assert (mine.name, mine.l1d[0].entries, mine.l2[0].sets) == ("mine", 48, 128)
    assert mine.confidence_of("l1d.0.entries") == "measured"
    assert mine.confidence_of("l2.0.ways") == "verified"
    assert mine.confidence_of("ghz") == "unverified"
    assert mine.sources["l1d.0.entries"] == "a knee"
    other = _write(tmp_path, "same_as: mine\nl2_latency_cycles: 9\n", "other.yaml")
    assert load_tlb(str(other)).l2_latency_cycles == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "wakers: 2\n", "walkers"),
        (GOOD + "walkers: many\n", "mine.yaml:6: walkers"),
        (GOOD + "walkers: 0\n", "given 0"),
        (GOOD + "walkers: {value: 2, confidence: sure}\n", "no confidence word 'sure'"),
        (GOOD + "walkers: {value: 2, sauce: x}\n", "unknown key 'sauce'"),
        (GOOD.replace("ways: 8", "ways: 7"), "whole sets"),
        (GOOD.replace("[4K, 2M, 1G]", "[4K, 2M]"), "no array of l1d holds 1G"),
        (GOOD.replace("4K, 2M], e", "4K, 3M], e"), "l2.0.sizes"),
        (GOOD + "walkers: 1\nwalkers: 2\n", "mine.yaml:7"),
        ("confidence: [", "mine.yaml"),
        ("- 4K\n", "mapping"),
        ("same_as: zen55\n", "zen5"),
        ("same_as: mine\n", "leads back"),
        ("confidence: verified\n", "l1d"),
    ],
)
def test_bad_files_are_told_where(tmp_path: Path, text: str, told: str) -> None:
    """One message with file, line or key, and what would have done."""
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_tlb(path)
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_unknown_names_bring_the_nearest(tmp_path: Path) -> None:
    """No such preset, no such file."""
    with pytest.raises(ConfigError, match="did you mean 'skylake_sp'"):
        load_tlb("skylake")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_tlb(tmp_path / "none.yaml")
