from __future__ import annotations

from pathlib import Path

import pytest

from models.host.comparison import Options
from models.host.validate import MODES, compare_all, compare_for_page
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


def test_a_page_tells_what_was_given_from_what_the_model_had_to_find() -> None:
    """A table for each, where a recording was simulated twice."""
    path = RECORDINGS / "allocator" / "h_page_1g_steal.json.gz"
    given = list(compare_all([path], ["simulate"], Options()))
    assert "### With a schedule of its own" not in document(given)
    page = document(compare_for_page([path], given, Options()))
    with_schedule, own = page.split("### With the recorded schedule")[1].split("### With a schedule of its own")
    words = ", ".join(given[0].given)
    assert words
    assert words in with_schedule
    assert words not in own
    for part in (with_schedule, own):
        assert "1 of 1 recordings within tolerance." in part
        assert part.count("| `h_page_1g_steal` |") == 1
    assert compare_for_page([path], given, Options(schedule="own")) == given


@pytest.mark.long
def test_the_page_is_what_the_command_writes_now() -> None:
    """The page says what today's model does, to the letter."""
    options = Options()
    comparisons = compare_for_page([RECORDINGS], list(compare_all([RECORDINGS], [], options)), options)
    assert document(comparisons) == PAGE.read_text()
