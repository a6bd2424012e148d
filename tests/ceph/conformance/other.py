"""Another client of a Python step: opens an image, or watches an object, and does what it is told by lines of JSON until its input ends."""

import json
import os
import sys
import threading

import rados
import rbd


class ImageClient:
    def __init__(self, cluster: rados.Rados, io: rados.Ioctx, name: str):
        self._cluster, self._image = cluster, rbd.Image(io, name)

    def write(self, offset: int, text: str) -> None:
        self._image.write(text.encode(), offset)
        self._image.flush()

    def try_write(self, offset: int, text: str) -> str:
        """The error's name, or "written"."""
        try:
            self.write(offset, text)
            return "written"
        except Exception as error:
            return f"{type(error).__name__} {getattr(error, 'errno', '')}"

    def read(self, offset: int, length: int) -> str:
        return self._image.read(offset, length).decode()

    def try_read(self, offset: int, length: int) -> str:
        try:
            return self.read(offset, length)
        except Exception as error:
            return f"{type(error).__name__} {getattr(error, 'errno', '')}"

    def owns(self) -> bool:
        return self._image.is_exclusive_lock_owner()

    def acquire(self) -> None:
        """Takes the lock and does not give it away when asked."""
        self._image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)

    def snaps(self) -> list[str]:
        return [snap["name"] for snap in self._image.list_snaps()]

    def size(self) -> int:
        return self._image.size()

    def has_parent(self) -> bool:
        try:
            return bool(self._image.parent_info())
        except rbd.ImageNotFound:
            return False

    def flatten(self) -> None:
        self._image.flatten()

    def fence(self) -> None:
        """Puts its own address on the blocklist."""
        address = self._cluster.get_addrs().strip("[]").split("v1:")[-1].split("v2:")[-1]
        command = {"prefix": "osd blocklist", "blocklistop": "add", "addr": address}
        status, _, said = self._cluster.mon_command(json.dumps(command), b"")
        if status != 0:
            raise RuntimeError(f"osd blocklist add {address}: {status} {said}")
        self._cluster.wait_for_latest_osdmap()

    def close(self) -> None:
        self._image.close()


class Watcher:
    def __init__(self, cluster: rados.Rados, io: rados.Ioctx, name: str):
        self._heard, self._lock = [], threading.Lock()
        self._watch = io.watch(name, self._hear, lambda *_: None)

    def _hear(self, notify_id: int, notifier: int, watch_id: int, data: bytes) -> None:
        with self._lock:
            self._heard.append(data.decode())

    def heard(self) -> list[str]:
        with self._lock:
            return list(self._heard)

    def close(self) -> None:
        self._watch.close()


def main(kind: str, name: str) -> None:
    # Without a cache an error of a write is that write's, and none is lost with what librbd throws away when it learns that it is fenced.
    cluster = rados.Rados(conffile=os.environ["CEPH_CONF"], conf={"rbd_cache": "false"})
    cluster.connect()
    client = {"image": ImageClient, "watch": Watcher}[kind](cluster, cluster.open_ioctx("rbd"), name)
    print(json.dumps({"result": None}), flush=True)
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        try:
            answer = {"result": getattr(client, verb)(*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    client.close()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
