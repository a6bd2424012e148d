"""Plays steps against the cluster of a configuration."""

import dataclasses
import pathlib
import random
from collections.abc import Iterator

import bounded
from conformance.steps import HERE, SHELL, Step

# No step may take longer: the longest wait for a watch to expire twice.
STEP_SECONDS_MAX = 150
DATA_BYTES = 20 << 20


@dataclasses.dataclass(frozen=True)
class Turn:
    """A step and what came of it, as it was said; status None: it did not end in time and was killed."""

    step: Step
    status: int | None
    stdout: str
    stderr: str


def write_data(directory: pathlib.Path) -> None:
    """The file `data`, the same in every play: random bytes with a hole of an object in the middle."""
    content = bytearray(random.Random(9).randbytes(DATA_BYTES))
    content[8 << 20 : 12 << 20] = bytes(4 << 20)
    (directory / "data").write_bytes(content)


def play(steps: list[Step], conf: str, directory: pathlib.Path) -> Iterator[Turn]:
    """Plays the steps one after the other in the directory, each a process of its own."""
    write_data(directory)
    environment = {
        "PATH": f"{HERE / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(HERE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CEPH_CONF": conf,
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        # A client's log is written by a thread of its own, in the middle of what the client says: it is no part of the play.
        "CEPH_ARGS": "--err-to-stderr=false --log-to-stderr=false",
    }
    for step in steps:
        yield _turn(step, environment, directory)


def _turn(step: Step, environment: dict[str, str], directory: pathlib.Path) -> Turn:
    command = ["bash", "-c", step.code] if step.kind == SHELL else ["/usr/bin/python3", "-m", "conformance.program", step.code]
    run = bounded.run(command, STEP_SECONDS_MAX, environment, directory)
    return Turn(step, run.status, run.stdout.decode("utf-8", "replace"), run.stderr.decode("utf-8", "replace"))
