"""Other programs of the field against the cluster: each case is a shell command whose exit status says whether it passed."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable

from suites.gtest import SAID_LINES_MAX, Outcome


def play_all(commands: dict[str, str], limit: float, environment: dict[str, str], log, begun: Callable[[str], None], between) -> dict[str, Outcome]:
    """Plays the commands one after the other in a directory that they share; one that takes longer than `limit` seconds is killed."""
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="rbd-sim-tools-") as directory:
        for case, command in commands.items():
            begun(case)
            outcomes[case] = _play(command, limit, environment, directory, log)
            if (note := between()) and not outcomes[case].passed():
                outcomes[case] = Outcome(outcomes[case].word, outcomes[case].seconds, f"{outcomes[case].said}\n{note}".strip())
    return outcomes


def _play(command: str, limit: float, environment: dict[str, str], directory: str, log) -> Outcome:
    begin = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        cwd=directory, env=os.environ | environment, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=limit)
        word = "OK" if process.returncode == 0 else "FAILED"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        word = "HUNG"
    log.write(said)
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return Outcome(word, time.monotonic() - begin, "" if word == "OK" else "\n".join(lines[-SAID_LINES_MAX:]))
