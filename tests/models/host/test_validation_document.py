from __future__ import annotations

from pathlib import Path

import pytest

from models.host.comparison import Options
from models.host.validate import MODES, compare_all
from models.host.validation_document import document
from tests.models.host.edited_recordings import RECORDINGS

PAGE = Path(__file__).parents[3] / "docs" / "validation.md"


def test_the_page_has_a_line_for_every_recording() -> None:
    """A recording that is added or lost makes the page stale."""
    text = PAGE.read_text()
    named = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert named == {path.name.removesuffix(".json.gz") for path in RECORDINGS.rglob("*.json.gz")}
    for mode in MODES:
        assert f"## {mode}\n" in text


def test_the_page_says_what_is_not_modelled_in_todays_words() -> None:
    """All but the tables, which take minutes."""
    without = document([]).split("## What is not modelled")[1]
    assert PAGE.read_text().split("## What is not modelled")[1] == without


@pytest.mark.long
def test_the_page_is_what_the_command_writes_now() -> None:
    """The page says what today's model does, to the letter."""
    assert document(list(compare_all([RECORDINGS], [], Options()))) == PAGE.read_text()
