"""Other programs of the field against the cluster: each case is a shell command whose exit status says whether it passed."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable

import bounded
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
    run = bounded.run(["bash", "-euo", "pipefail", "-c", command], limit, os.environ | environment, directory, stderr=subprocess.STDOUT)
    word = {0: "OK", None: "HUNG"}.get(run.status, "FAILED")
    log.write(run.stdout)
    lines = run.stdout.decode("utf-8", "replace").strip().splitlines()
    return Outcome(word, time.monotonic() - begin, "" if word == "OK" else "\n".join(lines[-SAID_LINES_MAX:]))
