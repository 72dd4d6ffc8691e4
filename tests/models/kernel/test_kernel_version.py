"""Rules that changed after 6.1 follow the kernel's version."""

import pytest

from simcore.errors import SimcoreError
from simcore.run import run


def _splits(version: object) -> tuple[int, int]:
    """Splits and refills of a run that takes and gives back on a machine of one CPU."""
    result = run(
        {
            "model": "direct_map",
            "machine": {"memory": "4GiB", "cpus": 1},
            "kernel": {} if version is None else {"version": version},
            "workloads": {"w": {"kind": "churn", "steps": 300, "slots": 16, "max_pages": 256}},
        }
    )
    return int(result.series["direct_map.level2_splits"][-1]), int(result.series["memory.per_cpu_bytes"].max())


def test_from_6_7_on_a_cpu_keeps_more() -> None:
    """Its high mark follows what comes and goes; without a version the rules are those of 6.1."""
    assert _splits(None) == _splits("6.1")
    assert _splits("6.7")[1] > _splits("6.1")[1]


@pytest.mark.parametrize("version", ["6.9", 6.7, "six"])
def test_other_versions_are_refused(version: object) -> None:
    """Only where rules changed; a number would make 6.10 of 6.1."""
    with pytest.raises(SimcoreError, match="version"):
        _splits(version)
