"""The table: owner x requester x operation x fault, on a clone and on an image of its own. Each row is played on an image of its own, and what
it came to is looked at by clients of both kinds."""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator

from demo.player import Call, Failed

from doors.stage import GRPC, MIB, REAL, SIZE, Stage

OPERATIONS = ("flatten", "resize", "snap_create", "snap_remove")
# The last four: the lock is taken from the owner by a command of that kind; a third client of that kind writes, and is given it.
FAULTS = ("none", "owner killed", "owner frozen", "requester killed", f"broken by {REAL}", f"broken by {GRPC}")
FAULTS += (f"handed to {REAL}", f"handed to {GRPC}")
ARGUMENTS = {"flatten": (), "resize": (SIZE + MIB,), "snap_create": ("new",), "snap_remove": ("old",)}
BLOCK = 4096
FENCED = 108


@dataclasses.dataclass(frozen=True)
class Row:
    owner: str
    requester: str
    operation: str
    fault: str
    is_clone: bool

    def __str__(self) -> str:
        image = "a clone" if self.is_clone else "an image"
        return f"{self.operation} of {image}, owner {self.owner}, requester {self.requester}, {self.fault}"

    @property
    def does_it_itself(self) -> bool:
        """librbd removes a snapshot itself, without the lock, unless the image has fast-diff or journaling."""
        return self.requester == REAL and self.operation == "snap_remove"

    @property
    def image(self) -> str:
        return f"{self.owner}-{self.requester}-{self.operation}-{self.fault}-{self.is_clone}".replace(" ", "-")


def rows() -> Iterator[Row]:
    """All of them, both kinds of clients or one. Nothing but a clone is flattened."""
    for row in itertools.starmap(Row, itertools.product((REAL, GRPC), (REAL, GRPC), OPERATIONS, FAULTS, (True, False))):
        if row.is_clone or row.operation != "flatten":
            yield row


def few() -> Iterator[Row]:
    """Those across the doors, with every operation and every fault: on clones, and what is slow for a flatten alone."""
    for row in rows():
        is_across = row.owner != row.requester
        is_slow = row.fault == "owner frozen" or row.fault.startswith("handed")
        if is_across and (row.is_clone or row.fault == "none") and (row.operation == "flatten" or not is_slow):
            yield row


class Differs(Exception):
    """What a row came to is not what it must come to."""


def play(stage: Stage, row: Row) -> None:
    """Raises Differs, or what went wrong."""
    image = row.image
    (stage.clone if row.is_clone else stage.make)(image)
    stage.rbd("snap", "create", "--no-progress", f"{image}@old")
    clients = []
    try:
        owner = stage.client(row.owner, 1, image)
        clients.append(owner)
        requester = stage.client(row.requester, 2, image)
        clients.append(requester)
        Playing(stage, row, owner, requester).play()
    finally:
        for client in clients:
            client.wake()
            client.close()


