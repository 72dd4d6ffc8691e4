"""The engine against queueing theory: M/M/1, M/M/c and Little's law, on fixed seeds.

Formulas: Gross, Shortle, Thompson and Harris, "Fundamentals of Queueing Theory", chapters 2 and 3 (Erlang C).
The model is the little queue of the engine's own tests; it uses nothing but the engine.
"""

from __future__ import annotations

from math import factorial, sqrt
from statistics import fmean, stdev

import pytest
from scipy.stats import t as student

import simcore
from simcore.result import Result

SERVICE_NS = 100_000  # long enough that rounding to whole nanoseconds does not matter
REPLICATIONS = 12
HORIZON_NS = 6000 * SERVICE_NS


def runs(servers: int, load: float) -> list[Result]:
    """Independent replications, long enough for the empty start to weigh little."""
    experiment = {
        "model": "tests.simcore.queue_model:QueueModel",
        "seed": 20200917,
        "servers": servers,
        "mean_service": SERVICE_NS,
        "mean_gap": round(SERVICE_NS / (servers * load)),
        "customers": None,
        "until": HORIZON_NS,
    }
    return [simcore.run(experiment, set={"replication": number}) for number in range(REPLICATIONS)]


def mean_waiting(servers: int, load: float) -> float:
    """Mean number in line, by Erlang C."""
    offered = servers * load
    last = offered**servers / factorial(servers) / (1 - load)
    wait = last / (sum(offered**n / factorial(n) for n in range(servers)) + last)
    return wait * load / (1 - load)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.7), (3, 0.7), (8, 0.8)])
def test_queue_lengths_and_waits_lie_in_the_99_percent_interval_of_the_formula(
    servers: int, load: float
) -> None:
    results = runs(servers, load)
    in_line = mean_waiting(servers, load)
    expected = {
        "queue.waiting": in_line,
        "queue.present": in_line + servers * load,
        "queue.wait_ns": in_line * SERVICE_NS / (servers * load),
        "queue.stay_ns": in_line * SERVICE_NS / (servers * load) + SERVICE_NS,
    }
    quantile = float(student.ppf(0.995, REPLICATIONS - 1))
    for name, truth in expected.items():
        means = [result.summary["statistics"][name]["mean"] for result in results]
        half_width = quantile * stdev(means) / sqrt(REPLICATIONS)
        assert abs(fmean(means) - truth) <= half_width, (name, fmean(means), truth, half_width)
        # An interval so wide that it holds anything would prove nothing.
        assert half_width < 0.25 * truth


@pytest.mark.parametrize("order", ["fifo", "lifo"])
def test_littles_law_holds_exactly_for_a_queue_that_empties(order: str) -> None:
    """Area under the number present = sum of stays: an identity, whatever the order of service."""
    result = simcore.run(
        {
            "model": "tests.simcore.queue_model:QueueModel",
            "servers": 2,
            "mean_gap": 600,
            "mean_service": 1000,
            "customers": 5000,
            "order": order,
        }
    )
    stays = result.summary["statistics"]["queue.stay_ns"]
    assert result.summary["statistics"]["queue.present"]["integral"] == round(stays["mean"] * stays["count"])
    waits = result.summary["statistics"]["queue.wait_ns"]
    assert result.summary["statistics"]["queue.waiting"]["integral"] == round(waits["mean"] * waits["count"])
