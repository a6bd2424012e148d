"""A process with a limit: what it starts ends with it, whatever ends the wait."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys


@dataclasses.dataclass(frozen=True)
class Run:
    """What came of it; status None: it did not end in time and was killed."""

    status: int | None
    stdout: bytes
    stderr: bytes


def run(command: list[str], seconds: float, environment: dict[str, str], directory: str | pathlib.Path, stderr: int = subprocess.PIPE) -> Run:
    """Runs the command in a process group of its own, which is killed after so many seconds, and when the caller is interrupted."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=environment, cwd=directory, start_new_session=True
    )
    try:
        said, errors = process.communicate(timeout=seconds)
        return Run(process.returncode, said, errors or b"")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, errors = process.communicate()
        return Run(None, said, errors or b"")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def end_in_order_on_sigterm() -> None:
    """SIGTERM ends this program like an error: what it started is stopped on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