class Playing:
    """One row. The content that the image must have is that of the base, with the blocks that were written."""

    def __init__(self, stage: Stage, row: Row, owner, requester):
        self.stage, self.row, self.owner, self.requester = stage, row, owner, requester
        self.written: dict[int, str] = {}

    def play(self) -> None:
        row = self.row
        self._write(self.owner, 0, "a1")
        self._expect(self.owner.call("is_owner"), True, "the owner has the lock")
        # What is quick is broken before it begins; a flatten, in the middle.
        is_broken_first = row.operation != "flatten" and row.fault != "requester killed"
        if is_broken_first:
            self._strike()
        call = self.requester.begin(row.operation, *ARGUMENTS[row.operation])
        if not is_broken_first:
            if row.operation == "flatten" and row.fault != "none":
                call.progress_beyond(5)
            self._strike()
        self._await(call)
        self._look_at_the_old_owner()
        self._hand_over()
        for client in (self.owner, self.requester):
            client.wake()
            client.close()
        self._look_at_what_it_came_to()

    def _strike(self) -> None:
        fault = self.row.fault
        if fault == "owner killed":
            self.owner.kill()
        elif fault == "owner frozen":
            self.owner.freeze()
        elif fault == "requester killed":
            self.requester.kill()
        elif fault.startswith("handed"):
            third = self.stage.client(fault.removeprefix("handed to "), 3, self.row.image)
            try:
                self._write(third, 5, "c3")
            finally:
                third.close()
        elif fault == f"broken by {REAL}":
            lock = json.loads(self.stage.rbd("--format", "json", "lock", "ls", self.row.image))[0]
            self.stage.rbd("lock", "rm", self.row.image, lock["id"], lock["locker"])
        elif fault == f"broken by {GRPC}":
            self.stage.must(GRPC, "lock", "break", "--force", self.row.image)

    def _await(self, call: Call) -> None:
        if self.row.fault != "requester killed":
            return call.result()
        # Whoever asks for it then: it is done, or refused because it was.
        heir = self.stage.client(self.row.requester, 3, self.row.image)
        try:
            heir.call(self.row.operation, *ARGUMENTS[self.row.operation])
        except Failed as failed:
            done = {"flatten": os.strerror(22), "snap_create": os.strerror(17), "snap_remove": os.strerror(2)}
            if failed.errno not in (22, 17, 2) or self.row.operation not in done:
                raise
        finally:
            heir.close()

    def _look_at_the_old_owner(self) -> None:
        """Whoever lost the lock is fenced: what it still wants to write never lands."""
        if self.row.fault == "owner frozen" and self.row.does_it_itself:
            # Nobody wanted its lock.
            self.owner.wake()
            self._write(self.owner, 8, "ee")
        elif self.row.fault == "owner frozen" or self.row.fault.startswith("broken"):
            self.owner.wake()
            try:
                self.owner.call("write", 8 * BLOCK, "ee" * BLOCK)
            except Failed as failed:
                return self._expect(failed.errno, FENCED, "the old owner's errno")
            raise Differs("the old owner wrote after its lock was broken")

    def _hand_over(self) -> None:
        """The lock goes to whoever writes, and back."""
        alive = [self.owner] if self.row.fault == "requester killed" else [self.requester]
        alive += [self.owner, self.requester] if self.row.fault == "none" else []
        for turn, client in enumerate(alive, start=1):
            self._write(client, turn, f"b{turn}")
            self._expect(client.call("is_owner"), True, "whoever wrote has the lock")

    def _write(self, client, block: int, byte: str) -> None:
        client.call("write", block * BLOCK, byte * BLOCK)
        self.written[block] = byte

    def _look_at_what_it_came_to(self) -> None:
        row, stage, image = self.row, self.stage, self.row.image
        size = SIZE + MIB if row.operation == "resize" else SIZE
        names = {"old"} | ({"new"} if row.operation == "snap_create" else set())
        names -= {"old"} if row.operation == "snap_remove" else set()
        has_parent = row.is_clone and row.operation != "flatten"
        content = bytearray(stage.content.ljust(size, b"\0"))
        for block, byte in self.written.items():
            content[block * BLOCK : (block + 1) * BLOCK] = bytes.fromhex(byte) * BLOCK
        for kind in (REAL, GRPC):
            info = stage.info(kind, image)
            self._expect((info["size"], "parent" in info), (size, has_parent), f"size and parent, by {kind}")
            self._expect(stage.snapshots(kind, image), names, f"snapshots, by {kind}")
            self._expect(stage.export(kind, image) == bytes(content), True, f"the bytes, by {kind}")
            if "old" in names:
                self._expect(stage.export(kind, f"{image}@old") == stage.content, True, f"the bytes of the snapshot, by {kind}")
        self._expect(image in stage.children(), has_parent, "among the parent's children")
        self._expect(stage.watchers(image), [], "who still watches")

    def _expect(self, found, wanted, what: str) -> None:
        if found != wanted:
            raise Differs(f"{what}: {found}, not {wanted}")
