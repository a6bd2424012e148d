"""A scene under way: who plays, what the image must hold, and what was found until now."""

import dataclasses
import hashlib
import json
import os
import pathlib
import random
import subprocess

from demo import ext4
from demo.ext4 import BLOCK_BYTES, Ext4
from demo.player import BOUND_SECONDS, Player
from demo.story import Story
from demo.timeline import Line, Teller

OBJECT_BYTES = 64 << 10
# So that a flatten is slow enough to be interrupted, that an acknowledged write is one that has landed, and that who waits for an answer
# asks again within the scene.
OPTIONS = {"rbd_concurrent_management_ops": "1", "rbd_cache": "false", "rbd_request_timed_out_seconds": "3"}
NO_FENCING = {"rbd_blocklist_on_break_lock": "false"}


@dataclasses.dataclass(frozen=True)
class Check:
    """A statement, and what was found."""

    what: str
    passed: bool
    found: str


class Stage:
    """What all scenes share: a cluster with the imported file system. `events` is the OSD's log; None where there is none."""

    BASE = "base"

    def __init__(self, conf: str, events: pathlib.Path | None, directory: pathlib.Path, mib: int):
        self.conf, self.events, self.directory = conf, events, directory
        self.ext4 = ext4.make(directory, mib)
        self.rbd("import", "--no-progress", "--object-size", str(OBJECT_BYTES), str(self.ext4.path), self.BASE)

    def run(self, *command: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"CEPH_CONF": self.conf}
        return subprocess.run(command, capture_output=True, text=True, timeout=BOUND_SECONDS, env=environment)

    def rbd(self, *arguments: str) -> str:
        """A verb of `rbd` that must succeed; its output."""
        run = self.run("rbd", *arguments)
        if run.returncode != 0:
            raise RuntimeError(f"rbd {' '.join(arguments)}: status {run.returncode}: {run.stderr.strip()}")
        return run.stdout


