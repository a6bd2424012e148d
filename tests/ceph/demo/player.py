"""Handles of real librbd processes (demo.client)."""

import json
import os
import signal
import subprocess
import sys
import threading

# No wait of a scene is longer.
BOUND_SECONDS = 90
# Room for the requests to a client that stands still: a block each.
PIPE_BYTES = 1 << 20


class Failed(Exception):
    """A request that a client answered with an error."""

    def __init__(self, errno: int, text: str):
        super().__init__(text)
        self.errno = errno


class Call:
    """A request under way."""

    def __init__(self):
        self._changed = threading.Condition()
        self._answer: tuple[str, object] | None = None
        self.progress: list[tuple[int, int]] = []

    def answered(self, kind: str, value) -> None:
        with self._changed:
            if kind == "progress":
                self.progress.append(tuple(value))
            else:
                self._answer = (kind, value)
            self._changed.notify_all()

    def is_over(self) -> bool:
        return self._answer is not None

    def result(self):
        """Waits for the end. A client that died answers nothing."""
        self._wait(lambda: self._answer is not None, "an answer")
        kind, value = self._answer
        if kind == "error":
            raise Failed(*value)
        return value

    def progress_beyond(self, offset: int) -> None:
        """Waits until the client was told of progress beyond this offset, or the call's end."""
        self._wait(lambda: self.is_over() or any(at > offset for at, _ in self.progress), f"progress beyond {offset}")

    def _wait(self, holds, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(holds, BOUND_SECONDS):
                raise TimeoutError(f"no {what} within {BOUND_SECONDS} s")


class Player:
    """One client process. `name` is its name in the timeline, `gid` its instance."""

    def __init__(self, number: int, image: str, conf: str, options: dict[str, str]):
        self.name = f"client {number}"
        command = [sys.executable, "-m", "demo.client", f"client{number}", image, json.dumps(options)]
        environment = os.environ | {"CEPH_CONF": conf}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, pipesize=PIPE_BYTES
        )
        self._calls: dict[int, Call] = {0: Call()}
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.gid = self._calls[0].result()
        except BaseException:
            self.kill()
            raise

    def _read(self) -> None:
        for line in self._process.stdout:
            number, kind, value = json.loads(line)
            self._calls[number].answered(kind, value)
        for call in list(self._calls.values()):
            if not call.is_over():
                call.answered("error", [0, "the client died"])

    def begin(self, verb: str, *arguments) -> Call:
        call, number = Call(), len(self._calls)
        self._calls[number] = call
        self._process.stdin.write(json.dumps([number, verb, *arguments]) + "\n")
        self._process.stdin.flush()
        return call

    def call(self, verb: str, *arguments):
        return self.begin(verb, *arguments).result()

    def kill(self) -> None:
        """SIGKILL; it is dead on return."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP; it stands still on return."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> int:
        """Ends in an orderly way, if it lives; its exit status, negative for a signal."""
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(BOUND_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode
