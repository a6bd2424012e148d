"""Which of Ceph's test programs are played, and which of their cases: plan.toml; what each is known for: recorded.tsv, excuses.toml."""

import dataclasses
import pathlib
import re
import tomllib

from suites.gtest import Outcome

HERE = pathlib.Path(__file__).resolve().parent
RECORD = HERE / "recorded.tsv"
# Of "program *": whichever of its cases the test program dies in.
DIES = "the test program dies by itself, there too"
# Why a case that passes on the real cluster may fail here.
REASONS = ("cache tiers", "journaling", "tell to a daemon", DIES)


@dataclasses.dataclass(frozen=True)
class Suite:
    """One test program, and which of its cases are played."""

    binary: str
    include: str
    exclude: str
    # What the bounded form plays of them; None: nothing.
    quick: str | None
    limit: float
    environment: dict[str, str]
    # Of what is no test program of Ceph's: its cases, each a shell command.
    commands: dict[str, str]

    def selected(self, listed: list[str], is_quick: bool) -> list[str]:
        wanted = [case for case in listed if re.search(self.include, case) and not re.search(self.exclude, case)]
        return [case for case in wanted if re.search(self.quick, case)] if is_quick else wanted


def suites() -> list[Suite]:
    document = tomllib.loads((HERE / "plan.toml").read_text())
    defaults = {"include": ".", "quick": ".", "environment": {}, "commands": {}} | document["defaults"]
    return [Suite(**(defaults | entry)) for entry in document["suite"]]


def recorded() -> dict[str, dict[str, Outcome]]:
    """What came of each case on the real cluster, by program and case."""
    record: dict[str, dict[str, Outcome]] = {}
    for line in RECORD.read_text().splitlines() if RECORD.exists() else []:
        binary, case, word, seconds = line.split("\t")
        record.setdefault(binary, {})[case] = Outcome(word, float(seconds))
    return record


def write_record(record: dict[str, dict[str, Outcome]]) -> None:
    rows = (
        f"{binary}\t{case}\t{outcome.word}\t{outcome.seconds:.3f}\n"
        for binary, outcomes in record.items()
        for case, outcome in outcomes.items()
    )
    RECORD.write_text("".join(rows))


def excuses() -> dict[str, str]:
    """The reason by case, as "binary Suite.case"."""
    document = tomllib.loads((HERE / "excuses.toml").read_text())
    found = {}
    for reason, cases in document.items():
        if reason not in REASONS:
            raise SystemExit(f"excuses.toml: '{reason}' is no reason: there are {', '.join(REASONS)}")
        found |= dict.fromkeys(cases, reason)
    return found
