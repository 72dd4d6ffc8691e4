"""Intervals cover the truth as often as they claim; Holm and paired differences give known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simcore.analysis.intervals import (
    batch_means_interval,
    holm,
    mean_interval,
    paired_differences,
    summarise,
)
from simcore.analysis.tables import AnalysisError

REPETITIONS = 1000
REPLICATIONS = 20


def ar1_means(truth: float, phi: float, length: int, seed: int) -> np.ndarray:
    """Return means of stationary AR(1) paths, shape (repetitions, replications)."""
    random = np.random.default_rng(seed)
    shape = (REPETITIONS, REPLICATIONS)
    state = random.normal(0, 1 / np.sqrt(1 - phi**2), shape)
    total = np.zeros(shape)
    for _ in range(length):
        state = phi * state + random.normal(size=shape)
        total += truth + state
    return total / length


def mm1_mean_waits(arrival: float, service: float, customers: int, seed: int) -> np.ndarray:
    """Return mean waits of stationary M/M/1 queues (Lindley), shape (repetitions, replications)."""
    random = np.random.default_rng(seed)
    shape = (REPETITIONS, REPLICATIONS)
    busy = random.random(shape) < arrival / service
    wait = np.where(
        busy, random.exponential(1 / (service - arrival), shape), 0.0
    )  # the stationary distribution
    total = np.zeros(shape)
    for _ in range(customers):
        total += wait
        wait += random.exponential(1 / service, shape) - random.exponential(1 / arrival, shape)
        np.maximum(wait, 0.0, out=wait)
    return total / customers


def coverage(means: np.ndarray, truth: float) -> float:
    intervals = [mean_interval(row) for row in means]
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def test_interval_covers_the_mean_of_ar1() -> None:
    """A 95 % interval over replications of AR(1) covers the truth in 93 to 97 % of 1,000 repetitions."""
    assert 0.93 <= coverage(ar1_means(10.0, 0.8, 200, seed=1), 10.0) <= 0.97


def test_interval_covers_the_wait_of_mm1() -> None:
    """A 95 % interval over replications of M/M/1 covers rho / (mu - lambda) in 93 to 97 % of repetitions."""
    arrival, service = 0.5, 1.0
    truth = (arrival / service) / (service - arrival)
    assert 0.93 <= coverage(mm1_mean_waits(arrival, service, 800, seed=2), truth) <= 0.97


def test_batch_means_cover_the_mean_of_one_long_ar1() -> None:
    """Batch means of one autocorrelated series cover the truth; ignoring the correlation would not."""
    random = np.random.default_rng(3)
    paths = np.empty((REPETITIONS, 4000))
    state = random.normal(0, 1 / np.sqrt(1 - 0.7**2), REPETITIONS)
    for step in range(paths.shape[1]):
        state = 0.7 * state + random.normal(size=REPETITIONS)
        paths[:, step] = state
    batched = [batch_means_interval(path) for path in paths]
    naive = [mean_interval(path) for path in paths]
    assert 0.93 <= np.mean([interval.low <= 0 <= interval.high for interval in batched]) <= 0.97
    assert np.mean([interval.low <= 0 <= interval.high for interval in naive]) < 0.8


def test_interval_equals_scipys() -> None:
    """The interval is Student's t interval as scipy computes it."""
    sample = np.random.default_rng(4).normal(5, 2, 12)
    interval = mean_interval(sample, 0.9)
    low, high = stats.t.interval(0.9, 11, sample.mean(), stats.sem(sample))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_interval_of_few_values() -> None:
    """One value has no width, none has no mean, missing values are left out, equal values have width 0."""
    assert mean_interval([]).n == 0
    assert np.isnan(mean_interval([3.0]).half_width)
    assert mean_interval([1.0, np.nan, 3.0]).n == 2
    equal = mean_interval([0.1] * 7)
    assert (equal.mean, equal.half_width, equal.rel_half_width) == (0.1, 0.0, 0.0)
    assert mean_interval([-1.0, 1.0]).rel_half_width == float("inf")


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, float("nan")])
def test_confidence_must_be_a_share(confidence: float) -> None:
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        mean_interval([1.0, 2.0], confidence)


def test_holm_known_answer() -> None:
    """The worked example of the method: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([0.01, float("nan")])[0] == pytest.approx(0.01)
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_plain_and_bonferroni(p_values: list[float]) -> None:
    """Corrected values keep the order, are no smaller than given and no larger than Bonferroni's."""
    corrected = holm(p_values)
    assert np.all(corrected >= np.array(p_values) - 1e-15)
    assert np.all(corrected <= np.minimum(np.array(p_values) * len(p_values), 1) + 1e-15)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(corrected[order]) >= 0)


