"""Progress: shown on a terminal, absent elsewhere, and unmoved by brackets in names."""

from __future__ import annotations

import io
import sys

import pytest

from simcore.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("run", None) as show:
        assert show is None
    assert stream.getvalue() == ""


def test_a_terminal_shows_time_and_the_models_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("[bold]run[/oops]", 10**9) as show:
        assert show is not None
        show(25 * 10**7, {"tasks": 1600, "splits": 3})
    shown = stream.getvalue()
    assert "250ms" in shown
    assert "1,600 tasks" in shown
    assert "[bold]run[/oops]" in shown
