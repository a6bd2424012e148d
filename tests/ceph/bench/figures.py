"""What is measured of one cluster: each figure gives rows, (what, unit, value)."""

import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import time
from collections.abc import Iterator

import rados
import rbd

from clusters import OsdSim, RealCeph

MIB = 1 << 20
POOL = "rbd"
BLOCK = 4096
# Of the image that is read and written at random: full before it is measured.
IMAGE_MIB = 256
# In flight.
FEW, MANY = 1, 16
WATCHERS = (1, 8, 32)
# No command takes longer.
BOUND_SECONDS = 900
UNCACHED = {"rbd_cache": "false"}
Row = tuple[str, str, float]


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of each."""

    rounds: int
    seconds: int
    flatten_mib: int


class Cluster:
    """One that runs, and its clients."""

    def __init__(self, running: OsdSim | RealCeph, scale: Scale):
        self.running, self.scale = running, scale
        self.environment = os.environ | {"CEPH_CONF": running.conf}

    def sh(self, *command: str) -> str:
        run = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_SECONDS, env=self.environment)
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: status {run.returncode}: {run.stderr.strip()[-500:]}")
        return run.stdout

    def connect(self) -> rados.Rados:
        cluster = rados.Rados(conffile=self.running.conf, conf=UNCACHED)
        cluster.connect()
        return cluster

    def fill(self, image: str, mib: int) -> None:
        """A new image, every byte of it written."""
        self.sh("rbd", "create", "--size", f"{mib}M", image)
        total = ("--io-size", "4M", "--io-threads", str(MANY), "--io-pattern", "seq", "--io-total", f"{mib}M")
        self.sh("rbd", "bench", "--io-type", "write", "--rbd-cache=false", *total, image)

    def rbd_bench(self, kind: str, size: str, threads: int, pattern: str, image: str) -> float:
        """Calls in a second. `rbd bench` counts bytes, not seconds: a tenth of the time says how many."""
        total = 1 * MIB if size == "4K" else 16 * 4 * MIB
        for _ in range(2):
            how = ("--io-type", kind, "--io-size", size, "--io-threads", str(threads), "--io-pattern", pattern)
            told = self.sh("rbd", "bench", "--rbd-cache=false", *how, "--io-total", str(total), image)
            rate = float(re.findall(r"ops/sec: ([\d.]+)", told)[-1])
            size_bytes = BLOCK if size == "4K" else 4 * MIB
            total = max(total, int(rate * self.scale.seconds) * size_bytes)
        return rate

    def fio(self, kind: str, size: str, depth: int, image: str) -> float:
        """Calls in a second."""
        what = ("--name=one", "--ioengine=rbd", "--clientname=admin", f"--pool={POOL}", f"--rbdname={image}", f"--rw={kind}", f"--bs={size}")
        told = json.loads(self.sh("fio", *what, f"--iodepth={depth}", "--time_based", f"--runtime={self.scale.seconds}", "--output-format=json"))
        return float(told["jobs"][0]["read" if "read" in kind else "write"]["iops"])


def random_io(cluster: Cluster) -> Iterator[Row]:
    """4 KiB at random places of a full image."""
    cluster.fill("random", IMAGE_MIB)
    for kind in ("write", "read"):
        for depth in (FEW, MANY):
            yield f"4 KiB random {kind}, {depth} in flight, rbd bench", "1/s", cluster.rbd_bench(kind, "4K", depth, "rand", "random")
            yield f"4 KiB random {kind}, {depth} in flight, fio", "1/s", cluster.fio(f"rand{kind}", "4k", depth, "random")
    cluster.sh("rbd", "rm", "--no-progress", "random")


def sequential(cluster: Cluster) -> Iterator[Row]:
    """4 MiB, one after the other."""
    cluster.fill("sequential", IMAGE_MIB)
    for kind in ("write", "read"):
        yield f"4 MiB sequential {kind}, {MANY} in flight, rbd bench", "1/s", cluster.rbd_bench(kind, "4M", MANY, "seq", "sequential")
        yield f"4 MiB sequential {kind}, {MANY} in flight, fio", "1/s", cluster.fio(kind, "4m", MANY, "sequential")
    cluster.sh("rbd", "rm", "--no-progress", "sequential")


def flatten(cluster: Cluster) -> Iterator[Row]:
    """Of a clone of a full image; another one warms the memory up."""
    mib = cluster.scale.flatten_mib
    cluster.fill("parent", mib)
    cluster.sh("rbd", "snap", "create", "--no-progress", "parent@s")
    for clone in ("warm-up", "clone"):
        cluster.sh("rbd", "clone", "parent@s", clone, "--rbd-default-clone-format", "2")
        begin = time.monotonic()
        cluster.sh("rbd", "flatten", "--no-progress", clone)
        took = time.monotonic() - begin
        cluster.sh("rbd", "rm", "--no-progress", clone)
    cluster.sh("rbd", "snap", "rm", "--no-progress", "parent@s")
    cluster.sh("rbd", "rm", "--no-progress", "parent")
    yield f"flatten of {mib} MiB", "s", took


def hand_over(cluster: Cluster) -> Iterator[Row]:
    """Two clients take turns to write one block: the lock goes with each write."""
    cluster.sh("rbd", "create", "--size", "16M", "shared")
    clients = [cluster.connect() for _ in range(2)]
    images = [rbd.Image(client.open_ioctx(POOL), "shared") for client in clients]

    def turn(number: int) -> float:
        image = images[number % 2]
        begin = time.monotonic()
        image.write(bytes([number % 256]) * BLOCK, 0)
        took = time.monotonic() - begin
        if not image.is_exclusive_lock_owner():
            raise RuntimeError("a write without the lock")
        return took * 1000

    turns = [turn(number) for number in range(cluster.scale.rounds + 8)][8:]
    for image, client in zip(images, clients):
        image.close()
        client.shutdown()
    cluster.sh("rbd", "rm", "--no-progress", "shared")
    yield "hand-over of the lock, 4 KiB write", "ms", statistics.median(turns)


def notify(cluster: Cluster) -> Iterator[Row]:
    """notify2 until every watcher has acked, each a client of its own."""
    for count in WATCHERS:
        clients = [cluster.connect() for _ in range(count + 1)]
        contexts = [client.open_ioctx(POOL) for client in clients]
        contexts[0].write_full("watched", b"")
        watches = [context.watch("watched", lambda *_: None) for context in contexts[1:]]

        def once() -> float:
            begin = time.monotonic()
            if not contexts[0].notify("watched", "x"):
                raise RuntimeError("a watcher did not ack")
            return (time.monotonic() - begin) * 1000

        times = [once() for _ in range(cluster.scale.rounds + 8)][8:]
        for watch in watches:
            watch.close()
        contexts[0].remove_object("watched")
        for client in clients:
            client.shutdown()
        yield f"notify2, {count} watcher{'s' * (count > 1)}", "ms", statistics.median(times)


FIGURES = {"random": random_io, "sequential": sequential, "flatten": flatten, "hand-over": hand_over, "notify": notify}


def start_up(kind: type[OsdSim] | type[RealCeph]) -> float:
    """Milliseconds from nothing to a created image. The script that brings a real cluster up has created one when it ends."""
    begin = time.monotonic()
    with kind() as running:
        if kind is OsdSim:
            subprocess.run(["rbd", "create", "--size", "16M", "first"], check=True, timeout=BOUND_SECONDS, env=os.environ | {"CEPH_CONF": running.conf})
        return (time.monotonic() - begin) * 1000


def resident_mib(running: OsdSim | RealCeph) -> float:
    """Of all that belongs to the cluster."""
    if isinstance(running, OsdSim):
        pids = [running.process.pid]
    else:
        pids = [int((running.directory / f"{daemon}.pid").read_text()) for daemon in ("mon", "osd")]
    status = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) for text in status) / 1024
