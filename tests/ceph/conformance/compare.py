"""Two plays of one script, step by step; what differs is listed with its reason, or a failure."""

import collections
import dataclasses
import difflib
import pathlib
import tomllib
from collections.abc import Iterator

from conformance.player import Turn
from conformance.steps import HERE, Step

DIFFERENCES = HERE / "differences.toml"
DIFFERENCES_MAX = 15


@dataclasses.dataclass(frozen=True)
class Difference:
    """A step that did not come out alike."""

    there: Turn
    here: Turn
    # None: it is a failure.
    reason: str | None

    def text(self) -> str:
        """The step, and what differs as a comparison of lines."""
        there, here = ([*_lines(turn), f"status {turn.status}"] for turn in (self.there, self.here))
        shown = [line for line in difflib.unified_diff(there, here, lineterm="", n=1) if not line.startswith(("---", "+++", "@@"))]
        return "\n".join([self.there.step.text(), *(f"    {line}" for line in shown)])


def _lines(turn: Turn) -> list[str]:
    return [*turn.stdout.splitlines(), *(f"! {line}" for line in turn.stderr.splitlines())]


def listed(path: pathlib.Path = DIFFERENCES) -> dict[str, str]:
    """The reason by a step's text. So many at most, so that the list stays one of reasons."""
    entries = tomllib.loads(path.read_text()).get("difference", [])
    if len(entries) > DIFFERENCES_MAX:
        raise SystemExit(f"{path.name}: {len(entries)} differences: at most {DIFFERENCES_MAX} are taken")
    return {entry["step"]: entry["reason"] for entry in entries}


def compare(there: list[Turn], here: list[Turn], reasons: dict[str, str]) -> list[Difference]:
    """What differs. A status is never excused, and neither is a step that the other play does not have."""
    recorded = {place: turn for place, turn in zip(_places(there), there)}
    found = []
    for place, turn in zip(_places(here), here):
        real = recorded.get(place, Turn(turn.step, None, "", "not recorded: scripts/conformance --record\n"))
        if (real.status, real.stdout, real.stderr) != (turn.status, turn.stdout, turn.stderr):
            reason = reasons.get(turn.step.text()) if real.status == turn.status else None
            found.append(Difference(real, turn, reason))
    return found


def _places(turns: list[Turn]) -> Iterator[tuple[Step, int]]:
    """A step may be in the script more than once: which of them each turn is."""
    seen: collections.Counter[Step] = collections.Counter()
    for turn in turns:
        yield turn.step, seen[turn.step]
        seen[turn.step] += 1


def needless(there: list[Turn], differences: list[Difference], played: list[Step], reasons: dict[str, str]) -> list[str]:
    """Listed differences that are none: the step came out alike, or is not in the script."""
    differ = {difference.there.step.text() for difference in differences}
    script = {step.text() for step in played}
    recorded = {turn.step.text() for turn in there}
    return [step for step in reasons if (step in script and step not in differ) or step not in recorded]
