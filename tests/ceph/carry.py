"""A pool can be carried over: what lies in osd-sim's objects is what lies in Ceph's.

Makes images in osd-sim with `rbd`, copies every object with its xattrs and its omap to a real cluster by librados, and asks `rbd` there
for the same images; then the other way round. Exit status 0: the same bytes, names and metadata. 1: not.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import rados

import bounded
from clusters import OsdSim, RealCeph

POOL = "rbd"
# Of one omap read.
ENTRIES = 500
IMAGE_BYTES = 12 << 20
STEP_SECONDS_MAX = 60
# What is made: images of several layouts, one that was cloned and flattened, one in the trash, metadata, a group, a namespace.
MAKE = (
    "rbd import --no-progress disk plain",
    "rbd import --no-progress --object-size 64K --stripe-unit 16K --stripe-count 4 disk striped",
    "rbd import --no-progress --image-feature layering disk bare",
    "rbd snap create --no-progress plain@s; rbd snap protect plain@s; rbd clone plain@s flat",
    "rbd bench --io-type write --io-size 4K --io-total 64K --io-threads 1 --io-pattern seq flat; rbd flatten --no-progress flat",
    "rbd snap unprotect plain@s; rbd snap rm --no-progress plain@s",
    "rbd image-meta set plain owner somebody",
    "rbd create --size 4M gone; rbd trash mv gone",
    "rbd group create set; rbd group image add set plain; rbd group image add set flat",
    "rbd namespace create rbd/yard; rbd import --no-progress disk rbd/yard/inner",
)
# What is asked on both sides; ids and timestamps are part of what is carried.
ASK = (
    "rbd ls -l",
    "for image in plain striped bare flat yard/inner; do rbd info rbd/$image; rbd export --no-progress rbd/$image - | sha256sum; done",
    "rbd du --format json",
    "rbd object-map check --no-progress plain; rbd object-map check --no-progress flat",
    "rbd image-meta list plain",
    "rbd trash ls",
    "rbd group image ls set",
    "rbd namespace ls",
)


def sh(conf: str, directory: pathlib.Path, command: str) -> str:
    """A command that must succeed; its output."""
    run = bounded.run(
        ["bash", "-euo", "pipefail", "-c", command], STEP_SECONDS_MAX, os.environ | {"CEPH_CONF": conf}, directory, stderr=subprocess.STDOUT
    )
    if run.status != 0:
        raise RuntimeError(f"{command}: status {run.status}: {run.stdout.decode('utf-8', 'replace')}")
    return run.stdout.decode()


class Pool:
    """A cluster's pool, all its namespaces, by librados."""

    def __init__(self, conf: str):
        self._cluster = rados.Rados(conffile=conf)
        self._cluster.connect()
        self._io = self._cluster.open_ioctx(POOL)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_) -> None:
        self._io.close()
        self._cluster.shutdown()

    def names(self) -> list[tuple[str, str]]:
        """Namespace and name of each object."""
        self._io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
        return sorted((found.nspace, found.key) for found in self._io.list_objects())

    def read(self, namespace: str, name: str) -> tuple[bytes, dict[str, bytes], dict[str, bytes]]:
        """Data, xattrs and omap."""
        self._io.set_namespace(namespace)
        data = self._io.read(name, self._io.stat(name)[0] or 1)
        omap: dict[str, bytes] = {}
        while True:
            with rados.ReadOpCtx() as op:
                entries, _ = self._io.get_omap_vals(op, max(omap, default=""), "", ENTRIES)
                self._io.operate_read_op(op, name)
                # An empty value is told as None.
                page = {key: value or b"" for key, value in entries}
            omap |= page
            if len(page) < ENTRIES:
                return data, dict(self._io.get_xattrs(name)), omap

    def write(self, namespace: str, name: str, data: bytes, xattrs: dict[str, bytes], omap: dict[str, bytes]) -> None:
        self._io.set_namespace(namespace)
        self._io.write_full(name, data)
        for key, value in xattrs.items():
            self._io.set_xattr(name, key, value)
        if omap:
            with rados.WriteOpCtx() as op:
                self._io.set_omap(op, tuple(omap), tuple(omap.values()))
                self._io.operate_write_op(op, name)

    def clear(self) -> None:
        for namespace, name in self.names():
            self._io.set_namespace(namespace)
            self._io.remove_object(name)


def carry(source: str, target: str, breaks: bool) -> int:
    """Empties the target's pool and copies every object of the source's; how many there were. With `breaks` a byte of one is changed."""
    with Pool(source) as here, Pool(target) as there:
        there.clear()
        names = here.names()
        for name in names:
            data, xattrs, omap = here.read(*name)
            if breaks and name[1].startswith("rbd_data."):
                data, breaks = bytes([data[0] ^ 1]) + data[1:], False
            there.write(*name, data, xattrs, omap)
        if there.names() != names:
            raise RuntimeError("the target does not list what was written")
        return len(names)


def trip(source, target, directory: pathlib.Path, breaks: bool) -> bool:
    """Makes images on one side and finds them on the other; the source's pool is left as it is."""
    for command in MAKE:
        sh(source.conf, directory, command)
    count = carry(source.conf, target.conf, breaks)
    alike = True
    for command in ASK:
        here, there = sh(source.conf, directory, command), sh(target.conf, directory, command)
        if here != there:
            alike = False
            print(f"{command}\n  {source.NAME}:\n{here}\n  {target.NAME}:\n{there}")
    print(f"{source.NAME} -> {target.NAME}: {count} objects, {'the same images' if alike else 'NOT the same images'}", flush=True)
    return alike


def main() -> int:
    bounded.end_in_order_on_sigterm()
    parser = argparse.ArgumentParser(prog="ceph-carry", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--break", dest="breaks", action="store_true", help="changes a byte on the way: the exit status must then be 1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rbd-sim-carry-") as name:
        directory = pathlib.Path(name)
        content = bytearray(random.Random(5).randbytes(IMAGE_BYTES))
        content[4 << 20 : 8 << 20] = bytes(4 << 20)
        (directory / "disk").write_bytes(content)
        with RealCeph() as real:
            with OsdSim() as simulated:
                there = trip(simulated, real, directory, options.breaks)
            with Pool(real.conf) as pool:
                pool.clear()
            with OsdSim() as simulated:
                back = trip(real, simulated, directory, options.breaks)
    return 0 if there and back else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, rados.Error) as error:
        sys.exit(f"ceph-carry: FAIL: {error}")
