"""Every code block of README and docs does what the page says; what is generated is current; links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simcore.reference import reference
from tests.docs.pages import ROOT, PageRun, blocks

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who follows a page from top to bottom meets no error that the page does not announce."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = PageRun(tmp_path)
    for block in blocks(page):
        run.do(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    """A page that was renamed must not leave links behind."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_reference_of_the_configuration_is_current() -> None:
    """Whoever changes a key writes the page anew: `simcore schema --reference --out docs/configuration.md`."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_the_reference_explains_every_key() -> None:
    """A key without a word about it makes readers read the source."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| *([^|]*?) *\|$", reference(), re.MULTILINE)
    assert len(rows) > 100
    bare = [key for key, text in rows if not text]
    assert len(bare) < 0.25 * len(rows), bare
