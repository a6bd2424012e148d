"""The two kinds of clusters that are played with: osd-sim, and a real Ceph. Each is a context that stops what it started."""

import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# No start and no stop takes longer.
BOUND_SECONDS = 60


class OsdSim:
    """An osd-sim with Ceph's door. `conf` is the path of the clients' configuration, `events` that of its event log."""

    NAME = "osd-sim"

    def __init__(self, *options: str):
        self._options = options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="rbd-sim-ceph-"))
        self.conf = str(self.directory / "ceph.conf")
        self.events = self.directory / "events.jsonl"
        self._said = open(self.directory / "stderr", "ab")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        command = [program("osd-sim"), "--listen", "127.0.0.1:0", "--ceph", "127.0.0.1:0", "--ceph-conf", self.conf]
        command += ["--events", str(self.events), "--until-stdin-ends", *self._options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True)
        if not select.select([self.process.stdout], [], [], BOUND_SECONDS)[0]:
            raise TimeoutError(f"osd-sim did not say that it serves within {BOUND_SECONDS} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"osd-sim ended with status {self.process.wait()} before it served: {self.last_words()}")
        self.ready = json.loads(line)

    def revive(self) -> str | None:
        """Starts it anew, empty, if it died; says so."""
        if self.process.poll() is None:
            return None
        note = f"osd-sim died with status {self.process.returncode}: {self.last_words()}"
        self.process.stdin.close()
        self.process.stdout.close()
        self._start()
        return note

    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        return (self.directory / "stderr").read_bytes()[-2000:].decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end."""
        process = getattr(self, "process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(BOUND_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()
            process.stdout.close()
        self._said.close()
        shutil.rmtree(self.directory)

    def __enter__(self) -> "OsdSim":
        return self

    def __exit__(self, *_) -> None:
        self.stop()


class RealCeph:
    """Debian's Ceph: one monitor, one OSD in memory. The same clients find it by `conf`."""

    NAME = "real cluster"

    def __init__(self):
        self._parent = pathlib.Path(tempfile.mkdtemp(prefix="rbd-sim-real-"))
        self.directory = self._parent / "cluster"
        # In a session of its own: nobody's interrupt may end it between two daemons.
        up = subprocess.Popen([HERE / "cluster", "up", self.directory], stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            said, _ = up.communicate()
            if up.returncode != 0:
                raise RuntimeError("the real cluster did not come up")
        except BaseException:
            up.wait()
            self.stop()
            raise
        self.conf = said.strip()

    def revive(self) -> str | None:
        """A real daemon that died stays dead: a case that kills it spoils the rest, and is to be left out."""
        for daemon in ("mon", "osd"):
            pid = int((self.directory / f"{daemon}.pid").read_text())
            if not pathlib.Path(f"/proc/{pid}").exists():
                return f"ceph-{daemon} died"
        return None

    def stop(self) -> None:
        subprocess.run([HERE / "cluster", "down", self.directory], check=True)
        shutil.rmtree(self._parent)

    def __enter__(self) -> "RealCeph":
        return self

    def __exit__(self, *_) -> None:
        self.stop()


def program(name: str) -> str:
    """Path of one of the project's programs; the script that started this says where they lie."""
    directory = os.environ.get("RBD_SIM_PROGRAMS", "")
    path = pathlib.Path(directory) / name
    if not path.is_file():
        raise SystemExit(f"RBD_SIM_PROGRAMS ('{directory}') must be the directory of {name}")
    return str(path)
