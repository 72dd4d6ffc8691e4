"""Warm-up: MSER-5 and Welch find a transient of known length and leave a stationary series alone."""

from __future__ import annotations

import numpy as np
import pytest

from simcore.analysis.intervals import mean_interval
from simcore.analysis.tables import AnalysisError
from simcore.analysis.warmup import mser5, resample, welch, welch_warmup


def ar1(phi: float, length: int, start: float, random: np.random.Generator) -> np.ndarray:
    state, path = start, np.empty(length)
    for step, noise in enumerate(random.normal(size=length)):
        path[step] = state = phi * state + noise
    return path


def direct_mser(series: np.ndarray, batch: int) -> int:
    """Return the cut by the definition, one sum of squares after the other."""
    count = series.size // batch
    means = series[: count * batch].reshape(count, batch).mean(axis=1)
    statistic = [
        ((means[cut:] - means[cut:].mean()) ** 2).sum() / (count - cut) ** 2 for cut in range(count - 2)
    ]
    return int(np.argmin(statistic)) * batch


@pytest.mark.parametrize("seed", range(5))
def test_mser5_is_its_definition(seed: int) -> None:
    """The cumulative sums give the cut of the formula written out."""
    series = 1e6 + ar1(0.8, 503, 20.0, np.random.default_rng(seed))
    assert mser5(series).index == direct_mser(series, 5)
    assert mser5(series, batch=1).index == direct_mser(series, 1)


def test_mser5_cuts_a_step_exactly() -> None:
    """A start that is plainly apart is cut where it ends."""
    series = np.concatenate([np.full(100, 50.0), np.tile([0.0, 1.0], 450)])
    found = mser5(series)
    assert found.index == 100
    assert found.settled


def test_mser5_removes_the_bias_of_ar1() -> None:
    """Started far off its mean, AR(1) is biased; after the cut 95 % intervals cover the truth again."""
    random = np.random.default_rng(12)
    paths = np.array([[ar1(0.9, 600, 60.0, random) for _ in range(10)] for _ in range(40)])
    cut = [[path[mser5(path).index :].mean() for path in repetition] for repetition in paths]
    raw = paths.mean(axis=2)
    covered = sum(mean_interval(row).low <= 0 <= mean_interval(row).high for row in cut)
    covered_raw = sum(mean_interval(row).low <= 0 <= mean_interval(row).high for row in raw)
    assert covered >= 35
    assert covered_raw <= 20
    indices = [mser5(path).index for repetition in paths for path in repetition]
    assert 15 <= np.median(indices) <= 60  # 60 * 0.9**k falls into the noise (sd 2.3) at k of about 31


def test_mser5_says_when_the_series_is_too_short() -> None:
    """A series that still rises at its end has no reliable cut."""
    assert not mser5(np.arange(200.0) ** 2).settled
    assert mser5(np.zeros(100)).index == 0
    with pytest.raises(AnalysisError, match="four or more"):
        mser5(np.zeros(19))


def test_welch_is_a_growing_then_centred_average() -> None:
    """Welch's window shrinks at the beginning and is centred everywhere."""
    runs = np.array([[0.0, 2, 4, 6, 8, 10, 12], [0.0, 2, 4, 6, 8, 10, 12]])
    assert welch(runs, 2) == pytest.approx([0, 2, 4, 6, 8])
    bent = np.array([[1.0, 0, 0, 0, 0, 0]])
    assert welch(bent, 1) == pytest.approx([1, 1 / 3, 0, 0, 0])
    assert welch(bent, 0) == pytest.approx(bent[0])


def test_welch_warmup_finds_the_end_of_a_decay() -> None:
    """Over many replications the curve settles where the mean has decayed to the tolerance."""
    random = np.random.default_rng(13)
    runs = np.array([ar1(0.9, 400, 100.0, random) for _ in range(50)])
    # 100 * 0.9**k is 5 % of the range at k = 28; the window of 5 adds its half
    assert 20 <= welch_warmup(runs, window=5, tolerance=0.05) <= 45
    assert welch_warmup(np.ones((3, 50))) == 0


@pytest.mark.parametrize(("shape", "window"), [((10,), 1), ((2, 10), 6), ((2, 10), -1)])
def test_welch_refuses_what_it_cannot_smooth(shape: tuple[int, ...], window: int) -> None:
    with pytest.raises(AnalysisError):
        welch(np.zeros(shape), window)


def test_resample_holds_each_value_until_the_next() -> None:
    """A series of changes becomes equally spaced samples; the last value lasts to the end of the run."""
    assert resample([0, 10, 30], [1, 2, 3], 5, until_ns=40) == pytest.approx([1, 2, 2, 3, 3])
    assert resample([0, 10, 30], [1, 2, 3], 4) == pytest.approx([1, 2, 2, 3])
    with pytest.raises(AnalysisError):
        resample([], [], 5)
