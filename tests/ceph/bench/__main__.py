"""Measures the same unmodified client (rbd, fio, python3-rbd, python3-rados) against osd-sim and against Ceph's memory store, in one run.

Read ratios: on a machine that is busy with something else both are worse. Exit status 1: something failed, or a limit is not kept.
"""

import argparse
import os
import subprocess
import sys

import bounded
from clusters import OsdSim, RealCeph

from bench import figures, report

# An idle osd-sim with Ceph's door open.
MEMORY_MIB_MAX = 12
ENDS = ("start-up", "memory")


def measure(chosen: list[str], scale: figures.Scale, told) -> list[report.Row]:
    """Both clusters run side by side; one is measured while the other does nothing."""
    rows = []

    def add(*fields) -> None:
        rows.append(report.Row(*fields))
        told(rows[-1])

    with OsdSim() as simulated, RealCeph() as real:
        here, there = figures.Cluster(simulated, scale), figures.Cluster(real, scale)
        if "memory" in chosen:
            limit = (MEMORY_MIB_MAX, "an idle osd-sim with Ceph's door open")
            add("idle memory", "MiB", figures.resident_mib(simulated), figures.resident_mib(real), *limit)
        for name in chosen:
            if name in ENDS:
                continue
            for (what, unit, value), (_, _, ceph) in zip(figures.FIGURES[name](here), figures.FIGURES[name](there), strict=True):
                add(what, unit, value, ceph)
    if "start-up" in chosen:
        add("nothing to image created, by rbd", "ms", figures.start_up(OsdSim), figures.start_up(RealCeph))
    return rows


def main() -> int:
    bounded.end_in_order_on_sigterm()
    names = [*figures.FIGURES, *ENDS]
    parser = argparse.ArgumentParser(prog="scripts/bench --ceph=wire", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"what to measure: {', '.join(names)}; everything unless named")
    parser.add_argument("--rounds", type=int, default=400, help="calls of each latency (400)")
    parser.add_argument("--seconds", type=int, default=5, help="for which each rate is measured (5)")
    parser.add_argument("--flatten-mib", type=int, default=1024, help="size of the image that is flattened (1024)")
    parser.add_argument("--format", choices=("plain", "json"), default="plain")
    options = parser.parse_args()
    unknown = [name for name in options.figures if name not in names]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(names)}")
    for name in ("rounds", "seconds", "flatten_mib"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: a number above 0")
    scale = figures.Scale(options.rounds, options.seconds, options.flatten_mib)
    is_plain = options.format == "plain"
    if is_plain:
        print(report.head(), flush=True)
    rows = measure(options.figures or names, scale, (lambda row: print(report.line(row), flush=True)) if is_plain else lambda _: None)
    version = subprocess.run(["ceph-osd", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    if not is_plain:
        print(report.document(f"{version}, memory store, {os.cpu_count()} cores, the same client", rows))
    over = [row.what for row in rows if row.is_over]
    for what in over:
        print(f"bench: {what}: beyond its limit", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
