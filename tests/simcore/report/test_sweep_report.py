"""The report of a sweep in a browser: curves with intervals, sortable tables, text that stays text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from simcore.report.write import write_report
from tests.browser import Page, open_page
from tests.simcore.sweep.sweep_files import run, write_sweep

HOSTILE = "<script>window.attacked = true</script><b>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sweep")
    config = write_sweep(
        directory / "sweep.yaml",
        name=HOSTILE,
        description="Queues &amp; <i>more</i>",
        design={"grid": {"customers": [5, 10, 20], "service_us": [200.0, 500.0]}},
        replications=4,
    )
    run(config, directory / "out")
    return write_report(directory / "out")


@pytest.fixture(scope="module")
def page(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(report, tmp_path_factory.mktemp("profile")) as opened:
        opened.wait("document.documentElement.dataset.ready")
        yield opened


def test_it_opens_without_complaint_and_asks_for_nothing(page: Page, report: Path) -> None:
    """The page of a sweep keeps to itself as that of a run does."""
    assert page.errors() == []
    assert page.requests() == [report.resolve().as_uri()]
    assert report.stat().st_size < 10_000_000


def test_curves_have_intervals(page: Page) -> None:
    """Each point stands with how sure it is."""
    curves = page.run(
        "return [...document.querySelectorAll('.chart')].flatMap(chart => chart.data.map("
        "trace => [trace.x.length, trace.error_y.array.filter(Number.isFinite).length]))"
    )
    assert curves
    assert all(points == 3 and intervals == 3 for points, intervals in curves)


def test_a_curve_toggles(page: Page) -> None:
    """Curves that hide others can be switched off."""
    page.driver.find_element(By.CSS_SELECTOR, "input[data-line='1']").click()
    assert page.run("return document.querySelector('.chart').data[1].visible") is False


def test_the_table_sorts(page: Page) -> None:
    """Up on the first click, down on the second."""
    click = "document.querySelector('table.sortable').tHead.rows[0].cells[1].firstChild.click()"
    rows = "[...document.querySelector('table.sortable').tBodies[0].rows]"
    cells = f"return {rows}.map(row => Number(row.cells[1].dataset.value))"
    page.run(click)
    upwards = page.run(cells)
    page.run(click)
    assert upwards == sorted(upwards)
    assert page.run(cells) == upwards[::-1]
    assert len(set(upwards)) > 1


def test_hostile_names_stay_text(page: Page) -> None:
    """The name of a sweep is shown as it is given, and does not run."""
    assert page.run("return window.attacked") is None
    assert page.driver.find_element(By.TAG_NAME, "h1").text == HOSTILE
    assert page.driver.find_element(By.CSS_SELECTOR, ".lead").text == "Queues &amp; <i>more</i>"
