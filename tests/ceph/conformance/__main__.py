"""Plays one script of `ceph`, `rados`, `rbd` and Python steps against an osd-sim of its own and compares it with the real cluster's transcript.

Exit status 0: each step came out alike, or its difference is listed with a reason. 1: one did not.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import bounded
from clusters import ROOT, OsdSim, RealCeph
from conformance import compare, player, report, steps, transcript

RECORD = steps.HERE / "recorded.txt"
DOCUMENT = ROOT / "docs" / "conformance.md"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", action="append", metavar="NAME", help="only this part of the script; more than once: these")
    parser.add_argument("--real", action="store_true", help="play against a real cluster, brought up on loopback, in place of osd-sim")
    parser.add_argument("--record", action="store_true", help="play against a real cluster and keep its transcript")
    parser.add_argument("--write-docs", action="store_true", help="make docs/conformance.md")
    parser.add_argument("--transcript", type=pathlib.Path, metavar="FILE", help="keep this play's transcript")
    parser.add_argument("--format", choices=("plain", "json"), default="plain", help="how the verdict is printed")
    options = parser.parse_args()
    if options.section and (options.record or options.write_docs):
        parser.error("--record and --write-docs need the whole script: without --section")
    return options


def play(options: argparse.Namespace) -> list[player.Turn]:
    script = steps.script(options.section)
    is_real = options.real or options.record
    # Ceph's constants: some steps are about its times.
    with RealCeph() if is_real else OsdSim("--preset", "ceph") as cluster, tempfile.TemporaryDirectory(prefix="rbd-sim-play-") as directory:
        turns = []
        for turn in transcript.normalised(player.play(script, cluster.conf, pathlib.Path(directory))):
            turns.append(turn)
            if sys.stderr.isatty():
                print(f"\r\x1b[K{len(turns)}/{len(script)} {turn.step.text().splitlines()[0][:90]}", end="", file=sys.stderr, flush=True)
            if note := cluster.revive():
                print(f"{turn.step.text()}: {note}", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return turns


def tell(turns: list[player.Turn], differences: list[compare.Difference], needless: list[str], seconds: float, form: str) -> None:
    failures = [difference for difference in differences if not difference.reason]
    if form == "json":
        found = [{"step": d.here.step.text(), "reason": d.reason, "difference": d.text()} for d in differences]
        print(json.dumps({"steps": len(turns), "seconds": seconds, "differences": found, "needless": needless}, indent=1))
        return
    for difference in failures:
        print(f"{difference.here.step.section}: {difference.text()}\n")
    for step in needless:
        print(f"differences.toml lists what is alike, or no step:\n{step}\n")
    alike, listed = len(turns) - len(differences), len(differences) - len(failures)
    print(f"{len(turns)} steps in {seconds:.0f} s: {alike} alike, {listed} listed differences, {len(failures)} failures")


def main() -> int:
    bounded.end_in_order_on_sigterm()
    options = parse()
    reasons, begin = compare.listed(), time.monotonic()
    turns = play(options)
    if options.transcript:
        transcript.write(options.transcript, turns)
    if options.record:
        transcript.write(RECORD, turns)
    there = transcript.read(RECORD)
    differences = compare.compare(there, turns, reasons if not options.real else {})
    needless = [] if options.real or options.record else compare.needless(there, differences, [turn.step for turn in turns], reasons)
    if options.write_docs:
        DOCUMENT.write_text(report.document(turns, differences))
    tell(turns, differences, needless, time.monotonic() - begin, options.format)
    return 1 if needless or any(not difference.reason for difference in differences) else 0


if __name__ == "__main__":
    sys.exit(main())
