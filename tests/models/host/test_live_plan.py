"""What a live run says before it starts, and what it refuses."""

import resource

import pytest

from models.host.live_plan import LiveRefusalError, check, plan
from models.host.secretmem_probe import SecretmemProbe
from simcore.experiment import Experiment
from simcore.run import run
from tests.models.host.live_support import experiment

HERE = SecretmemProbe(True, "per_mm", "")


def test_the_statement_tells_memory_and_that_splits_last() -> None:
    """Nobody may learn afterwards what a run cost the machine."""
    statement = plan(experiment(kind="one_file", pages=1024)).statement
    assert "1024 secret pages (4MiB)" in statement
    assert "until the machine reboots" in statement


@pytest.mark.parametrize(
    ("workload", "why"),
    [
        ({"kind": "one_file", "pages": 2048}, ""),
        ({"kind": "one_file", "pages": 2049}, "--max-pages"),
        ({"kind": "fork_bomb", "tasks": 64}, ""),
        ({"kind": "fork_bomb", "tasks": 65}, "65 tasks"),
        ({"kind": "spread", "secret_pages": 4, "filler": "secret", "filler_pages": 511}, ""),
        ({"kind": "spread", "secret_pages": 8, "filler": "secret", "filler_pages": 511}, "--max-pages"),
        ({"kind": "spread", "secret_pages": 1024, "filler_pages": 511}, "filler"),
    ],
)
def test_consent_is_asked_beyond_the_limits(workload: dict[str, object], why: str) -> None:
    """2,048 pages and 64 tasks go without; one more does not."""
    reason = plan(experiment(**workload)).needs_consent(2048)
    assert why in reason
    assert bool(reason) == bool(why)


def test_churn_does_what_the_simulation_does() -> None:
    """The same operations are drawn from the same stream: compare would be meaningless otherwise."""
    wanted = plan(experiment(kind="churn", steps=200, slots=8, max_pages=4))
    operations = wanted.workload["operations"]
    held: dict[int, int] = {}
    most = 0
    for place, pages, _ in operations:
        if pages > 0:
            assert place not in held
            held[place] = pages
        else:
            assert held.pop(place) == -pages
        most = max(most, sum(held.values()))
    assert not held
    assert most == wanted.secret_pages
    simulated = run(experiment(kind="churn", steps=200, slots=8, max_pages=4))
    opened = [pages for _, pages, _ in operations if pages > 0]
    assert simulated.summary["workloads.w.files"] == len(opened)
    assert simulated.summary["workloads.w.secret_pages"] == sum(opened)


def test_what_real_system_calls_cannot_do_is_refused() -> None:
    """Another policy, another growth, two workloads: no live run, and the message says which."""
    with pytest.raises(LiveRefusalError, match="tree"):
        plan(experiment(kind="fork_bomb", growth="tree"))
    two = {"a": {"kind": "one_file"}, "b": {"kind": "one_file"}}
    machine = {"memory": "4GiB"}
    with pytest.raises(LiveRefusalError, match="one workload"):
        plan(Experiment.from_mapping({"model": "direct_map", "machine": machine, "workloads": two}))
    pool = {"secretmem": {"policy": "pmd_pool"}}
    one = {"a": {"kind": "one_file"}}
    with pytest.raises(LiveRefusalError, match="pmd_pool"):
        plan(Experiment.from_mapping({"model": "direct_map", "machine": machine, "kernel": pool, "workloads": one}))


def test_the_kernels_reason_is_told() -> None:
    """Where memfd_secret is not to be had, its errno is named."""
    without = SecretmemProbe(False, None, "memfd_secret: ENOSYS: built without it")
    with pytest.raises(LiveRefusalError, match="ENOSYS"):
        check(plan(experiment(kind="one_file", pages=1)), without)


def test_limits_and_memory_are_checked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that must fail half way does not begin."""
    wanted = plan(experiment(kind="many_files", files=500))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 100))
    with pytest.raises(LiveRefusalError, match="RLIMIT_"):
        check(wanted, HERE)
    monkeypatch.undo()
    with pytest.raises(LiveRefusalError, match=r"too little memory|RLIMIT_MEMLOCK"):
        check(plan(experiment(kind="one_file", pages=1 << 30)), HERE)
