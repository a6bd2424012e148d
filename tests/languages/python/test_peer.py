"""A client in Python and the clients in Rust on one image: each keeps the rules towards the other."""

import errno
import unittest

import grpc

from errors import error_info
from osd.v1 import osd_pb2
from peer import HANDLE, Peer
from programs import BOUND_SECONDS, OBJECTS, ClusterTest
from rbd.v1 import client_pb2
from rbd.v1 import watch_notify_pb2 as wire

# Not in Python's module errno.
ERESTART = 85
ONE_ATTEMPT = client_pb2.CallLimits(attempts_max=1)


class PeerTest(ClusterTest):
    def peer(self, image: str, name: str = "peer") -> Peer:
        peer = Peer(self.osd.address, image, name)
        self.addCleanup(peer.close)
        peer.watch()
        return peer

    def owner(self, image: str) -> Peer:
        peer = self.peer(image, "owner")
        peer.lock()
        return peer

    def assert_flatten_fails(self, image: str, name: str, number: int, *options: str) -> str:
        """As a call: the errno's name. As a command: its number is the exit status. The error's words."""
        client, _ = self.serve(image, *options)
        with self.assertRaises(grpc.RpcError) as failed:
            list(client.Flatten(client_pb2.FlattenRequest(limits=ONE_ATTEMPT), timeout=BOUND_SECONDS))
        info = error_info(failed.exception)
        self.assertEqual((info.reason, info.metadata["errno"]), (name, str(number)))
        run = self.rbd(*options, "flatten", "--attempts", "1", image)
        self.assertEqual(run.returncode, number, run.stderr)
        self.assertIn(name, run.stderr)
        self.assertTrue(self.has_parent(image), "nothing was done")
        return failed.exception.details()

    def test_a_watcher_sees_a_forwarded_flatten_go_by(self):
        image = self.clone()
        owner, _ = self.serve(image, "--rbd-concurrent-management-ops", "1")
        owner.Write(client_pb2.WriteRequest(offset=0, data=b"x"))
        watcher = self.peer(image)
        requester, requester_process = self.serve(image)
        list(requester.Flatten(client_pb2.FlattenRequest(), timeout=BOUND_SECONDS))
        complete = watcher.wait_for("async_complete").async_complete
        flatten = watcher.wait_for("flatten").flatten
        self.assertEqual(flatten.request.id.gid, requester_process.ready["gid"])
        self.assertEqual((complete.id, complete.result), (flatten.request.id, 0))
        self.assertEqual(watcher.wait_for("async_progress").async_progress.total, OBJECTS)
        kinds = watcher.kinds()
        self.assertLess(kinds.index("flatten"), kinds.index("header_update"))
        self.assertLess(kinds.index("header_update"), kinds.index("async_complete"))

    def test_a_rust_owner_runs_what_a_peer_asks_for_once_however_often_it_asks(self):
        image = self.clone()
        owner, process = self.serve(image)
        owner.Write(client_pb2.WriteRequest(offset=0, data=b"x"))
        peer = self.peer(image)
        message = wire.NotifyMessage(flatten=wire.FlattenPayload(request=peer.request(1)))
        for _ in range(2):
            reply = peer.notify(message)
            (said,) = [answer for answer in reply.replies if answer.payload]
            self.assertEqual(said.gid, process.ready["gid"])
            self.assertEqual(wire.ResponseMessage.FromString(said.payload).result, 0)
            complete = peer.wait_for("async_complete").async_complete
            self.assertEqual((complete.id, complete.result), (peer.request(1).id, 0))
        self.assertFalse(self.has_parent(image))

    def test_a_rust_owner_does_not_know_the_message_of_a_newer_peer(self):
        image = self.clone()
        owner, _ = self.serve(image)
        owner.Write(client_pb2.WriteRequest(offset=0, data=b"x"))
        peer = self.peer(image)
        # Field 200 with an empty message.
        newer = wire.NotifyMessage.FromString(b"\xc2\x0c\x00")
        (said,) = [answer for answer in peer.notify(newer).replies if answer.payload]
        self.assertEqual(wire.ResponseMessage.FromString(said.payload).result, -errno.EOPNOTSUPP)

    def test_a_peer_that_owns_the_lock_runs_a_flatten(self):
        image = self.clone()
        owner = self.owner(image)
        owner.run_flattens(result=0)
        run = self.rbd("flatten", image)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(owner.wait_for("flatten").flatten.request.attempt, 1)
        self.assertTrue(self.has_parent(image), "the requester left it to the owner")
        client, _ = self.serve(image)
        events = list(client.Flatten(client_pb2.FlattenRequest(limits=ONE_ATTEMPT), timeout=BOUND_SECONDS))
        progress = [event.progress for event in events if event.HasField("progress")]
        self.assertTrue(progress)
        self.assertTrue(all(step.offset in (1, 2, 3) and step.total == 4 for step in progress))
        self.assertEqual(events[-1].done.attempts, 1)

    def test_a_caller_is_told_where_its_request_runs(self):
        image = self.clone()
        owner = self.owner(image)
        owner.answer = answer_flatten(owner.response(0))
        client, _ = self.serve(image)
        placed = []
        for event in client.Flatten(client_pb2.FlattenRequest(limits=ONE_ATTEMPT), timeout=BOUND_SECONDS):
            if event.HasField("placed"):
                placed.append((event.placed.forwarded, event.placed.owner_gid))
                owner.complete(owner.wait_for("flatten").flatten.request.id, 0)
        self.assertEqual(placed, [(True, owner.gid)])

    def test_the_error_of_the_operation_is_the_error_of_the_call(self):
        image = self.clone()
        self.owner(image).run_flattens(result=-errno.EIO)
        self.assert_flatten_fails(image, "EIO", errno.EIO)

    def test_a_refusal_is_the_error_of_the_call(self):
        image = self.clone()
        owner = self.owner(image)
        owner.answer = answer_flatten(owner.response(-errno.EROFS))
        self.assert_flatten_fails(image, "EROFS", errno.EROFS)

    def test_an_answer_that_does_not_decode_ends_the_call(self):
        image = self.clone()
        self.owner(image).answer = answer_flatten(b"\xff\xff\xff")
        self.assert_flatten_fails(image, "EBADMSG", errno.EBADMSG)

    def test_a_second_owner_ends_the_call(self):
        image = self.clone()
        owner, second = self.owner(image), self.peer(image, "second")
        for peer in (owner, second):
            peer.answer = answer_flatten(peer.response(0))
        text = self.assert_flatten_fails(image, "EIO", errno.EIO)
        for peer in (owner, second):
            self.assertIn(f"{peer.gid}", text, "both are named")

    def test_an_owner_that_does_not_say_so_is_no_owner(self):
        image = self.clone()
        self.owner(image).answer = answer_flatten(b"")
        self.assert_flatten_fails(image, "ETIMEDOUT", errno.ETIMEDOUT)

    def test_an_owner_that_never_answers_costs_the_notify_timeout(self):
        image = self.clone()
        self.owner(image).answer = answer_flatten(None)
        self.assert_flatten_fails(image, "ETIMEDOUT", errno.ETIMEDOUT, "--rbd-notify-timeout", "300ms")

    def test_an_accepted_request_without_progress_starts_over(self):
        image = self.clone()
        owner = self.owner(image)
        owner.answer = answer_flatten(owner.response(0))
        options = ("--rbd-request-timed-out-seconds", "500ms")
        self.assert_flatten_fails(image, "ERESTART", ERESTART, *options)

    def test_the_completion_may_come_before_the_acceptance(self):
        image = self.clone()
        owner = self.owner(image)

        def run(notification: osd_pb2.Notification, id: wire.AsyncRequestId) -> None:
            owner.complete(id, 0)
            owner.ack(notification, owner.response(0))

        def answer(notification: osd_pb2.Notification, message: wire.NotifyMessage) -> bytes | None:
            if message.WhichOneof("payload") != "flatten":
                return b""
            owner.later(run, notification, message.flatten.request.id)
            return None

        owner.answer = answer
        run_of_the_verb = self.rbd("flatten", "--attempts", "1", image)
        self.assertEqual(run_of_the_verb.returncode, 0, run_of_the_verb.stderr)

    def test_a_request_that_is_asked_again_keeps_its_id(self):
        image = self.clone()
        owner = self.owner(image)
        owner.run_flattens(result=0)
        accepting, ids = owner.answer, []

        def answer(notification: osd_pb2.Notification, message: wire.NotifyMessage) -> bytes:
            if message.WhichOneof("payload") == "flatten":
                ids.append((message.flatten.request.id, message.flatten.request.attempt))
                if len(ids) == 1:
                    return owner.response(-ERESTART)
            return accepting(notification, message)

        owner.answer = answer
        run = self.rbd("flatten", image)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("starting over (attempt 2)", run.stderr)
        self.assertEqual(ids[0][0], ids[1][0])
        self.assertEqual([attempt for _, attempt in ids], [1, 2])

    def test_a_peer_that_does_not_know_the_operation_is_asked_for_the_lock(self):
        image = self.clone()
        owner = self.owner(image)

        def answer(notification: osd_pb2.Notification, message: wire.NotifyMessage) -> bytes:
            match message.WhichOneof("payload"):
                case "flatten":
                    return owner.response(-errno.EOPNOTSUPP)
                case "request_lock":
                    owner.answer = lambda notification, message: b""
                    owner.later(owner.unlock)
                    return owner.response(0)
            return b""

        owner.answer = answer
        run = self.rbd("flatten", image)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("EOPNOTSUPP", run.stderr)
        self.assertFalse(self.has_parent(image), "it was run by the requester")

    def test_writes_are_refused_while_a_peer_keeps_the_lock(self):
        image = self.clone()
        owner = self.owner(image)
        owner.answer = answer_kind("request_lock", owner.response(-errno.EROFS))
        client, _ = self.serve(image)
        with self.assertRaises(grpc.RpcError) as refused:
            client.Write(client_pb2.WriteRequest(offset=0, data=b"x"), timeout=BOUND_SECONDS)
        self.assertEqual(error_info(refused.exception).reason, "EROFS")
        held = client.LockOwner(client_pb2.LockOwnerRequest()).owner
        self.assertEqual((held.gid, held.cookie, held.tag), (owner.gid, f"auto {HANDLE}", "internal"))

    def test_a_dead_peer_is_fenced_before_its_lock_is_taken(self):
        image = self.clone()
        owner = Peer(self.osd.address, image, "dead")
        owner.watch()
        owner.lock()
        owner.die()
        run = self.rbd("flatten", image)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertFalse(self.has_parent(image))
        fenced = self.osd_stub.BlocklistList(osd_pb2.BlocklistListRequest()).entries
        self.assertIn(owner.gid, [entry.gid for entry in fenced])
        late = osd_pb2.Op(write=osd_pb2.Write(data=b"late"))
        request = osd_pb2.OperateRequest(gid=owner.gid, tid=100, pool="rbd", object=owner.header, ops=[late])
        with self.assertRaises(grpc.RpcError) as refused:
            self.osd_stub.Operate(request)
        self.assertEqual(error_info(refused.exception).reason, "EBLOCKLISTED")

    def test_the_answers_of_a_notify_that_timed_out_are_there(self):
        image = self.clone()
        sender, answering, silent = (self.peer(image, name) for name in ("sender", "answering", "silent"))
        answering.answer = lambda notification, message: b"here"
        silent.answer = lambda notification, message: None
        update = wire.NotifyMessage(header_update=wire.HeaderUpdatePayload())
        reply = sender.notify(update, timeout_ms=1000)
        self.assertTrue(reply.timed_out)
        answers = {answer.gid: answer.payload for answer in reply.replies}
        self.assertEqual(answers, {sender.gid: b"", answering.gid: b"here"})
        self.assertEqual([watch.gid for watch in reply.missed], [silent.gid])


def answer_kind(kind: str, ack: bytes | None):
    """Answers messages of one kind with `ack`, all others with an empty ack."""
    return lambda notification, message: ack if message.WhichOneof("payload") == kind else b""


def answer_flatten(ack: bytes | None):
    return answer_kind("flatten", ack)


class ManualClockTest(ClusterTest):
    OSD_OPTIONS = ("--clock", "manual")

    def test_a_peer_that_does_not_know_asks_goes_on(self):
        """An OSD with a manual clock asks for pings; a client that ignores events it does not know loses nothing by that at once."""
        peer = Peer(self.osd.address, self.clone(), "peer")
        self.addCleanup(peer.close)
        peer.watch()
        self.rbd_ok("clock", "advance", "5s")
        reply = peer.notify(wire.NotifyMessage(header_update=wire.HeaderUpdatePayload()))
        self.assertEqual([answer.gid for answer in reply.replies], [peer.gid])


if __name__ == "__main__":
    unittest.main()
