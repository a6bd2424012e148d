"""A program with python3-rados: bytes, xattrs, omap, aio, watch and notify against the cluster of CEPH_CONF."""
import threading
import rados

cluster = rados.Rados(conffile="")
cluster.connect()
other = rados.Rados(conffile="")
other.connect()
ioctx, second = cluster.open_ioctx("rbd"), other.open_ioctx("rbd")

everything = bytes(range(256))
ioctx.write_full("object", everything * 16)
assert second.read("object", 4096, 0) == everything * 16
ioctx.write("object", b"middle", 100)
assert second.read("object", 8, 99) == b"c" + b"middle" + b"j", second.read("object", 8, 99)
assert ioctx.stat("object")[0] == 4096
ioctx.trunc("object", 10)
assert second.read("object") == everything[:10]

ioctx.set_xattr("object", "binary", everything)
assert second.get_xattr("object", "binary") == everything
assert dict(second.get_xattrs("object")) == {"binary": everything}

with rados.WriteOpCtx() as op:
    ioctx.set_omap(op, ("a", "b", "c"), (b"1", everything, b""))
    ioctx.operate_write_op(op, "object")
with rados.ReadOpCtx() as op:
    values, result = second.get_omap_vals(op, "", "", 2)
    second.operate_read_op(op, "object")
    assert list(values) == [("a", b"1"), ("b", everything)]

written = [ioctx.aio_write_full("aio%d" % number, b"%d" % number) for number in range(100)]
for completion in written:
    completion.wait_for_complete_and_cb()
    assert completion.get_return_value() == 0
assert {object.key for object in ioctx.list_objects()} >= {"aio%d" % number for number in range(100)}
try:
    second.read("missing")
    raise AssertionError("it is missing")
except rados.ObjectNotFound:
    pass

heard, answered = [], threading.Event()


def listen(notify_id, notifier, watch_id, data):
    heard.append((notify_id, data))


def told(_, result, acks, timeouts):
    answered.result = (result, [ack[:2] for ack in acks or []], timeouts or [])
    answered.set()


text = "any text"
watch = ioctx.watch("object", listen)
second.aio_notify("object", told, text, 10000)
assert answered.wait(30), "no answer"
result, acks, timeouts = answered.result
assert (result, timeouts) == (0, []), answered.result
assert acks == [(cluster.get_instance_id(), watch.get_id())], (acks, cluster.get_instance_id(), watch.get_id())
assert [data for _, data in heard] == [text.encode()], heard
assert watch.check() is not None
watch.close()
second.close()
ioctx.close()
other.shutdown()
cluster.shutdown()
print("done")
