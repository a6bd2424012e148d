"""One of Ceph's test programs (googletest), played case by case with a limit for each."""

import dataclasses
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

LISTING_SECONDS_MAX = 120
# Between two cases the program makes and removes pools: that much longer than one case may it say nothing.
SILENCE_SECONDS_MAX = 30
# Of what a failed case said, so many lines are kept.
SAID_LINES_MAX = 12

BEGUN = re.compile(r"\[ RUN      \] (\S+)")
ENDED = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?),? .*\((\d+) ms\)")
ASSERTION = re.compile(r": Failure$")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a case: OK, FAILED, SKIPPED by itself, HUNG (killed at the limit), CRASH (the program died in it), NOTRUN."""

    word: str
    seconds: float = 0.0
    # The failed assertions, or the last lines before a case was killed or died.
    said: str = ""

    def passed(self) -> bool:
        return self.word == "OK"


class Reader:
    """Reads a test program's output line by line: which case is running, and what came of those that ended."""

    def __init__(self):
        self.outcomes: dict[str, Outcome] = {}
        self.current: str | None = None
        self._said: list[str] = []

    def line(self, text: str) -> None:
        if begun := BEGUN.search(text):
            self.current, self._said = begun[1], []
        elif (ended := ENDED.search(text)) and ended[2] == self.current:
            word, milliseconds = ended[1], int(ended[3])
            said = self._assertions() if word == "FAILED" else ""
            self.outcomes[ended[2]] = Outcome(word, milliseconds / 1000, said)
            self.current = None
        elif self.current:
            self._said.append(text)

    def cut(self, word: str, seconds: float) -> None:
        """The program was killed or died: that is what came of the running case."""
        if self.current:
            self.outcomes[self.current] = Outcome(word, seconds, "\n".join(self._said[-SAID_LINES_MAX:]))
            self.current = None

    def _assertions(self) -> str:
        first = next((at for at, text in enumerate(self._said) if ASSERTION.search(text)), len(self._said))
        return "\n".join(self._said[first : first + SAID_LINES_MAX])


def listed(command: list[str], environment: dict[str, str]) -> list[str]:
    """The cases that a test program has, as Suite.case. Some need a cluster even to tell that."""
    arguments = [*command, "--gtest_list_tests"]
    listing = subprocess.run(arguments, capture_output=True, text=True, timeout=LISTING_SECONDS_MAX, env=os.environ | environment)
    if listing.returncode != 0:
        raise RuntimeError(f"{command[-1]} --gtest_list_tests: status {listing.returncode}: {listing.stderr.strip()}")
    return list(parse_listing(listing.stdout))


def parse_listing(text: str) -> Iterator[str]:
    suite = None
    for line in text.splitlines():
        if re.match(r"[\w/]+\.(\s|$)", line):
            suite = line.split()[0]
        elif line.startswith("  ") and suite:
            yield suite + line.split()[0]


def play(
    command: list[str], cases: list[str], limit: float, environment: dict[str, str], log, begun: Callable[[str], None]
) -> dict[str, Outcome]:
    """Plays the cases in one process until it ends, dies or a case exceeds `limit` seconds; `begun` hears each case's name.

    What is missing in the result was not reached. `log` is a binary file for the whole output.
    """
    arguments = [*command, "--gtest_color=no", "--gtest_filter=" + ":".join(cases)]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | environment,
    )  # fmt: skip
    try:
        return _follow(process, limit, log, begun)
    finally:
        # The group: what the program started ends with it.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _follow(process: subprocess.Popen, limit: float, log, begun: Callable[[str], None]) -> dict[str, Outcome]:
    reader, rest = Reader(), b""
    running, since, heard = None, time.monotonic(), time.monotonic()
    while True:
        if select.select([process.stdout], [], [], 1)[0]:
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            log.write(data)
            heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                reader.line(line.decode("utf-8", "replace"))
            if reader.current and reader.current != running:
                since = heard
                begun(reader.current)
            running = reader.current
        elapsed = time.monotonic() - since
        if (reader.current and elapsed > limit) or time.monotonic() - heard > limit + SILENCE_SECONDS_MAX:
            reader.cut("HUNG", elapsed)
            return reader.outcomes
    reader.cut("CRASH", time.monotonic() - since)
    return reader.outcomes


def play_all(
    command: list[str], cases: list[str], limit: float, environment: dict[str, str], log, begun: Callable[[str], None],
    between: Callable[[], str | None] = lambda: None,
) -> dict[str, Outcome]:  # fmt: skip
    """Plays all cases, in as many processes as it takes: after a case that hung or died, the rest goes on in a new one.

    `between` is called after each process; what it says is added to what the case that was cut said.
    """
    outcomes: dict[str, Outcome] = {}
    while left := [case for case in cases if case not in outcomes]:
        played = play(command, left, limit, environment, log, begun)
        note = between()
        for case, outcome in played.items():
            if note and outcome.word in ("HUNG", "CRASH"):
                played[case] = dataclasses.replace(outcome, said=f"{outcome.said}\n{note}".strip())
        if not played:
            return outcomes | dict.fromkeys(left, Outcome("NOTRUN", said=note or "the program ended before its first case"))
        outcomes |= played
    return outcomes
