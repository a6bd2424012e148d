"""A cluster, the images on it, and clients of either kind."""

import json
import os
import pathlib
import random
import subprocess

from clusters import OsdSim, program
from demo.player import BOUND_SECONDS, Player

from doors.grpc_client import GrpcClient

REAL, GRPC = "real", "grpc"
MIB = 1 << 20
SIZE = 2 * MIB
FEATURES = "layering,exclusive-lock,deep-flatten"
# So that a flatten is slow enough to be broken, and an acknowledged write is one that has landed.
LIBRBD = {"rbd_concurrent_management_ops": "1", "rbd_cache": "false", "rbd_request_timed_out_seconds": "3"}
RBD_CLIENT = ["--preset", "ci", "--rbd-concurrent-management-ops", "1"]


class Stage:
    """Clients of both doors find it. The base image has a protected snapshot, of which clones are made."""

    def __init__(self, sim: OsdSim):
        self.sim, self.osd = sim, sim.ready["address"]
        self.directory = sim.directory / "images"
        self.directory.mkdir()
        self.content = random.Random(1).randbytes(SIZE)
        self._raw = self.directory / "content"
        self._raw.write_bytes(self.content)
        self.make("base")
        self.rbd("snap", "create", "--no-progress", "base@s")
        self.rbd("snap", "protect", "base@s")

    def make(self, image: str, features: str = FEATURES, *options: str) -> None:
        """By `rbd`, with the content of the base."""
        import_it = ["import", "--no-progress", "--object-size", "8192", "--image-feature", features, *options]
        self.rbd(*import_it, str(self._raw), image)

    def clone(self, image: str) -> None:
        self.rbd("clone", "--image-feature", FEATURES, "base@s", image)

    def client(self, kind: str, number: int, image: str) -> Player | GrpcClient:
        if kind == REAL:
            return Player(number, image, self.sim.conf, LIBRBD)
        return GrpcClient(f"client {number}", image, self.osd, RBD_CLIENT)

    def run(self, kind: str, *arguments: str) -> subprocess.CompletedProcess:
        """A verb of `rbd` or of `rbd-client`."""
        command = ["rbd"] if kind == REAL else [program("rbd-client"), "--osd", self.osd, "--preset", "ci"]
        environment = os.environ | {"CEPH_CONF": self.sim.conf}
        return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=BOUND_SECONDS, env=environment)

    def must(self, kind: str, *arguments: str) -> str:
        run = self.run(kind, *arguments)
        if run.returncode != 0:
            raise RuntimeError(f"{kind} {' '.join(arguments)}: status {run.returncode}: {run.stderr.strip()[-500:]}")
        return run.stdout

    def rbd(self, *arguments: str) -> str:
        return self.must(REAL, *arguments)

    def info(self, kind: str, image: str) -> dict:
        return json.loads(self.must(kind, "--format", "json", "info", image))

    def snapshots(self, kind: str, image: str) -> set[str]:
        return {snapshot["name"] for snapshot in json.loads(self.must(kind, "--format", "json", "snap", "ls", image))}

    def children(self) -> set[str]:
        """Of the base."""
        return {child["image"] for child in json.loads(self.rbd("--format", "json", "children", "base@s"))}

    def watchers(self, image: str) -> list:
        return json.loads(self.rbd("--format", "json", "status", image))["watchers"]

    def export(self, kind: str, image: str) -> bytes:
        path = pathlib.Path(self.directory / f"{kind}-{image.replace('@', '-')}")
        self.must(kind, "export", "--no-progress", image, str(path))
        try:
            return path.read_bytes()
        finally:
            path.unlink()
