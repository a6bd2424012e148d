"""A real librbd client in a process of its own: opens an image and does what lines of JSON on its input ask, each in a thread.

A request is [number, verb, arguments...]; an answer [number, "result" or "error" or "progress", value], of an error [errno, text]. The
answer with number 0 says that the image is open, by which instance. It ends when its input does.
"""

import contextlib
import errno
import json
import os
import sys
import threading

import rados
import rbd


class Gate:
    """Calls go through side by side; who opens the image anew waits for their end, and they for his."""

    def __init__(self):
        self._changed = threading.Condition()
        self._calls, self._is_closed = 0, False

    @contextlib.contextmanager
    def through(self):
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self):
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._is_closed = True
            self._changed.wait_for(lambda: not self._calls)
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()


class Client:
    # What opens the image anew.
    ALONE = ("reopen",)

    def __init__(self, name: str, image: str, options: dict[str, str]):
        self._name, self._image_name, self._options = name, image, options
        self._output, self._gate, self._is_open = threading.Lock(), Gate(), False
        self._connect()

    def _connect(self) -> None:
        self._cluster = rados.Rados(rados_id=self._name, conffile=os.environ["CEPH_CONF"], conf=self._options)
        self._cluster.connect()
        self._open()

    def _open(self) -> None:
        self._image = rbd.Image(self._cluster.open_ioctx("rbd"), self._image_name)
        self._is_open = True

    def say(self, number: int, kind: str, value) -> None:
        with self._output:
            print(json.dumps([number, kind, value]), flush=True)

    def gid(self) -> int:
        return self._cluster.get_instance_id()

    def read(self, _number: int, offset: int, length: int) -> str:
        """Ends early where the image does."""
        return self._image.read(offset, length).hex()

    def write(self, _number: int, offset: int, content: str) -> None:
        """Writes hexadecimal content; it has landed on return."""
        try:
            self._image.write(bytes.fromhex(content), offset)
        except rbd.IncompleteWriteError as incomplete:
            # librbd writes as far as the image goes.
            raise rbd.InvalidArgument(str(incomplete), errno=errno.EINVAL) from incomplete
        if self._options.get("rbd_cache") != "false":
            self._image.flush()

    def discard(self, _number: int, offset: int, length: int) -> None:
        self._image.discard(offset, length)

    def flush(self, _number: int) -> None:
        self._image.flush()

    def flatten(self, number: int) -> None:
        def report(offset: int, total: int) -> int:
            self.say(number, "progress", [offset, total])
            return 0

        self._image.flatten(on_progress=report)

    def resize(self, _number: int, size: int) -> None:
        self._image.resize(size)

    def snap_create(self, _number: int, name: str, flags: int = 0) -> None:
        self._image.create_snap(name, flags)
        if flags & rbd.RBD_SNAP_CREATE_SKIP_QUIESCE:
            self._must_have(name)

    def _must_have(self, name: str) -> None:
        """A snapshot for which nobody is asked to quiesce: librbd says 0 also when it could not be made (docs/hazards.md, 13)."""
        with rbd.Image(self._cluster.open_ioctx("rbd"), self._image_name, read_only=True) as image:
            if all(snap["name"] != name for snap in image.list_snaps()):
                raise OSError(errno.EIO, f"there is no snapshot {name}, and librbd said that it was made")

    def snap_remove(self, _number: int, name: str) -> None:
        self._image.remove_snap(name)

    def snap_rollback(self, _number: int, name: str) -> None:
        self._image.rollback_to_snap(name)

    def snap_protect(self, _number: int, name: str) -> None:
        self._image.protect_snap(name)

    def snap_unprotect(self, _number: int, name: str) -> None:
        self._image.unprotect_snap(name)

    def is_owner(self, _number: int) -> bool:
        return self._image.is_exclusive_lock_owner()

    def reopen(self, _number: int) -> int:
        """A fenced client starts anew: a new instance. What it had open is given up, whatever it says on its way."""
        self._is_open = False
        try:
            self._image.close()
            self._cluster.shutdown()
        except rbd.Error:
            pass
        self._connect()
        return self.gid()

    def close(self) -> None:
        self._image.close()
        self._cluster.shutdown()

    def do(self, number: int, verb: str, *arguments) -> None:
        try:
            with self._gate.alone() if verb in self.ALONE else self._gate.through():
                if not self._is_open and verb != "reopen":
                    raise OSError(errno.EBADF, "the image could not be opened again")
                result = getattr(self, verb)(number, *arguments)
            self.say(number, "result", result)
        except Exception as error:
            self.say(number, "error", [abs(getattr(error, "errno", 0) or 0), f"{type(error).__name__}: {error}"])


def main(name: str, image: str, options: str) -> None:
    client = Client(name, image, json.loads(options))
    client.say(0, "result", client.gid())
    threads = []
    for line in sys.stdin:
        threads.append(threading.Thread(target=client.do, args=json.loads(line)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