def runs(seed: int, effect: float, noise: float = 1.0, replications: int = 10) -> dict[str, list[object]]:
    """Return a table of two policies at two limits with common noise per replication."""
    random = np.random.default_rng(seed)
    table: dict[str, list[object]] = {name: [] for name in ("policy", "limit", "replication", "pages")}
    common = random.normal(0, 10, replications)
    for policy in ("page", "pool"):
        for limit in (1, 2):
            for replication in range(replications):
                table["policy"].append(policy)
                table["limit"].append(limit)
                table["replication"].append(replication)
                own = random.normal(0, noise)
                table["pages"].append(100 * limit + effect * (policy == "pool") + common[replication] + own)
    return table


def test_pairing_removes_common_noise() -> None:
    """On common random numbers the difference is exact although each mean is uncertain by tens."""
    rows = paired_differences(
        runs(5, effect=-3.0, noise=0.0), "pages", ["policy", "limit"], {"policy": "page"}
    )
    assert [(row["policy"], row["limit"]) for row in rows] == [("pool", 1), ("pool", 2)]
    for row in rows:
        assert row["difference"] == pytest.approx(-3.0)
        assert row["half_width"] == pytest.approx(0.0, abs=1e-9)
        assert row["n"] == 10


def test_paired_differences_equal_scipys() -> None:
    """p-values are those of the paired t test, corrected by Holm over all rows."""
    table = runs(6, effect=0.5)
    rows = paired_differences(table, "pages", ["policy", "limit"], {"policy": "page"})
    frame = pd.DataFrame(table)
    expected = [
        stats.ttest_rel(
            frame[(frame.policy == "pool") & (frame.limit == limit)].pages.to_numpy(),
            frame[(frame.policy == "page") & (frame.limit == limit)].pages.to_numpy(),
        ).pvalue
        for limit in (1, 2)
    ]
    assert [row["p_value"] for row in rows] == pytest.approx(expected)
    assert [row["p_holm"] for row in rows] == pytest.approx(list(holm(expected)))


def test_false_alarms_stay_below_the_level() -> None:
    """With no effect anywhere, Holm cries at one or more of the points in about 5 % of 1,000 tables."""
    random = np.random.default_rng(7)
    differences = random.normal(size=(1000, 6, 12))
    p_values = stats.ttest_1samp(differences, 0, axis=2).pvalue
    alarms = np.mean([holm(row).min() < 0.05 for row in p_values])
    assert 0.03 <= alarms <= 0.07


def test_a_run_without_partner_is_left_out() -> None:
    """Replications that only one of the two points has do not enter the comparison."""
    table = runs(8, effect=1.0, replications=5)
    short = {name: values[1:] for name, values in table.items()}  # without replication 0 of page at limit 1
    rows = paired_differences(short, "pages", ["policy", "limit"], {"policy": "page"})
    assert [row["n"] for row in rows] == [4, 5]


def test_baseline_must_exist() -> None:
    with pytest.raises(AnalysisError, match="no run at the baseline policy = reserve"):
        paired_differences(runs(9, 0), "pages", ["policy", "limit"], {"policy": "reserve"})
    with pytest.raises(AnalysisError, match="baseline names"):
        paired_differences(runs(9, 0), "pages", ["policy", "limit"], {"memory": 1})


@pytest.mark.parametrize("kind", ["mapping", "arrow", "pandas"])
def test_any_table_will_do(kind: str) -> None:
    """Mappings of lists, Arrow tables and pandas frames give the same rows."""
    table = runs(10, effect=2.0)
    given_table = {"mapping": table, "arrow": pa.table(table), "pandas": pd.DataFrame(table)}[kind]
    rows = summarise(given_table, ["policy"], ["pages"])
    assert [row["policy"] for row in rows] == ["page", "pool"]
    assert [row["n"] for row in rows] == [20, 20]
    assert rows[0]["min"] <= rows[0]["low"] <= rows[0]["mean"] <= rows[0]["high"] <= rows[0]["max"]


def test_errors_name_the_column() -> None:
    with pytest.raises(AnalysisError, match="no column 'page' in the table; did you mean 'pages'"):
        summarise(runs(11, 0), ["policy"], ["page"])
    with pytest.raises(AnalysisError, match="'policy' holds 'page'"):
        summarise(runs(11, 0), ["limit"], ["policy"])
