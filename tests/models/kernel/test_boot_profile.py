"""Boot profiles: the presets load, name their source, and bad ones are refused."""

from __future__ import annotations

import pytest

from models.kernel.boot_profile import BootProfile, KernelImage, boot_profile_names, load_boot_profile
from simcore.errors import ConfigError


@pytest.mark.parametrize("name", boot_profile_names())
def test_presets_are_valid_and_say_where_they_come_from(name: str) -> None:
    """A preset without a source is worth nothing."""
    assert load_boot_profile(name).source


def test_unknown_profile_names_the_nearest() -> None:
    """A typo is mended, not guessed."""
    with pytest.raises(ConfigError, match="did you mean 'minimal'"):
        load_boot_profile("minimum")


def test_image_out_of_order_is_refused() -> None:
    """Text lies below rodata."""
    with pytest.raises(ValueError, match=r"\[10, 5, 20, 30\]"):
        KernelImage(text_start_pfn=10, text_end_pfn=5, rodata_start_pfn=20, rodata_end_pfn=30)


def test_unknown_key_is_refused() -> None:
    """No silent setting."""
    with pytest.raises(ValueError, match="swiotlb"):
        BootProfile.model_validate({"source": "x", "confidence": "what-if", "swiotlb": 1})
