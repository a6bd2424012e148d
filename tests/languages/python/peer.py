"""A client of one image that speaks osd.v1 itself: it watches the header object, takes the lock, and answers requests."""

import concurrent.futures
import queue
import threading
from collections.abc import Callable

import grpc

from cls.lock.v1 import lock_pb2
from cls.rbd.v1 import rbd_pb2
from osd.v1 import osd_pb2, osd_pb2_grpc
from rbd.v1 import watch_notify_pb2 as wire

POOL = "rbd"
BOUND_SECONDS = 60
# The watch's handle: chosen by the client, never reused in its session.
HANDLE = 1
# Answers a message: bytes are the ack, None leaves the notification without one for now.
Answer = Callable[[osd_pb2.Notification, wire.NotifyMessage], bytes | None]


class Peer:
    def __init__(self, address: str, image: str, name: str):
        self._channel = grpc.insecure_channel(address)
        # docs: connect
        self.stub = osd_pb2_grpc.OsdStub(self._channel)
        self.session = self.stub.Connect(osd_pb2.ConnectRequest(name=name))
        self.gid = self.session.gid
        # docs: end
        self._tid = 0
        self._call = None
        self._outbox: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._later = concurrent.futures.ThreadPoolExecutor(1)
        self._changed = threading.Condition()
        self._seen: list[wire.NotifyMessage] = []
        self.answer: Answer = lambda notification, message: b""
        output = self.execute(f"rbd_id.{image}", "rbd", "get_id")
        self.header = "rbd_header." + rbd_pb2.ImageId.FromString(output).id

    # docs: execute
    def execute(self, name: str, object_class: str, method: str, message=None) -> bytes:
        """Runs a class method on an object. `class` is a keyword of Python, so the field is passed in a dictionary."""
        call = osd_pb2.Exec(**{"class": object_class}, method=method)
        if message is not None:
            call.input = message.SerializeToString()
        self._tid += 1
        request = osd_pb2.OperateRequest(
            gid=self.gid, tid=self._tid, pool=POOL, object=name, ops=[osd_pb2.Op(exec=call)]
        )
        return self.stub.Operate(request).results[0].exec.output

    # docs: end

    # docs: watch
    def watch(self) -> None:
        """Registers a watch on the header object. Every notify must be acked soon: its sender waits for it."""
        self._call = self.stub.Watch(self._requests())
        self._outbox.put(osd_pb2.WatchRequest(hello=osd_pb2.Hello(gid=self.gid)))
        register = osd_pb2.Register(pool=POOL, object=self.header, cookie=HANDLE)
        self._outbox.put(osd_pb2.WatchRequest(register=register))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        for _ in ("hello", "register"):
            result = self._results.get(timeout=BOUND_SECONDS)
            if result.HasField("error"):
                raise OSError(result.error.text)

    def _requests(self):
        """What is sent: whatever is in the outbox, and a ping when there was nothing for a sixth of the watch's timeout."""
        idle_seconds = self.session.osd_client_watch_timeout_ms / 6000
        while True:
            try:
                request = self._outbox.get(timeout=idle_seconds)
            except queue.Empty:
                request = osd_pb2.WatchRequest(ping=osd_pb2.Ping())
            if request is None:
                return
            yield request

    def _read(self) -> None:
        try:
            for event in self._call:
                if event.HasField("result"):
                    self._results.put(event.result)
                elif event.HasField("notify"):
                    self._notified(event.notify)
        except grpc.RpcError:
            pass  # The stream was cancelled by close() or die().

    def _notified(self, notification: osd_pb2.Notification) -> None:
        message = wire.NotifyMessage.FromString(notification.payload)
        payload = self.answer(notification, message)
        if payload is not None:
            self.ack(notification, payload)
        with self._changed:
            self._seen.append(message)
            self._changed.notify_all()

    def ack(self, notification: osd_pb2.Notification, payload: bytes) -> None:
        ack = osd_pb2.NotifyAck(
            pool=POOL, object=self.header, notify_id=notification.notify_id, cookie=HANDLE, payload=payload
        )
        self._outbox.put(osd_pb2.WatchRequest(ack=ack))

    # docs: end

    def wait_for(self, kind: str, test=lambda message: True) -> wire.NotifyMessage:
        """The first message of this kind that passes the test, whether it came already or will come."""

        def found():
            return next((m for m in self._seen if m.WhichOneof("payload") == kind and test(m)), None)

        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None, BOUND_SECONDS):
                raise TimeoutError(f"no {kind} within {BOUND_SECONDS} s; seen: {self.kinds()}")
            return found()

    def kinds(self) -> list[str]:
        """Kinds of all messages until now, in their order."""
        return [message.WhichOneof("payload") for message in list(self._seen)]

    # docs: notify
    def notify(self, message: wire.NotifyMessage, timeout_ms: int = 5000) -> osd_pb2.NotifyReply:
        """Tells all clients of the image, this one included. Never call it from the thread that acks: it waits for the ack."""
        request = osd_pb2.NotifyRequest(
            gid=self.gid,
            pool=POOL,
            object=self.header,
            payload=message.SerializeToString(),
            timeout_ms=timeout_ms,
        )
        return self.stub.Notify(request)

    def later(self, action: Callable, *arguments) -> None:
        """Runs the action beside the thread that acks."""
        self._later.submit(action, *arguments)

    # docs: end

    # docs: lock
    def lock(self) -> None:
        """Takes the image's exclusive lock and announces it."""
        lock = lock_pb2.Lock(
            name="rbd_lock", type=lock_pb2.LOCK_TYPE_EXCLUSIVE, cookie=f"auto {HANDLE}", tag="internal"
        )
        self.execute(self.header, "lock", "lock", lock)
        acquired = wire.AcquiredLockPayload(client_id=self.client_id())
        self.notify(wire.NotifyMessage(acquired_lock=acquired))

    def unlock(self) -> None:
        """Gives the lock back and announces it."""
        unlock = lock_pb2.Unlock(name="rbd_lock", cookie=f"auto {HANDLE}")
        self.execute(self.header, "lock", "unlock", unlock)
        released = wire.ReleasedLockPayload(client_id=self.client_id())
        self.notify(wire.NotifyMessage(released_lock=released))

    def client_id(self) -> wire.ClientId:
        return wire.ClientId(gid=self.gid, handle=HANDLE)

    # docs: end

    # docs: response
    def response(self, result: int) -> bytes:
        """A lock owner's ack. Without `responder` a result of 0 would be no bytes at all, and those say "not the owner"."""
        return wire.ResponseMessage(result=result, responder=self.client_id()).SerializeToString()

    # docs: end

    # docs: owner
    def run_flattens(self, result: int, steps: int = 4) -> None:
        """Accepts every request to flatten, reports progress, and ends it with 0 or a negative errno."""

        def run(id: wire.AsyncRequestId) -> None:
            for step in range(1, steps):
                progress = wire.AsyncProgressPayload(id=id, offset=step, total=steps)
                self.notify(wire.NotifyMessage(async_progress=progress))
            self.complete(id, result)

        def answer(notification: osd_pb2.Notification, message: wire.NotifyMessage) -> bytes:
            if message.WhichOneof("payload") != "flatten":
                return b""
            self.later(run, message.flatten.request.id)
            return self.response(0)

        self.answer = answer

    def complete(self, id: wire.AsyncRequestId, result: int) -> None:
        complete = wire.AsyncCompletePayload(id=id, result=result)
        self.notify(wire.NotifyMessage(async_complete=complete))

    # docs: end

    def request(self, number: int) -> wire.RequestHeader:
        """The header of this peer's request `number`; the same number is the same request."""
        id = wire.AsyncRequestId(gid=self.gid, open_number=1, request_number=number)
        return wire.RequestHeader(id=id, handle=HANDLE, attempt=1, low_water_mark=1)

    def close(self) -> None:
        """Ends the session: the watch is removed."""
        self._later.shutdown()
        self.stub.Disconnect(osd_pb2.DisconnectRequest(gid=self.gid))
        self.die()

    def die(self) -> None:
        """Goes away as a killed process does: the session and the watch stay until they expire."""
        if self._call is not None:
            self._call.cancel()
            self._outbox.put(None)
            self._reader.join(BOUND_SECONDS)
        self._channel.close()
