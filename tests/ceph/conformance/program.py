"""Runs one Python step: what it may use is in `names`. An error ends it with the errno as status, and a line that names the error."""

import atexit
import hashlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import time

import rados
import rbd

# Waiting for another client of the step; longer than a watch takes to expire.
BOUND_SECONDS = 100


class Other:
    """A client in a process of its own (conformance.other), which does what it is told, by method: other.write(0, "x")."""

    def __init__(self, *arguments: str):
        command = [sys.executable, "-m", "conformance.other", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self._end)
        self._answer()

    def __getattr__(self, verb: str):
        def tell(*arguments):
            self.process.stdin.write(json.dumps([verb, *arguments]) + "\n")
            self.process.stdin.flush()
            return self._answer()

        return tell

    def _answer(self):
        if not select.select([self.process.stdout], [], [], BOUND_SECONDS)[0]:
            raise TimeoutError("another client does not answer")
        answer = json.loads(self.process.stdout.readline() or '{"error": "another client died"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def kill(self) -> None:
        """SIGKILL; it is dead on return."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP; it stands still on return."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _end(self) -> None:
        """It closes what it has open; one that cannot is killed."""
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


def sh(*commands: str) -> None:
    """Runs shell commands; prints what they say, and the status of one that fails."""
    for command in commands:
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=BOUND_SECONDS)
        print(run.stdout, end="")
        if run.returncode != 0:
            print(f"{command}: status {run.returncode}: {run.stderr}", end="")


def attempt(action):
    """Does it; prints the error if there is one."""
    try:
        return action()
    except Exception as error:
        print(told(error))


def between(least: float, most: float, action) -> None:
    """Does it; prints whether it took so many seconds."""
    begin = time.monotonic()
    action()
    took = time.monotonic() - begin
    print(f"took {least} to {most} s" if least <= took <= most else f"took {took:.1f} s, not {least} to {most} s")


def until(seconds: float, holds) -> None:
    """Waits until the condition holds, so long at most."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)


def watchers(name: str) -> list[str]:
    run = subprocess.run(["rados", "-p", "rbd", "listwatchers", name], capture_output=True, text=True, timeout=BOUND_SECONDS)
    return run.stdout.splitlines()


def told(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__name__}: {error}"


def main(code: str) -> int:
    cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
    cluster.connect()
    with open("data", "rb") as file:
        data = file.read()
    names = {
        "rados": rados, "rbd": rbd, "queue": queue, "hashlib": hashlib, "cluster": cluster, "io": cluster.open_ioctx("rbd"),
        "r": rbd.RBD(), "data": data, "sh": sh, "attempt": attempt, "between": between, "until": until, "watchers": watchers,
        "client": lambda image: Other("image", image), "watcher": lambda name: Other("watch", name),
    }  # fmt: skip
    try:
        exec(compile(code, "step", "exec"), names)
    except Exception as error:
        print(told(error), file=sys.stderr)
        return min(abs(getattr(error, "errno", None) or 1), 125)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.exit(status)
