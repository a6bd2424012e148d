"""A bash that is told commands one by one: what they say is looked at, and is what docs/hazards.md shows."""

import os
import pathlib
import re
import select
import signal
import subprocess
import time

from clusters import HERE, ROOT, OsdSim, program

# No command takes longer.
BOUND_SECONDS = 40
GUIDE = ROOT / "docs" / "hazards.md"
# Ends what a command has said; its exit status follows.
END = "\x1e"
# Ceph's programs say much on stderr that belongs to their log.
QUIET = "--log_to_stderr=false --err_to_stderr=false"


class Differs(Exception):
    """What a command came to is not what it must come to."""


class Session:
    """`rbd`, `rbd-client`, `hold` and Ceph's other programs are on its path and find the server. `rbd_directory`: of another `rbd` than the
    machine's own."""

    def __init__(self, sim: OsdSim, rbd_directory: pathlib.Path | None = None):
        self.directory = sim.directory / "session"
        self.directory.mkdir()
        self.commands: list[str] = []
        self._lines: list[str] = []
        self._unread = b""
        directories = [rbd_directory, HERE / "hazards", pathlib.Path(program("rbd-client")).parent]
        path = [str(directory) for directory in directories if directory] + [os.environ["PATH"]]
        environment = os.environ | {"PATH": os.pathsep.join(path), "CEPH_CONF": sim.conf, "CEPH_ARGS": QUIET, "LC_ALL": "C"}
        environment |= {"RBD_CLIENT_OSD": sim.ready["address"], "RBD_CLIENT_PRESET": "ci", "RBD_CLIENT_NO_PROGRESS": "true", "TIMEFORMAT": "real %1R s"}
        self._bash = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env=environment,
            start_new_session=True,
        )

    def __call__(self, command: str) -> str:
        """What it says; its exit status must be 0. What is to fail is followed by `; echo $?`."""
        said, status = self._run(command)
        self._record(command, said)
        if status != 0:
            raise Differs(f"{command}: status {status}: {said}")
        return said

    def until(self, command: str, pattern: str) -> re.Match:
        """Again and again, until what it says has the pattern; only then it is part of the session."""
        ends = time.monotonic() + BOUND_SECONDS
        while True:
            said, _ = self._run(command)
            if found := re.search(pattern, said):
                self._record(command, said)
                return found
            if time.monotonic() > ends:
                raise TimeoutError(f"{command}: no '{pattern}' within {BOUND_SECONDS} s: {said}")

    def quietly(self, command: str) -> str:
        """Of no interest to who reads the session."""
        said, status = self._run(command)
        if status != 0:
            raise Differs(f"{command}: status {status}: {said}")
        return said

    def bytes(self, name: str) -> bytes:
        """Of a file in the session's folder."""
        return (self.directory / name).read_bytes()

    def transcript(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def _record(self, command: str, said: str) -> None:
        self.commands.append(command)
        self._lines += [f"$ {command}", *said.splitlines()]

    def _run(self, command: str) -> tuple[str, int]:
        self._bash.stdin.write(f"{command}\nprintf '{END}%d{END}' $?\n".encode())
        self._bash.stdin.flush()
        ends = time.monotonic() + BOUND_SECONDS
        while self._unread.count(END.encode()) < 2:
            if not select.select([self._bash.stdout], [], [], max(0, ends - time.monotonic()))[0]:
                raise TimeoutError(f"{command}: it did not end within {BOUND_SECONDS} s: {self._unread.decode()}")
            if not (more := os.read(self._bash.stdout.fileno(), 1 << 16)):
                raise Differs(f"{command}: the shell ended: {self._unread.decode()}")
            self._unread += more
        said, status, rest = self._unread.split(END.encode(), 2)
        self._unread = rest
        return _plain(said.decode()), int(status)

    def close(self) -> None:
        """With everything that it started."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        self._bash.stdin.close()
        self._bash.stdout.close()


def _plain(said: str) -> str:
    """Without what bash says about jobs that were killed, and without the path of this folder."""
    lines = [line.split("\r")[-1] for line in said.splitlines()]
    return "\n".join(line for line in lines if not re.match(r"bash: line \d+: +\d+ (Killed|Terminated)", line))


def shown(name: str) -> re.Match:
    """The block of the guide that shows the session of this name."""
    block = re.search(rf"^<!-- session: {name} -->\n```\n(?P<text>.*?)^```$", GUIDE.read_text(), re.M | re.S)
    if block is None:
        raise Differs(f"{GUIDE.name} shows no session '{name}'")
    return block


def check_the_guide(name: str, session: Session) -> None:
    """The guide shows the commands that were played; with RBD_SIM_WRITE_DOCS it is given them, and what they said."""
    block = shown(name)
    if os.environ.get("RBD_SIM_WRITE_DOCS"):
        text = GUIDE.read_text()
        GUIDE.write_text(text[: block.start("text")] + session.transcript() + text[block.end("text") :])
        return
    commands = re.findall(r"^\$ (.*)$", block["text"], re.M)
    if commands != session.commands:
        raise Differs(f"{GUIDE.name}, session '{name}': it shows {commands}, played were {session.commands}")
