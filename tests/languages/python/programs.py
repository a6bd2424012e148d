"""The programs under test as processes. What is started here is stopped here, by its process id."""

import json
import os
import pathlib
import select
import subprocess
import tempfile
import unittest

import grpc

from osd.v1 import osd_pb2_grpc
from rbd.v1 import client_pb2_grpc

# No wait is longer than this; what takes that long has failed.
BOUND_SECONDS = 60
OBJECT_BYTES = 64 * 1024
OBJECTS = 16


def program(name: str) -> str:
    """Path of a program; the runner says where they lie."""
    return str(pathlib.Path(os.environ["RBD_SIM_PROGRAMS"]) / name)


class Server:
    """A program that prints one line of JSON when it serves."""

    def __init__(self, name: str, *arguments: str):
        self.process = subprocess.Popen([program(name), *arguments], stdout=subprocess.PIPE, text=True)
        try:
            self.ready = self._ready(name)
            self.address = self.ready["address"]
        except BaseException:
            self.stop()
            raise

    def _ready(self, name: str) -> dict:
        if not select.select([self.process.stdout], [], [], BOUND_SECONDS)[0]:
            raise TimeoutError(f"{name} did not say that it serves within {BOUND_SECONDS} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} ended with status {self.process.wait(BOUND_SECONDS)} before it served")
        return json.loads(line)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end."""
        self.process.terminate()
        try:
            self.process.wait(BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class ClusterTest(unittest.TestCase):
    """Tests that share one OSD and one parent image; each has an image of its own."""

    OSD_OPTIONS: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls) -> None:
        directory = tempfile.TemporaryDirectory(prefix="rbd-sim-")
        cls.addClassCleanup(directory.cleanup)
        cls.osd = Server("osd-sim", "--listen", "127.0.0.1:0", *cls.OSD_OPTIONS)
        cls.addClassCleanup(cls.osd.stop)
        channel = grpc.insecure_channel(cls.osd.address)
        cls.addClassCleanup(channel.close)
        cls.osd_stub = osd_pb2_grpc.OsdStub(channel)
        cls.content = os.urandom(OBJECTS * OBJECT_BYTES)
        disk = pathlib.Path(directory.name) / "disk.raw"
        disk.write_bytes(cls.content)
        cls.rbd_ok("import", "--no-progress", "--object-size", str(OBJECT_BYTES), str(disk), "parent")
        cls.rbd_ok("snap", "create", "--no-progress", "parent@v1")
        cls.rbd_ok("snap", "protect", "parent@v1")

    @classmethod
    def rbd(cls, *arguments: str) -> subprocess.CompletedProcess:
        """One verb of rbd-client, run to its end."""
        command = [program("rbd-client"), "--osd", cls.osd.address, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=BOUND_SECONDS)

    @classmethod
    def rbd_ok(cls, *arguments: str) -> str:
        """One verb that must succeed; its output."""
        run = cls.rbd(*arguments)
        if run.returncode != 0:
            raise AssertionError(f"rbd-client {' '.join(arguments)}: status {run.returncode}: {run.stderr}")
        return run.stdout

    def clone(self) -> str:
        """A clone of the parent that is named after the test."""
        image = self.id().rsplit(".", 1)[-1]
        self.rbd_ok("clone", "parent@v1", image)
        return image

    def has_parent(self, image: str) -> bool:
        return "parent" in json.loads(self.rbd_ok("--format", "json", "info", image))

    def serve(self, image: str, *options: str) -> tuple[client_pb2_grpc.RbdClientStub, Server]:
        """A running client of the image, and its process."""
        server = Server("rbd-client", "--osd", self.osd.address, *options, "serve", image, "--listen", "127.0.0.1:0")
        self.addCleanup(server.stop)
        channel = grpc.insecure_channel(server.address)
        self.addCleanup(channel.close)
        return client_pb2_grpc.RbdClientStub(channel), server
