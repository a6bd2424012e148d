"""Plays steps against the cluster of a configuration."""

import dataclasses
import os
import pathlib
import random
import signal
import subprocess
from collections.abc import Iterator

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
        # Nobody but this play's servers is to be asked.
        "CEPH_ARGS": "",
    }
    for step in steps:
        yield _turn(step, environment, directory)


def _turn(step: Step, environment: dict[str, str], directory: pathlib.Path) -> Turn:
    command = ["bash", "-c", step.code] if step.kind == SHELL else ["/usr/bin/python3", "-m", "conformance.program", step.code]
    process = subprocess.Popen(
        command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    status = None
    try:
        stdout, stderr = process.communicate(timeout=STEP_SECONDS_MAX)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
    return Turn(step, status, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
