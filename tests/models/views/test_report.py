"""The report of a fork bomb in a browser: it draws, it reacts, it asks for nothing, and text stays text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from simcore.report.write import write_report
from tests.browser import Page, open_page
from tests.models.views.direct_map_runs import HOSTILE, fork_bomb


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run") / "run"
    fork_bomb().save(directory)
    return write_report(directory)


@pytest.fixture(scope="module")
def page(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(report, tmp_path_factory.mktemp("profile")) as opened:
        opened.wait("document.documentElement.dataset.ready")
        yield opened


def test_it_is_of_a_size_that_can_be_sent(report: Path) -> None:
    """A report is meant for mail: under 10 MB, all in one file."""
    assert report.stat().st_size < 10_000_000


def test_it_opens_without_complaint_and_asks_for_nothing(page: Page, report: Path) -> None:
    """A page that loads something breaks offline, and tells others what is read."""
    assert page.errors() == []
    assert page.requests() == [report.resolve().as_uri()]


def test_every_chart_has_data(page: Page) -> None:
    """An empty chart would look like a result."""
    points = page.run(
        "return [...document.querySelectorAll('.chart')].map(chart => chart.data.map(trace => trace.x.length))"
    )
    assert len(points) >= 6
    assert all(traces and all(count > 1 for count in traces) for traces in points)
    tiling = page.run("return document.querySelector('.chart').data.map(trace => [...trace.y])")
    assert max(tiling[2]) > min(tiling[2]) > 0


def test_hostile_names_stay_text(page: Page) -> None:
    """A name from an experiment must neither run nor vanish."""
    assert page.run("return window.attacked") is None
    assert page.driver.find_element(By.TAG_NAME, "h1").text == HOSTILE
    assert page.run("return document.querySelectorAll('main img[src=x], h1 b').length") == 0
    assert page.driver.title == HOSTILE


def test_a_script_that_slipped_in_would_not_run(page: Page) -> None:
    """The page's policy forbids what is not its own, should escaping ever fail."""
    page.run(
        "const script = document.createElement('script'); script.textContent = 'window.slipped = true';"
        "document.body.append(script);"
    )
    assert page.run("return window.slipped") is None
    assert any("Content Security Policy" in message for message in page.errors())


def test_the_slider_changes_the_map(page: Page) -> None:
    """Moments differ: before the bomb there are no 4K cells, and the keyboard moves through them."""
    slider = page.driver.find_element(By.CSS_SELECTOR, ".map-slider")
    read = "return [document.querySelector('.map-canvas').toDataURL(), document.querySelector('.map-time').textContent]"
    seen = [page.run(read)]
    slider.send_keys(Keys.HOME)
    seen.append(page.run(read))
    for _ in range(30):
        slider.send_keys(Keys.ARROW_RIGHT)
    seen.append(page.run(read))
    assert len({picture for picture, _ in seen}) == 3
    assert len({text for _, text in seen}) == 3
    slider.send_keys(Keys.END)
    assert page.run(read) == seen[0]


def test_a_series_toggles(page: Page) -> None:
    """A box switches its line off and on again, by keyboard."""
    box = page.driver.find_element(By.CSS_SELECTOR, "input[data-line='0']")
    visible = "return document.querySelector('.chart').data[0].visible"
    box.send_keys(Keys.SPACE)
    assert page.run(visible) is False
    box.send_keys(Keys.SPACE)
    assert page.run(visible) is True


def test_charts_zoom_by_keyboard_and_together(page: Page) -> None:
    """Whoever cannot use a mouse must be able to look closer; charts over time show the same time."""
    ranges = (
        "return [...document.querySelectorAll('#part-1 .chart')].map(chart => chart.layout.xaxis.range.map(Number))"
    )
    before = page.run(ranges)
    chart = page.driver.find_element(By.CSS_SELECTOR, "#part-1 .chart")
    chart.send_keys("+")
    zoomed = f"(() => {{ {ranges.replace('return', 'const all =')}; return all.every(([a, b]) => b - a < "
    page.wait(f"{zoomed}{0.6 * (before[0][1] - before[0][0])}) }})()")
    chart.send_keys("0")
    page.wait(f"!{zoomed}{0.6 * (before[0][1] - before[0][0])}) }})()")


def test_the_theme_changes_and_charts_with_it(page: Page) -> None:
    """A dark page with charts for a light one cannot be read."""
    colours = "return [getComputedStyle(document.body).color, document.querySelector('.chart').layout.font.color]"
    first = page.run(colours)
    page.driver.find_element(By.ID, "theme").click()
    second = page.run(colours)
    assert all(a != b for a, b in zip(first, second, strict=True))
    page.driver.find_element(By.ID, "theme").click()


def test_it_says_where_numbers_come_from(page: Page) -> None:
    """Costs stand with source and confidence; verdicts, configuration and fingerprint are there."""
    text = page.driver.find_element(By.TAG_NAME, "main").text
    result = fork_bomb()
    assert "passed" in text
    assert "FAILED" not in text
    assert result.fingerprint in text
    assert "haswell_bare_metal" in text
    for word in ("published", "derived", "unverified"):
        assert word in text


def test_tables_sort_by_value(page: Page) -> None:
    """Numbers sort as numbers, not as the texts that people read."""
    table = "[...document.querySelectorAll('table.sortable')].at(-1)"
    column = f"return [...{table}.tBodies[0].rows].map(row => row.cells[1].dataset.value)"
    page.run(f"{table}.tHead.rows[0].cells[1].firstChild.click()")
    values = [float(value) for value in page.run(column) if value is not None]
    assert values == sorted(values)
    assert len(values) > 10
