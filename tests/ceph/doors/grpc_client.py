"""Handles of rbd-client processes, as demo.player's of real librbd ones."""

import json
import os
import select
import signal
import subprocess
import threading

import grpc
from clusters import program
from demo.player import BOUND_SECONDS, Call

from doors.protobuf import fields, message

# Fields of OperationEvent.
PROGRESS, DONE = 1, 3


class GrpcClient:
    """One `rbd-client serve`. `name` is its name in the OSD's log, `gid` its instance."""

    def __init__(self, name: str, image: str, osd: str, options: list[str]):
        command = [program("rbd-client"), "--osd", osd, "--name", name, *options, "serve", image, "--until-stdin-ends"]
        self.name = name
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if not select.select([self._process.stdout], [], [], BOUND_SECONDS)[0]:
                raise TimeoutError(f"rbd-client did not serve within {BOUND_SECONDS} s")
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"rbd-client ended before it served: {self._process.stderr.read()}")
            ready = json.loads(line)
            self.gid = ready["gid"]
            self._channel = grpc.insecure_channel(ready["address"])
        except BaseException:
            self.kill()
            raise

    def begin(self, verb: str, *arguments) -> Call:
        call = Call()
        threading.Thread(target=self._do, args=(call, verb, *arguments), daemon=True).start()
        return call

    def call(self, verb: str, *arguments):
        return self.begin(verb, *arguments).result()

    def _do(self, call: Call, verb: str, *arguments) -> None:
        try:
            call.answered("result", getattr(self, f"_{verb}")(call, *arguments))
        except grpc.RpcError as error:
            call.answered("error", [_errno(error), f"{error.code()}: {error.details()}"])
        except Exception as error:
            call.answered("error", [0, f"{type(error).__name__}: {error}"])

    def _ask(self, method: str, request: bytes) -> bytes:
        asked = self._channel.unary_unary(f"/rbd.v1.RbdClient/{method}")
        return asked(request, timeout=BOUND_SECONDS, wait_for_ready=True)

    def _operate(self, call: Call, method: str, request: bytes) -> None:
        asked = self._channel.unary_stream(f"/rbd.v1.RbdClient/{method}")
        for event in asked(request, timeout=BOUND_SECONDS, wait_for_ready=True):
            event = fields(event)
            if PROGRESS in event:
                progress = fields(event[PROGRESS])
                call.answered("progress", [progress.get(1, 0), progress.get(2, 0)])

    def _write(self, _call: Call, offset: int, content: str) -> None:
        self._ask("Write", message(_1=offset, _2=bytes.fromhex(content)))

    def _flatten(self, call: Call) -> None:
        self._operate(call, "Flatten", b"")

    def _resize(self, call: Call, size: int) -> None:
        self._operate(call, "Resize", message(_2=size, _3=True))

    def _snap_create(self, call: Call, name: str) -> None:
        self._operate(call, "SnapCreate", message(_2=name))

    def _snap_remove(self, call: Call, name: str) -> None:
        self._operate(call, "SnapRemove", message(_2=name))

    def _is_owner(self, _call: Call) -> bool:
        owner = fields(self._ask("LockOwner", b"")).get(1)
        return owner is not None and bool(fields(owner).get(5))

    def _reopen(self, _call: Call) -> int:
        """A fenced client starts anew: a new instance."""
        self._ask("Reopen", b"")
        self.gid = fields(self._ask("Info", b""))[9]
        return self.gid

    def kill(self) -> None:
        """SIGKILL; it is dead on return."""
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def freeze(self) -> None:
        """SIGSTOP; it stands still on return."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> int:
        """Ends in an orderly way, if it lives; its exit status, negative for a signal."""
        if self._process.poll() is None:
            # It waits for those who are connected.
            self._channel.close()
            self._process.stdin.close()
            try:
                self._process.wait(BOUND_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close_pipes()
        return self._process.returncode

    def _close_pipes(self) -> None:
        if hasattr(self, "_channel"):
            self._channel.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()


def _errno(error: grpc.RpcError) -> int:
    """Of the google.rpc.ErrorInfo among the details; 0 without one."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            head, _, tail = value.partition(b"errno\x12")
            if head and tail:
                return int(tail[1 : 1 + tail[0]])
    return 0

