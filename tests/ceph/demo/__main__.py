"""Plays five scenes of real librbd processes that race for an image's lock, and judges each by osd-sim's event log and by the bytes.

Exit status 0: everything passed. 1: something failed, or the demo could not run.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile
import time

import bounded
from clusters import OsdSim, RealCeph
from demo.timeline import Line, draw
from demo.scenes import SCENES
from demo.trial import OBJECT_BYTES, Check, Stage, Trial


def letters(text: str) -> list[str]:
    wanted = text.split(",")
    if unknown := [letter for letter in wanted if letter not in SCENES]:
        raise argparse.ArgumentTypeError(f"there is no scene '{unknown[0]}'; there are {', '.join(SCENES)}")
    return [letter for letter in SCENES if letter in wanted]


def mebibytes(text: str) -> int:
    if not text.isdigit() or not 16 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 16 to 4096")
    return int(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ceph-demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=letters, default=list(SCENES), metavar="a,b,c,d,e", help="scenes to play")
    parser.add_argument("--break", dest="breaks", type=letters, default=[], metavar="a,b,...", help="spoils the outcome of a scene: it must then print FAIL")
    parser.add_argument("--format", choices=("plain", "json"), default="plain", help="how the verdict is printed; json: with whole timelines")
    parser.add_argument("--size", type=mebibytes, default=64, metavar="MIB", help="size of the image (64)")
    parser.add_argument("--keep", action="store_true", help="keeps the working directory and says where it is")
    parser.add_argument("--real", action="store_true", help="on a real cluster in place of osd-sim: no timeline, and without the checks that need it")
    return parser.parse_args()


@dataclasses.dataclass
class Played:
    """What came of one scene."""

    scene: str
    name: str
    title: str
    passed: bool = False
    seconds: float = 0.0
    checks: list[Check] = dataclasses.field(default_factory=list)
    sha256: str = ""
    timeline: list[Line] = dataclasses.field(default_factory=list)

    def verdict(self) -> str:
        return "PASS" if self.passed else "FAIL"

    def text(self) -> str:
        checks = "".join(f"  {'ok  ' if check.passed else 'FAIL'}  {check.what}: {check.found}\n" for check in self.checks)
        end = f"  {self.verdict()}  scene {self.scene} in {self.seconds:.1f} s\n"
        return f"\nScene {self.scene}  {self.title}\n\n{draw(self.timeline)}\n{checks}{end}"

    def row(self) -> str:
        passed = sum(check.passed for check in self.checks)
        return f"  {self.scene}  {self.name:<12} {self.verdict():<7}  {f'{passed}/{len(self.checks)}':>6}  {self.seconds:>4.1f}s  {self.sha256}"


def play(stage: Stage, letter: str, breaks: bool) -> Played:
    name, title, act = SCENES[letter]
    played, begin, trial = Played(letter, name, title), time.monotonic(), None
    try:
        trial = Trial(stage, letter, breaks)
        played.checks = trial.checks
        try:
            flattened = act(trial)
        finally:
            trial.close()
        trial.judge(flattened)
        played.sha256 = trial.sha256
    except Exception as error:
        played.checks.append(Check("the scene was played to its end", False, f"{type(error).__name__}: {error}"))
    if trial:
        trial.end()
        played.timeline = trial.timeline
    played.seconds = time.monotonic() - begin
    played.passed = bool(played.checks) and all(check.passed for check in played.checks)
    return played


def main() -> int:
    bounded.end_in_order_on_sigterm()
    options = parse()
    directory, played = pathlib.Path(tempfile.mkdtemp(prefix="rbd-sim-demo-")), []
    # Shorter times than Ceph's: nobody waits half a minute for a dead owner.
    with RealCeph() if options.real else OsdSim("--preset", "ci") as cluster:
        try:
            stage = Stage(cluster.conf, None if options.real else cluster.events, directory, options.size)
            about = f"{cluster.NAME}, three librbd processes, an ext4 image of {options.size} MiB in {(options.size << 20) // OBJECT_BYTES} objects"
            if options.format == "plain":
                print(f"ceph-demo: {about}", flush=True)
            for letter in options.scene:
                played.append(play(stage, letter, letter in options.breaks))
                if options.format == "plain":
                    print(played[-1].text(), end="", flush=True)
            if options.keep:
                if not options.real:
                    shutil.copy(cluster.events, directory)
                print(f"kept: {directory}", file=sys.stderr)
        finally:
            if not options.keep:
                shutil.rmtree(directory)
    passed = bool(played) and all(scene.passed for scene in played)
    if options.format == "json":
        print(json.dumps({"stage": about, "passed": passed, "scenes": [dataclasses.asdict(scene) for scene in played]}, indent=1))
    else:
        print("\n  scene           verdict  checks   time  sha256 of the image at the end")
        print("\n".join(scene.row() for scene in played))
        print(f"\n{'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, TimeoutError) as error:
        sys.exit(f"ceph-demo: FAIL: {error}")
