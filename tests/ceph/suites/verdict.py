"""What a suite's outcomes here say beside those of the real cluster, and how that is shown."""

import dataclasses
import re

from suites.gtest import Outcome

TABLE = re.compile(r"(?<=<!-- suites -->\n).*?(?=<!-- end of suites -->)", re.S)
# More different cases of one suite than these are only counted in the table.
NAMED_MAX = 6
HEAD = "| suite | cases | real cluster | osd-sim | seconds, real cluster | seconds, osd-sim | not as on the real cluster |\n|---|---|---|---|---|---|---|\n"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One suite, played here; `real` is what came of the same cases there."""

    binary: str
    real: dict[str, Outcome]
    here: dict[str, Outcome]
    excuses: dict[str, str]

    def passed_there(self) -> list[str]:
        return [case for case in self.here if case in self.real and self.real[case].passed()]

    def worse(self) -> list[str]:
        """What passes there and does not here."""
        return [case for case in self.passed_there() if not self.here[case].passed()]

    def excused(self) -> list[str]:
        return [case for case in self.worse() if self._excuse(case)]

    def failures(self) -> list[str]:
        """Worse, and not excused; and what nobody knows of the real cluster, unless it passes."""
        unknown = [case for case, outcome in self.here.items() if case not in self.real and not outcome.passed()]
        return [case for case in self.worse() if not self._excuse(case)] + unknown

    def better(self) -> list[str]:
        return [case for case, outcome in self.here.items() if outcome.passed() and case in self.real and not self.real[case].passed()]

    def needless_excuses(self) -> list[str]:
        """Excused cases that pass."""
        return [case for case, outcome in self.here.items() if outcome.passed() and self._excuse(case)]

    def _excuse(self, case: str) -> str | None:
        dies = self.here[case].word == "CRASH"
        return self.excuses.get(f"{self.binary} {case}") or (self.excuses.get(f"{self.binary} *") if dies else None)

    def row(self) -> str:
        """A line of the table, without its end."""
        different = [f"{case}: {self._excuse(case)}" for case in self.excused()]
        different += few([f"{case} fails" for case in self.worse() if not self._excuse(case)], "fail")
        different += few([f"{case} passes here" for case in self.better()], "pass here")
        cells = [self.binary, len(self.here), counts(self.real[case] for case in self.here if case in self.real)]
        cells += [counts(self.here.values()), seconds(self.real.get(case) for case in self.here), seconds(self.here.values())]
        return "| " + " | ".join(map(str, cells)) + f" | {', '.join(different)} |"

    def json(self) -> dict:
        return {
            "suite": self.binary,
            "failures": self.failures(),
            "excused": {case: self._excuse(case) for case in self.excused()},
            "cases": {
                case: {"real": self.real[case].word if case in self.real else None} | dataclasses.asdict(outcome)
                for case, outcome in self.here.items()
            },
        }


def few(cases: list[str], verb: str) -> list[str]:
    """They are named while they are few."""
    return cases if len(cases) <= NAMED_MAX else [f"{len(cases)} {verb}"]


def counts(outcomes) -> str:
    """As "OK 13, HUNG 1"."""
    words = [outcome.word for outcome in outcomes]
    shown = [f"{word} {words.count(word)}" for word in ("OK", "SKIPPED", "FAILED", "HUNG", "CRASH", "NOTRUN") if word in words]
    return ", ".join(shown) or "-"


def seconds(outcomes) -> str:
    return f"{sum(outcome.seconds for outcome in outcomes if outcome):.1f}"


def with_rows(document: str, verdicts: list[Verdict], order: list[str]) -> str:
    """The document with its table's rows of these suites renewed; those of others stay, unless they are not in `order`."""
    table = TABLE.search(document)
    if not table:
        raise SystemExit("docs/ceph-clients.md has no table between <!-- suites --> and <!-- end of suites -->")
    known = {line.split("|")[1].strip(): line for line in table[0].splitlines()[2:]}
    rows = {binary: known[binary] for binary in order if binary in known}
    rows |= {verdict.binary: verdict.row() for verdict in verdicts}
    body = HEAD + "".join(f"{rows[binary]}\n" for binary in order if binary in rows)
    return document[: table.start()] + body + document[table.end() :]