class Trial:
    """Three clients on a fresh clone of the base. Client numbers begin at 1."""

    def __init__(self, stage: Stage, letter: str, breaks: bool):
        self.stage, self.image, self.snapshot = stage, f"clone-{letter}", f"{stage.BASE}@snap-{letter}"
        self.checks: list[Check] = []
        self.timeline: list[Line] = []
        self.sha256 = ""
        # Scene e is spoiled by its fencing instead.
        self._spoils_bytes = breaks and letter != "e"
        stage.rbd("snap", "create", "--no-progress", self.snapshot)
        stage.rbd("snap", "protect", self.snapshot)
        # Without an object map: 16.2.15 trusts one that was written before the object, and a flatten after a crash then leaves a hole.
        stage.rbd("clone", "--image-feature", "layering,exclusive-lock,deep-flatten", self.snapshot, self.image)
        self.model = Model(stage.ext4)
        header = "rbd_header." + json.loads(stage.rbd("info", "--format", "json", self.image))["id"]
        self.story = Story(stage.events, header) if stage.events else None
        self.header = header
        options = OPTIONS | (NO_FENCING if breaks and letter == "e" else {})
        self.players: list[Player] = []
        for number in (1, 2, 3):
            self.players.append(Player(number, self.image, stage.conf, options))
        self.names = {player.gid: player.name for player in self.players}

    def client(self, number: int) -> Player:
        return self.players[number - 1]

    def gid(self, number: int) -> int:
        return self.players[number - 1].gid

    def named(self, gids: list[int]) -> str:
        return ", ".join(self.names.get(gid, f"gid {gid}") for gid in gids)

    def check(self, what: str, passed: bool, found: str) -> None:
        self.checks.append(Check(what, bool(passed), found))

    def write(self, number: int, index: int, version: int = 0) -> None:
        """A write that must be acknowledged."""
        self.begin_write(number, index, version).result()
        self.model.acknowledged(index, number, version)

    def begin_write(self, number: int, index: int, version: int = 0):
        return self.client(number).begin("write", self.model.offset(index), content(index, number, version).hex())

    def close(self) -> list[int]:
        """Ends all clients; their exit statuses."""
        return [player.close() for player in self.players]

    def judge(self, flattened: bool) -> None:
        """Clients that lived ended in order; then what they left behind, the bytes, and the parent."""
        watchers = self.stage.run("rados", "-p", "rbd", "listwatchers", self.header).stdout.splitlines()
        lockers = json.loads(self.stage.rbd("lock", "ls", "--format", "json", self.image))
        found = f"{len(watchers)} watches, {len(lockers)} locks"
        self.check("clients that closed leave nothing behind", not watchers and not lockers, found)
        self._judge_bytes()
        if flattened:
            self._judge_detached()
        else:
            children = json.loads(self.stage.rbd("children", "--format", "json", self.snapshot))
            self.check("the parent snapshot is still needed", len(children) == 1, f"{len(children)} children of the parent")

    def _judge_bytes(self) -> None:
        path = self.stage.directory / "exported"
        self.stage.rbd("export", "--no-progress", self.image, str(path))
        exported = bytearray(path.read_bytes())
        if self._spoils_bytes:
            exported[self.model.offset(0) + 1] ^= 0xFF
        difference = self.model.difference(exported)
        found = difference or f"{len(exported)} bytes, blocks written in the scene: {self.model.written()}"
        self.check("the exported image equals the model byte for byte", not difference, found)
        self.sha256 = hashlib.sha256(exported).hexdigest()
        status, last = ext4.check(path)
        self.check("e2fsck -fn is clean", status == 0, f"exit status {status}: {last}")
        path.unlink()

    def _judge_detached(self) -> None:
        has_parent = "parent" in json.loads(self.stage.rbd("info", "--format", "json", self.image))
        children = json.loads(self.stage.rbd("children", "--format", "json", self.snapshot))
        found = f"child has a parent: {has_parent}, children of the parent: {len(children)}"
        self.check("the parent is gone from both ends", not has_parent and not children, found)
        statuses = [self.stage.run("rbd", "snap", *verb, self.snapshot).returncode for verb in (("unprotect",), ("rm", "--no-progress"))]
        self.check("the parent snapshot can be unprotected and removed", statuses == [0, 0], f"exit status {statuses}")

    def end(self) -> None:
        """The story, as far as the log tells it."""
        if self.story:
            self.story.read()
            if self.story.events:
                self.timeline = Teller(self.story, self.names).lines()


class Model:
    """What the image must hold. Blocks are named by their index among those that may be overwritten."""

    def __init__(self, source: Ext4):
        self._bytes = bytearray(source.path.read_bytes())
        self._blocks = source.reserved
        self._written: set[int] = set()
        # Writes that may have landed or not, by offset.
        self._maybe: dict[int, bytes] = {}

    def offset(self, index: int) -> int:
        return self._blocks[index] * BLOCK_BYTES

    def count(self) -> int:
        return len(self._blocks)

    def written(self) -> int:
        return len(self._written)

    def acknowledged(self, index: int, writer: int, version: int) -> None:
        offset = self.offset(index)
        self._bytes[offset : offset + BLOCK_BYTES] = content(index, writer, version)
        self._written.add(index)
        self._maybe.pop(offset, None)

    def maybe(self, index: int, writer: int, version: int) -> None:
        """It was in flight when its writer was stopped: it may have landed, or not."""
        self._maybe[self.offset(index)] = content(index, writer, version)

    def difference(self, found: bytes) -> str | None:
        """Where the bytes differ from the model, in words."""
        if len(found) != len(self._bytes):
            return f"{len(found)} bytes, not {len(self._bytes)}"
        for offset in range(0, len(found), BLOCK_BYTES):
            block = found[offset : offset + BLOCK_BYTES]
            if block != self._bytes[offset : offset + BLOCK_BYTES] and block != self._maybe.get(offset):
                return f"the block at {offset} differs"
        return None


def content(index: int, writer: int, version: int) -> bytes:
    """A block that says which write it is of; no other write's is the same."""
    return random.Random(f"{index} {writer} {version}").randbytes(BLOCK_BYTES)
