"""What is known of the lists' heads before a live run."""

import os

import numpy as np
import pytest

from models.host.compare import run_captured
from models.host.live_plan import plan
from models.host.settling import plan_settling
from models.host.snapshot import take_snapshot
from models.machine.page_runs import decode_pages
from tests.models.host.live_support import experiment, needs_page_flags, needs_secretmem


def test_as_many_pages_as_the_run_will_take_and_some() -> None:
    """Fewer, and the run would go on where nothing is known; on every CPU that it may use."""
    settling = plan_settling(plan(experiment(kind="one_file", pages=1024)))
    assert 1024 < settling.pages < 2048
    assert len(settling.cpus) == 1
    assert settling.request == {"pages": settling.pages, "cpus": list(settling.cpus)}
    assert str(settling.pages) in settling.statement
    bomb = plan_settling(plan(experiment(kind="fork_bomb", tasks=64)))
    assert bomb.pages > 20 * 64
    assert len(bomb.cpus) == len(os.sched_getaffinity(0))
    spread = plan(experiment(kind="spread", secret_pages=30, filler_pages=511))
    ordinary = plan(experiment(kind="spread", secret_pages=30, filler_pages=511, filler="ordinary"))
    assert plan_settling(spread).pages > plan_settling(ordinary).pages


@needs_secretmem
@needs_page_flags
@pytest.mark.long
def test_the_run_takes_the_pages_that_were_given_back() -> None:
    """Most of them: what others take meanwhile differs from run to run, so the best of three counts."""
    shares = []
    for _ in range(3):
        run, captured = run_captured(plan(experiment(kind="one_file", pages=64)))
        pages = take_snapshot(captured).pages
        assert pages is not None
        if not pages.given_back:
            pytest.skip("a packet socket is not to be had here: nothing was given back")
        ((_, text),) = pages.given_back
        known = decode_pages(text)
        assert len(known) == len(np.unique(known)) == plan_settling(run.plan).pages
        shares.append(float(np.isin(run.frames, known).mean()))
    assert max(shares) > 0.9, shares
