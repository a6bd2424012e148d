"""What the tests of all hazards are made of."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from clusters import HERE, OsdSim
from doors.grpc_client import GrpcClient

from hazards.session import Session, check_the_guide

# What rbd-client maintains.
FEATURES = "layering,exclusive-lock,deep-flatten"
# Exit statuses, which are errnos.
ENOENT, EEXIST, EROFS, EBLOCKLISTED = 2, 17, 30, 108
# 4 KiB at the start of an image.
WRITE = "bench --io-type write --io-size 4K --io-total 4K --io-threads 1 --io-pattern seq"
# `rbd` of 18.2.7, which lies in a tree of its own, in the caller's folder.
OTHER_RBD = f"""#!/usr/bin/env bash
exec {HERE}/foreign bash -c 'cd "$0" && exec /usr/bin/rbd "$@"' "$PWD" "$@"
"""


def other_rbd(case: unittest.TestCase) -> pathlib.Path | None:
    """The folder of the other `rbd`; `None` where it cannot be had. It is unpacked with the first use."""
    if not os.environ.get("RBD_SIM_LONG"):
        return None
    unpacked = subprocess.run([HERE / "foreign", "true"], stdin=subprocess.DEVNULL)
    if unpacked.returncode == 3:
        return None
    unpacked.check_returncode()
    directory = pathlib.Path(case.enterClassContext(tempfile.TemporaryDirectory(prefix="rbd-sim-rbd-")))
    (directory / "rbd").write_text(OTHER_RBD)
    (directory / "rbd").chmod(0o755)
    return directory


class Hazard(unittest.TestCase):
    """Each hazard is played with the machine's `rbd`; with RBD_SIM_LONG by that of 18.2.7 too. `hold` is always the machine's."""

    @classmethod
    def setUpClass(cls):
        directory = other_rbd(cls)
        cls._directories = [None] + ([directory] if directory else [])

    def play(self, story, shown_as: str | None = None) -> None:
        """`story` is told a session and the first number of the version of `rbd`. The guide shows the session of the machine's own."""
        for directory in self._directories:
            with self.subTest(rbd=directory and "18.2.7"), contextlib.ExitStack() as self.running:
                self.sim = self.running.enter_context(OsdSim("--preset", "ci", "--enable-faults"))
                session = Session(self.sim, directory)
                self.running.callback(session.close)
                version = re.search(r"ceph version (\d+)", session.quietly("rbd --version"))[1]
                story(session, int(version))
                if shown_as and directory is None:
                    check_the_guide(shown_as, session)

    def grpc_client(self, number: int, image: str, *options: str) -> GrpcClient:
        """`rbd-client serve`, ended with the play."""
        client = GrpcClient(f"client {number}", image, self.sim.ready["address"], ["--preset", "ci", *options])
        self.running.callback(client.close)
        return client

    def image(self, session: Session, image: str, *options: str) -> None:
        """16 MiB of random bytes, in 4 objects; they stay in file `raw`."""
        session("head -c 16M /dev/urandom > raw")
        session(" ".join(["rbd import --no-progress", *options, "raw", image]))

    def parent_and_clone(self, session: Session, *options: str) -> None:
        """p@s and its clone c."""
        self.image(session, "p")
        session("rbd snap create --no-progress p@s")
        session(" ".join(["rbd clone", *options, "p@s c"]))

    def own(self, session: Session, image: str, *options: str) -> None:
        """A librbd that has the lock of the image and keeps it."""
        session(" ".join(["hold --id own --write", image, *options, "& OWN=$!"]))
        session.until(f"rbd lock ls {image}", " auto ")

    def assert_equal_bytes(self, one: bytes, other: bytes, what: str) -> None:
        self.assertTrue(one == other, what)

    @staticmethod
    def seconds(said: str) -> float:
        """What `time` said."""
        return float(re.search(r"real (\S+) s", said)[1])
