"""Driving a running client: service rbd.v1.RbdClient."""

import json
import os
import unittest

import grpc

from errors import error_info
from programs import BOUND_SECONDS, OBJECT_BYTES, OBJECTS, ClusterTest
from rbd.v1 import client_pb2

MIB = 1 << 20


class ClientTest(ClusterTest):
    def test_bytes_go_in_and_come_out(self):
        image = self.clone()
        client, _ = self.serve(image)
        read = client.Read(client_pb2.ReadRequest(offset=5, length=OBJECT_BYTES))
        self.assertEqual(read.data, self.content[5 : 5 + OBJECT_BYTES], "the parent shows through")
        client.Write(client_pb2.WriteRequest(offset=10, data=b"hello"))
        client.Flush(client_pb2.FlushRequest())
        read = client.Read(client_pb2.ReadRequest(offset=8, length=9))
        self.assertEqual(read.data, self.content[8:10] + b"hello" + self.content[15:17])
        info = client.Info(client_pb2.InfoRequest())
        self.assertEqual((info.image, info.size), (image, OBJECTS * OBJECT_BYTES))
        self.assertEqual(info.parent.snapshot, "v1")

    def test_images_are_made_by_a_running_client(self):
        client, _ = self.serve("parent")
        content = os.urandom(3 * MIB + 5)
        # docs: images
        disk = client_pb2.ImageName(image="py-disk")
        client.CreateImage(client_pb2.CreateImageRequest(image=client_pb2.ImageName(image="py-empty"), size=MIB))

        def parts():
            whole = client_pb2.CreateImageRequest(image=disk, size=len(content))
            yield client_pb2.ImportImageRequest(image=whole)
            for at in range(0, len(content), MIB):
                yield client_pb2.ImportImageRequest(data=content[at : at + MIB])

        client.ImportImage(parts(), timeout=BOUND_SECONDS)
        # docs: end
        self.rbd_ok("snap", "create", "--no-progress", "py-disk@base")
        # docs: clone
        clone = client_pb2.ImageName(image="py-clone")
        client.CloneImage(client_pb2.CloneImageRequest(parent=disk, snapshot="base", image=clone))
        # docs: end
        made = json.loads(self.rbd_ok("--format", "json", "ls"))
        self.assertLessEqual({"py-disk", "py-empty", "py-clone"}, set(made))
        child, _ = self.serve("py-clone")
        pieces = (child.Read(client_pb2.ReadRequest(offset=at, length=MIB)).data for at in range(0, len(content), MIB))
        self.assertEqual(b"".join(pieces), content)
        self.assertEqual(child.Info(client_pb2.InfoRequest()).parent.image, "py-disk")
        with self.assertRaises(grpc.RpcError) as again:
            client.ImportImage(parts(), timeout=BOUND_SECONDS)
        self.assertEqual(error_info(again.exception).reason, "EEXIST")

    def test_flatten_reports_progress_while_it_runs(self):
        image = self.clone()
        client, _ = self.serve(image, "--rbd-concurrent-management-ops", "1")
        # docs: flatten
        seen = []
        for event in client.Flatten(client_pb2.FlattenRequest(), timeout=BOUND_SECONDS):
            match event.WhichOneof("event"):
                case "placed":
                    where = "at the lock owner" if event.placed.forwarded else "here"
                    print(f"attempt {event.placed.attempt} runs {where}")
                case "progress":
                    print(f"{event.progress.offset} of {event.progress.total}")
                case "restarted":
                    print(f"starting over: {event.restarted.reason}")
            seen.append(event)
        # docs: end
        self.assertFalse(seen[0].placed.forwarded)
        progress = [event.progress.offset for event in seen if event.HasField("progress")]
        self.assertTrue(progress, "progress was reported")
        self.assertEqual(progress, sorted(progress))
        self.assertTrue(all(event.progress.total == OBJECTS for event in seen if event.HasField("progress")))
        self.assertEqual(seen[-1].done.attempts, 1)
        self.assertFalse(client.Info(client_pb2.InfoRequest()).HasField("parent"))
        self.assertFalse(self.has_parent(image))
        read = client.Read(client_pb2.ReadRequest(offset=0, length=len(self.content)))
        self.assertEqual(read.data, self.content)

    def test_events_tell_what_the_client_does(self):
        image = self.clone()
        client, _ = self.serve(image)
        events = client.Events(client_pb2.EventsRequest(), timeout=BOUND_SECONDS)
        # The stream counts from the call on: it is there when its first headers are.
        events.initial_metadata()
        for _ in client.Flatten(client_pb2.FlattenRequest(), timeout=BOUND_SECONDS):
            pass
        seen = []
        for event in events:
            seen.append(event)
            if event.HasField("operation_ended"):
                break
        events.cancel()
        self.assertEqual([event.sequence for event in seen], list(range(1, len(seen) + 1)))
        self.assertIn("locked", [event.lock_state.state for event in seen])
        (started,) = [event.operation_started for event in seen if event.HasField("operation_started")]
        self.assertEqual((started.operation, started.remote), ("flatten", False))
        ended = seen[-1].operation_ended
        self.assertEqual((ended.operation, ended.request_id, ended.result), ("flatten", started.request_id, 0))

    def test_errors_carry_the_name_of_the_errno(self):
        image = self.clone()
        client, _ = self.serve(image)
        size = OBJECTS * OBJECT_BYTES
        # docs: catch
        try:
            client.Write(client_pb2.WriteRequest(offset=size, data=b"x"))
            self.fail("a write beyond the end is refused")
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertEqual(error_info(error).reason, "EINVAL")
            self.assertEqual(error_info(error).metadata["errno"], "22")
        # docs: end
        list(client.SnapCreate(client_pb2.SnapCreateRequest(name="s"), timeout=BOUND_SECONDS))
        with self.assertRaises(grpc.RpcError) as again:
            list(client.SnapCreate(client_pb2.SnapCreateRequest(name="s"), timeout=BOUND_SECONDS))
        self.assertEqual(error_info(again.exception).reason, "EEXIST", "also at the end of a stream")
        with self.assertRaises(grpc.RpcError) as large:
            client.Read(client_pb2.ReadRequest(offset=0, length=(1 << 20) + 1))
        self.assertEqual(error_info(large.exception).reason, "EINVAL")


if __name__ == "__main__":
    unittest.main()
