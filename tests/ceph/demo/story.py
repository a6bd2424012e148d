"""osd-sim's event log, seen from one image: what its clients said to each other, in words, and who owned its lock."""

import dataclasses
import errno
import json
import pathlib
import struct
import time

# librbd's notify messages by number; each begins with what it is about, see _concerns.
NAMES = (
    "AcquiredLock", "ReleasedLock", "RequestLock", "HeaderUpdate", "AsyncProgress", "AsyncComplete", "FlattenPayload", "ResizePayload",
    "SnapCreatePayload", "SnapRemovePayload", "RebuildObjectMapPayload", "SnapRenamePayload", "SnapProtectPayload", "SnapUnprotectPayload",
    "RenamePayload", "UpdateFeaturesPayload", "MigratePayload", "SparsifyPayload", "Quiesce", "Unquiesce", "MetadataUpdatePayload",
)  # fmt: skip
# The struct's version, its compat version and its length come first.
HEADER_BYTES = 6
# From the kill of a program to the last line of the log that tells of it.
CATCH_UP_SECONDS_MAX = 10


@dataclasses.dataclass(frozen=True)
class Said:
    """One notify on the header object; `concerns` is the instance that asked for the operation, 0 for none."""

    name: str
    concerns: int = 0
    request: int = 0
    progress: tuple[int, int] | None = None
    result: int | None = None


def said(payload: bytes) -> Said | None:
    """Decodes a NotifyMessage (versions 6 and 7); None when it is none that is known here."""
    if len(payload) < HEADER_BYTES + 4:
        return None
    (number,) = struct.unpack_from("<I", payload, HEADER_BYTES)
    if number >= len(NAMES):
        return None
    name, body = NAMES[number], payload[HEADER_BYTES + 4 :]
    if name not in ("AsyncProgress", "AsyncComplete", "FlattenPayload"):
        return Said(name)
    gid, _handle, request = struct.unpack_from("<QQQ", body)
    if name == "AsyncProgress":
        return Said(name, gid, request, progress=struct.unpack_from("<QQ", body, 24))
    if name == "AsyncComplete":
        return Said(name, gid, request, result=struct.unpack_from("<i", body, 24)[0])
    return Said(name, gid, request)


def answered(payload: bytes) -> int | None:
    """The result in a lock owner's ack; None for the empty acks of everybody else."""
    if len(payload) < HEADER_BYTES + 4:
        return None
    return struct.unpack_from("<i", payload, HEADER_BYTES)[0]


def result_words(result: int) -> str:
    """As "0", or "ERESTART (-85)"."""
    return f"{errno.errorcode.get(-result, 'error')} ({result})" if result else "0"


class Story:
    """The events of one header object since the story's begin; each is a dict as in the log."""

    def __init__(self, log: pathlib.Path, header: str):
        self._log, self.header = log, header
        self._begin = len(self._lines())
        self.events: list[dict] = []

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def read(self, holds=lambda: True) -> None:
        """Reads what was written until now; waits a moment for the log to be so far that the condition holds."""
        end = time.monotonic() + CATCH_UP_SECONDS_MAX
        while True:
            self.events = [json.loads(line) for line in self._lines()[self._begin :] if line.endswith("}")]
            if holds() or time.monotonic() > end:
                return
            time.sleep(0.05)

    def of_kind(self, kind: str) -> list[dict]:
        return [event for event in self.events if event["kind"] == kind and event.get("object", "") == self.header]

    def first(self, kind: str, gid: int) -> dict | None:
        """The first event of this kind about this instance, on the header object or on none."""
        wanted = ("", self.header)
        found = (e for e in self.events if e["kind"] == kind and e.get("gid") == gid and e.get("object", "") in wanted)
        return next(found, None)

    def messages(self, name: str) -> list[tuple[Said, dict]]:
        told = ((said(payload(event)), event) for event in self.of_kind("notify"))
        return [(message, event) for message, event in told if message and message.name == name]

    def answers(self, notify_id: int) -> list[tuple[int, int]]:
        """Lock owners' acks to this notify: who, result."""
        acks = [event for event in self.of_kind("ack") if event.get("notify_id") == notify_id]
        return [(event["gid"], result) for event in acks if (result := answered(payload(event))) is not None]

    def owners(self) -> list[int]:
        """Who took the lock, in order."""
        return [event["gid"] for event in self.of_kind("lock")]

    def completions(self, requester: int) -> list[int]:
        return [message.result for message, _ in self.messages("AsyncComplete") if message.concerns == requester]


def payload(event: dict) -> bytes:
    return bytes.fromhex(event.get("payload_hex", ""))
