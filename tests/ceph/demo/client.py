"""A real librbd client in a process of its own: opens an image and does what lines of JSON on its input ask, each in a thread.

A request is [number, verb, arguments...]; an answer [number, "result" or "error" or "progress", value]. It ends when its input does.
"""

import json
import os
import sys
import threading

import rados
import rbd


class Client:
    def __init__(self, name: str, image: str, options: dict[str, str]):
        self._name, self._image_name, self._options = name, image, options
        self._output = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._cluster = rados.Rados(rados_id=self._name, conffile=os.environ["CEPH_CONF"], conf=self._options)
        self._cluster.connect()
        self._image = rbd.Image(self._cluster.open_ioctx("rbd"), self._image_name)

    def say(self, number: int, kind: str, value) -> None:
        with self._output:
            print(json.dumps([number, kind, value]), flush=True)

    def gid(self, _number: int) -> int:
        return self._cluster.get_instance_id()

    def write(self, _number: int, offset: int, content: str) -> None:
        """Writes hexadecimal content; it has landed on return."""
        self._image.write(bytes.fromhex(content), offset)
        self._image.flush()

    def flatten(self, number: int) -> None:
        def report(offset: int, total: int) -> int:
            self.say(number, "progress", [offset, total])
            return 0

        self._image.flatten(on_progress=report)

    def resize(self, _number: int, size: int) -> None:
        self._image.resize(size)

    def snap_create(self, _number: int, name: str) -> None:
        self._image.create_snap(name)

    def snap_remove(self, _number: int, name: str) -> None:
        self._image.remove_snap(name)

    def is_owner(self, _number: int) -> bool:
        return self._image.is_exclusive_lock_owner()

    def reopen(self, _number: int) -> int:
        """A fenced client starts anew: a new instance. What it had open is given up, whatever it says on its way."""
        try:
            self._image.close()
            self._cluster.shutdown()
        except rbd.Error:
            pass
        self._open()
        return self._cluster.get_instance_id()

    def close(self) -> None:
        self._image.close()
        self._cluster.shutdown()

    def do(self, number: int, verb: str, *arguments) -> None:
        try:
            self.say(number, "result", getattr(self, verb)(number, *arguments))
        except Exception as error:
            self.say(number, "error", [abs(getattr(error, "errno", 0) or 0), f"{type(error).__name__}: {error}"])


def main(name: str, image: str, options: str) -> None:
    client = Client(name, image, json.loads(options))
    client.say(0, "result", None)
    threads = []
    for line in sys.stdin:
        threads.append(threading.Thread(target=client.do, args=json.loads(line)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
