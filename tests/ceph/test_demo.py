"""The demo's own rules: what librbd's notifies say, how the log is told and drawn, what counts as the same bytes."""

import json
import pathlib
import tempfile
import unittest

from demo import ext4, story, timeline
from demo.ext4 import BLOCK_BYTES, Ext4
from demo.trial import Model, content

HEADER = "rbd_header.1"
# As 16.2.15 sends them: gid 0x1005, handle 9, request 3.
REQUESTER = "0510000000000000" "0900000000000000" "0300000000000000"
ACQUIRED = "070114000000" "00000000" "0510000000000000" "70610114da7f0000"
REQUEST_LOCK = "070115000000" "02000000" "0510000000000000" "70610114da7f0000" "00"
PROGRESS = "07012c000000" "04000000" + REQUESTER + "0100000000000000" "0a00000000000000"
COMPLETE = "070120000000" "05000000" + REQUESTER + "abffffff"
FLATTEN = "07011c000000" "06000000" + REQUESTER
ACK = "010104000000" "00000000"


def notify(time_ms: int, gid: int, payload: str, number: int = 1) -> dict:
    return {"kind": "notify", "time_ms": time_ms, "gid": gid, "object": HEADER, "notify_id": number, "payload_hex": payload, "sequence": time_ms}


class StoryTest(unittest.TestCase):
    def story(self, *events: dict) -> story.Story:
        directory = tempfile.TemporaryDirectory(prefix="rbd-sim-")
        self.addCleanup(directory.cleanup)
        log = pathlib.Path(directory.name) / "events.jsonl"
        log.write_text('{"kind":"before"}\n')
        found = story.Story(log, HEADER)
        with log.open("a") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)
            # The line that is being written.
            file.write('{"kind":"not')
        found.read()
        return found

    def test_notifies_are_decoded_as_librbd_encodes_them(self):
        def said(payload):
            return story.said(bytes.fromhex(payload))

        self.assertEqual(said(ACQUIRED), story.Said("AcquiredLock"))
        self.assertEqual(said(REQUEST_LOCK), story.Said("RequestLock"))
        self.assertEqual(said(PROGRESS), story.Said("AsyncProgress", 0x1005, 3, progress=(1, 10)))
        self.assertEqual(said(COMPLETE), story.Said("AsyncComplete", 0x1005, 3, result=-85))
        self.assertEqual(said(FLATTEN), story.Said("FlattenPayload", 0x1005, 3))
        self.assertIsNone(said(""))
        self.assertIsNone(said("070104000000" "ff000000"))
        self.assertEqual(story.answered(bytes.fromhex(ACK)), 0)
        self.assertIsNone(story.answered(b""))

    def test_questions_are_answered_from_the_events_of_the_header_alone(self):
        other = notify(1, 7, FLATTEN) | {"object": "rbd_header.2"}
        lock = {"kind": "lock", "gid": 7, "object": HEADER, "time_ms": 3, "sequence": 3}
        ack = {"kind": "ack", "gid": 8, "object": HEADER, "notify_id": 5, "payload_hex": ACK, "time_ms": 2, "sequence": 2}
        empty = ack | {"gid": 9, "payload_hex": ""}
        found = self.story(other, notify(1, 7, FLATTEN, 5), ack, empty, lock, notify(4, 8, COMPLETE))
        self.assertEqual(len(found.events), 6)
        self.assertEqual([event["gid"] for _, event in found.messages("FlattenPayload")], [7])
        self.assertEqual(found.answers(5), [(8, 0)])
        self.assertEqual((found.owners(), found.completions(0x1005), found.completions(7)), ([7], [-85], []))
        self.assertEqual(found.first("lock", 7), lock)
        self.assertIsNone(found.first("lock", 8))

    def test_swarms_are_counted_between_other_lines(self):
        data = {"kind": "applied", "gid": 7, "object": "rbd_data.1.0", "time_ms": 104, "sequence": 1}
        ack = {"kind": "ack", "gid": 7, "object": HEADER, "notify_id": 3, "payload_hex": ACK, "time_ms": 121, "sequence": 1}
        gone = {"kind": "blocklisted", "gid": 7, "time_ms": 140, "sequence": 1}
        events = [notify(100, 7, PROGRESS), data, data, notify(110, 7, PROGRESS), notify(120, 8, REQUEST_LOCK, 3), ack, gone]
        told = timeline.Teller(self.story(*events, gone | {"gid": 99}), {7: "client 1", 8: "client 2", 0x1005: "client 3"}).lines()
        expected = [
            timeline.Line(0, "client 1", "client 3", "AsyncProgress x 2, up to 1/10"),
            timeline.Line(4, "client 1", "osd", "op vectors on data objects x 2"),
            timeline.Line(20, "client 2", "all", "RequestLock"),
            timeline.Line(21, "client 1", "client 2", "ack RequestLock: 0"),
            timeline.Line(40, "client 1", "", "is blocklisted"),
        ]
        self.assertEqual(told, expected)

    def test_no_drawn_line_is_wider_and_no_drawing_longer_than_promised(self):
        drawn = timeline.draw([timeline.Line(1500, "client 1", "all", "x" * 300)] * 100).splitlines()
        self.assertEqual(len(drawn), timeline.LINES_SHOWN_MAX + 1)
        self.assertLessEqual(max(map(len, drawn)), timeline.WIDTH)
        self.assertEqual(drawn[timeline.LINES_SHOWN_MAX // 2].split()[:4], ["...", "54", "lines", "more,"])
        self.assertTrue(drawn[0].startswith("     1.500  client 1  -> all       xxx"), drawn[0])


class ModelTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="rbd-sim-")
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "image"
        path.write_bytes(bytes(8 * BLOCK_BYTES))
        self.model = Model(Ext4(path, [2, 5]))
        self.found = bytearray(8 * BLOCK_BYTES)

    def put(self, index: int, block: bytes) -> None:
        offset = self.model.offset(index)
        self.found[offset : offset + BLOCK_BYTES] = block

    def test_acknowledged_writes_must_be_there_and_nothing_else(self):
        self.assertIsNone(self.model.difference(self.found))
        self.model.acknowledged(1, 3, 0)
        self.assertIn(f"block at {5 * BLOCK_BYTES}", self.model.difference(self.found))
        self.put(1, content(1, 3, 0))
        self.assertIsNone(self.model.difference(self.found))
        self.found[0] ^= 1
        self.assertIn("block at 0", self.model.difference(self.found))
        self.assertIn("bytes, not", self.model.difference(self.found[:-1]))

    def test_a_write_in_flight_may_be_there_or_not_but_no_other(self):
        self.model.acknowledged(0, 1, 0)
        self.model.maybe(0, 2, 0)
        for writer in (1, 2):
            self.put(0, content(0, writer, 0))
            self.assertIsNone(self.model.difference(self.found))
        self.put(0, content(0, 3, 0))
        self.assertIsNotNone(self.model.difference(self.found))

    def test_blocks_of_a_file_are_read_from_debugfs_table(self):
        table = "Level Entries       Logical          Physical Length Flags\n 0/ 0   1/  2     0 -     2   10 -    12      3\n 0/ 0   2/  2     3 -     3   20 -    20      1\n"
        self.assertEqual(list(ext4.physical_blocks(table)), [10, 11, 12, 20])
        with self.assertRaises(RuntimeError):
            list(ext4.physical_blocks(table.replace("      3\n", "      4\n")))


if __name__ == "__main__":
    unittest.main()
