"""Bystander presets: every value says where it comes from, ranges hold, values can be replaced, mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.workloads.bystander_preset import BystanderConfig, bystander_names, load_bystander
from simcore.errors import ConfigError


def test_the_five_presets_are_there_and_say_where_each_value_comes_from() -> None:
    """No number without a source, a word of confidence and, unless it is derived, a range."""
    assert set(bystander_names()) == {
        "kernel_build", "memcached", "page_cache_reader", "packet_forwarder", "dm_crypt_writer",
    }  # fmt: skip
    for name in bystander_names():
        preset = load_bystander(name)
        for path, stated in preset.stated():
            assert stated.source, path
            assert stated.range is not None or stated.confidence in {"derived", "published"}, (name, path)
        assert sum(stream.share.value for stream in preset.streams.values()) == pytest.approx(1)


def test_values_are_replaced_by_dotted_or_nested_names() -> None:
    """A sweep sets `values.slab_bytes`, a file nests `objects: {exponent: ...}`; both reach the preset."""
    preset = load_bystander("kernel_build").with_values({"slab_bytes": "2MiB", "objects": {"exponent": 0.5}})
    assert preset.slab_bytes.value == 2 << 20
    assert preset.streams["objects"].exponent.value == 0.5
    assert preset.with_values({"lookups.share": 0.4}).streams["lookups"].share.value == 0.4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slab_byte": 1}, "slab_bytes"),
        ({"visits_per_s": 0}, "rate above 0"),
        ({"slab_holes": 1.0}, "between 0 and 1"),
        ({"page_cache_bytes": 0}, "files visits page_cache"),
    ],
)
def test_values_that_make_no_sense_are_told(values: dict[str, float], message: str) -> None:
    """The message names the nearest value, or what is wrong with it."""
    with pytest.raises(ConfigError, match=message):
        load_bystander("kernel_build").with_values(values)


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    """As a ValueError in a configuration, so that file and line are named."""
    with pytest.raises(ValueError, match="memcached"):
        BystanderConfig(preset="memcache")


def test_a_bystander_of_the_users_own_is_a_file(tmp_path: Path) -> None:
    """The same keys as a preset; sizes with units."""
    (tmp_path / "mine.yaml").write_text(
        "description: mine\n"
        + "".join(
            f"{key}: {{value: {value}, source: mine, confidence: measured}}\n"
            for key, value in (
                ("cpus", 1), ("visits_per_s", 1000), ("page_cache_bytes", "1MiB"), ("slab_bytes", "8KiB"),
                ("slab_order", 0), ("slab_holes", 0),
            )
        )
        + "streams:\n  all: {over: slab, access: chain, share: {value: 1, source: mine, confidence: measured}}\n"
    )  # fmt: skip
    preset = load_bystander(str(tmp_path / "mine.yaml"))
    assert (preset.name, preset.page_cache_bytes.value) == ("mine", 1 << 20)
    assert preset.streams["all"].overlap == 1
