"""Results with series that a test writes down."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from simcore.result import Result
from simcore.series import Series


def result_of(columns: dict[str, Any], end_ns: int, name: str = "run") -> Result:
    return Result(Series(pa.table(columns)), {"name": name, "simulated_ns": end_ns, "expect": []}, {}, {})
