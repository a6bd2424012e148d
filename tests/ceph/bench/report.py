"""The rows in the form of `scripts/bench`: `what`, `unit`, `value`, `ceph`, and `limit` where there is one."""

import dataclasses
import json

UNITS = {"1/s": "{:.0f} /s", "ms": "{:.3f} ms", "s": "{:.2f} s", "MiB": "{:.1f} MiB"}
# More is better.
RATES = ("1/s",)
WHAT, COLUMN = 48, 13


@dataclasses.dataclass(frozen=True)
class Row:
    what: str
    unit: str
    value: float
    ceph: float
    limit: float | None = None
    limit_is: str = ""

    @property
    def times(self) -> float:
        """How much better than Ceph."""
        return self.value / self.ceph if self.unit in RATES else self.ceph / self.value

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.value > self.limit


def head() -> str:
    return f"{'figure':<{WHAT}}{'osd-sim':>{COLUMN}}{'Ceph':>{COLUMN}}{'limit':>{COLUMN}}{'better':>{COLUMN}}\n" + "-" * (WHAT + 4 * COLUMN)


def line(row: Row) -> str:
    def amount(value: float | None) -> str:
        return "-" if value is None else UNITS[row.unit].format(value)

    return f"{row.what:<{WHAT}}{amount(row.value):>{COLUMN}}{amount(row.ceph):>{COLUMN}}{amount(row.limit):>{COLUMN}}{row.times:>{COLUMN - 2}.2f} x"


def document(ceph: str, rows: list[Row]) -> str:
    return json.dumps({"ceph": ceph, "rows": [dataclasses.asdict(row) | {"spread": None} for row in rows]}, indent=2)
