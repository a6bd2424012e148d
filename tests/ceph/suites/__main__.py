"""Plays Ceph's own test programs (18.2.7) case by case against an osd-sim of their own, beside what the real cluster (16.2.15) was seen to do;
then fio, qemu-img and qemu-io, and Ceph's fsx.

Exit status 0: each case that passes on the real cluster passes here, or is excused by name. 1: one does not. 3: they cannot be had here.
"""

import argparse
import json
import os
import re
import sys
import time

import bounded
from clusters import HERE, ROOT, OsdSim, RealCeph
from suites import commands, gtest, plan, verdict

DOCUMENT = ROOT / "docs" / "ceph-clients.md"
FOREIGN = str(HERE / "foreign")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ceph-suites", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", metavar="NAME", help="only this test program; more than once: these")
    parser.add_argument("--leave-out", action="append", default=[], metavar="NAME", help="not this test program")
    parser.add_argument("--case", metavar="REGEX", default=".", help="only cases that match")
    parser.add_argument("--quick", action="store_true", help="the bounded subset: at most 6 minutes on 2 cores")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="how long a case may take, in place of the plan's limits")
    parser.add_argument("--format", choices=("plain", "json"), default="plain", help="how the verdict is printed")
    parser.add_argument("--write-docs", action="store_true", help="renew the rows of docs/ceph-clients.md")
    parser.add_argument("--record", action="store_true", help="play against a real cluster instead and record what it does")
    parser.add_argument("--log", metavar="FILE", default=os.devnull, help="the test programs' whole output")
    parser.add_argument("--osd-option", action="append", default=[], metavar="OPTION", help="a further option of osd-sim, as --osd-option=--preset=ceph")
    options = parser.parse_args()
    if options.write_docs and (options.quick or options.limit or options.case != "."):
        parser.error("--write-docs needs whole suites by the plan's limits: without --quick, --limit and --case")
    return options


def wanted(options: argparse.Namespace) -> list[plan.Suite]:
    suites = plan.suites()
    names = [suite.binary for suite in suites]
    for name in (options.suite or []) + options.leave_out:
        if name not in names:
            sys.exit(f"ceph-suites: there is no '{name}'; there are {', '.join(names)}")
    chosen = [suite for suite in suites if not options.suite or suite.binary in options.suite]
    chosen = [suite for suite in chosen if suite.binary not in options.leave_out]
    return [suite for suite in chosen if suite.quick is not None or not options.quick]


class Progress:
    """A line on the terminal that tells where the play is; on what is no terminal, a line for each suite that ended."""

    def __init__(self, suites: int):
        self._suites, self._number, self._begin = suites, 0, time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def suite(self, binary: str, cases: int) -> None:
        self._number += 1
        self._binary, self._cases, self._begun = binary, cases, 0

    def case(self, name: str) -> None:
        self._begun += 1
        if self._is_terminal:
            where = f"{self._number}/{self._suites} {self._binary} {self._begun}/{self._cases} {name}"
            print(f"\r\x1b[K{where[:110]}", end="", file=sys.stderr, flush=True)

    def ended(self, text: str) -> None:
        start = "\r\x1b[K" if self._is_terminal else ""
        print(f"{start}{time.monotonic() - self._begin:6.0f} s  {self._number}/{self._suites}  {text}", file=sys.stderr, flush=True)


def play(suite: plan.Suite, cluster, options: argparse.Namespace, progress: Progress, log) -> dict[str, gtest.Outcome]:
    command, limit = [FOREIGN, suite.binary], options.limit or suite.limit
    environment = {"CEPH_CONF": cluster.conf, "FOREIGN": FOREIGN} | suite.environment
    listed = list(suite.commands) or gtest.listed(command, environment)
    cases = [case for case in suite.selected(listed, options.quick) if re.search(options.case, case)]
    progress.suite(suite.binary, len(cases))
    if suite.commands:
        chosen = {case: suite.commands[case] for case in cases}
        return commands.play_all(chosen, limit, environment, log, progress.case, cluster.revive)
    return gtest.play_all(command, cases, limit, environment, log, progress.case, cluster.revive)


def tell(verdicts: list[verdict.Verdict], options: argparse.Namespace) -> None:
    if options.format == "json":
        print(json.dumps([found.json() for found in verdicts], indent=1))
        return
    for found in verdicts:
        for case in found.failures():
            outcome = found.here[case]
            print(f"{found.binary} {case}: {outcome.word}\n    " + outcome.said.replace("\n", "\n    "))
        for case in found.needless_excuses():
            print(f"{found.binary} {case}: passes, and need not be excused")
    print("\n" + verdict.HEAD + "\n".join(found.row() for found in verdicts))


def main() -> int:
    bounded.end_in_order_on_sigterm()
    options = parse()
    suites = wanted(options)
    record, excuses = plan.recorded(), plan.excuses()
    verdicts, progress = [], Progress(len(suites))
    with open(options.log, "ab") as log:
        for suite in suites:
            # A fresh cluster for each: what one leaves behind is not the next one's concern.
            with RealCeph() if options.record else OsdSim(*options.osd_option) as cluster:
                outcomes = play(suite, cluster, options, progress, log)
            if options.record:
                record.setdefault(suite.binary, {}).update(outcomes)
                plan.write_record(record)
            verdicts.append(verdict.Verdict(suite.binary, record.get(suite.binary, {}), outcomes, excuses))
            progress.ended(f"{suite.binary}: {verdict.counts(outcomes.values())}")
    if options.write_docs:
        order = [suite.binary for suite in plan.suites()]
        DOCUMENT.write_text(verdict.with_rows(DOCUMENT.read_text(), verdicts, order))
    tell(verdicts, options)
    return 1 if any(found.failures() for found in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
