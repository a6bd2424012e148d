"""What a stock gRPC client gets without special settings: errors, large objects, reflection."""

import os
import unittest

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from errors import error_info
from osd.v1 import osd_pb2
from programs import ClusterTest

MIB = 1 << 20


class StockToolsTest(ClusterTest):
    def operate(self, name: str, *ops: osd_pb2.Op, **fields) -> osd_pb2.OperateReply:
        request = osd_pb2.OperateRequest(pool="rbd", object=name, ops=ops, **fields)
        return self.osd_stub.Operate(request)

    def session(self) -> int:
        return self.osd_stub.Connect(osd_pb2.ConnectRequest(name="stock")).gid

    def assert_errno(self, name: str, number: int, code: grpc.StatusCode, *ops: osd_pb2.Op, failed_op="0", **fields):
        with self.assertRaises(grpc.RpcError) as failed:
            self.operate("errors", *ops, **fields)
        info = error_info(failed.exception)
        self.assertEqual((info.reason, info.metadata["errno"]), (name, str(number)))
        self.assertEqual(info.metadata.get("failed_op"), failed_op)
        self.assertEqual(failed.exception.code(), code)

    def test_errors_of_the_osd_carry_the_name_of_the_errno_and_the_failed_op(self):
        code = grpc.StatusCode
        gid = self.session()
        stat = osd_pb2.Op(stat=osd_pb2.Stat())
        self.assert_errno("ENOENT", 2, code.NOT_FOUND, stat)
        create = osd_pb2.Op(create=osd_pb2.Create(exclusive=True))
        version = self.operate("errors", create, gid=gid, tid=1).version
        self.assert_errno("EEXIST", 17, code.ALREADY_EXISTS, create, gid=gid, tid=2)
        xattr = osd_pb2.Op(get_xattr=osd_pb2.GetXattr(name="none"))
        self.assert_errno("ENODATA", 61, code.NOT_FOUND, stat, xattr, failed_op="1")
        newer = osd_pb2.Op(assert_version=osd_pb2.AssertVersion(version=version + 1))
        self.assert_errno("EOVERFLOW", 75, code.OUT_OF_RANGE, newer)
        unknown = osd_pb2.Op(exec=osd_pb2.Exec(**{"class": "nobody"}, method="knows"))
        self.assert_errno("EOPNOTSUPP", 95, code.UNIMPLEMENTED, unknown, gid=gid, tid=3)
        garbage = osd_pb2.Op(exec=osd_pb2.Exec(**{"class": "lock"}, method="lock", input=b"\xff\xff"))
        self.assert_errno("EINVAL", 22, code.INVALID_ARGUMENT, garbage, gid=gid, tid=4)
        self.osd_stub.BlocklistAdd(osd_pb2.BlocklistAddRequest(gid=gid))
        remove = osd_pb2.Op(remove=osd_pb2.Remove())
        fenced = {"gid": gid, "tid": 5, "failed_op": None}
        self.assert_errno("EBLOCKLISTED", 108, code.PERMISSION_DENIED, remove, **fenced)
        self.assertEqual(self.operate("errors", stat).version, version, "the fenced client changed nothing")

    def test_an_object_of_4_mib_is_read_within_the_default_limits(self):
        gid = self.session()
        data = os.urandom(4 * MIB)
        write = osd_pb2.Op(write_full=osd_pb2.WriteFull(data=data))
        self.operate("large", write, gid=gid, tid=1)
        # docs: large
        version, pieces = 0, []
        while not pieces or len(pieces[-1]) == MIB:
            offset = sum(map(len, pieces))
            ops = [osd_pb2.Op(read=osd_pb2.Read(offset=offset, length=MIB))]
            if version:
                # ERANGE if somebody wrote since the first piece was read.
                ops.insert(0, osd_pb2.Op(assert_version=osd_pb2.AssertVersion(version=version)))
            reply = self.osd_stub.Operate(osd_pb2.OperateRequest(pool="rbd", object="large", ops=ops))
            version = reply.version
            pieces.append(reply.results[-1].read.data)
        # docs: end
        self.assertEqual(b"".join(pieces), data)
        change = osd_pb2.Op(write=osd_pb2.Write(offset=0, data=b"x"))
        self.operate("large", change, gid=gid, tid=2)
        with self.assertRaises(grpc.RpcError) as torn:
            self.operate("large", ops[0], osd_pb2.Op(read=osd_pb2.Read(offset=0, length=MIB)))
        self.assertEqual(error_info(torn.exception).reason, "ERANGE")
        with self.assertRaises(grpc.RpcError) as whole:
            self.operate("large", osd_pb2.Op(read=osd_pb2.Read()))
        self.assertEqual(whole.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, "refused by this client itself")

    def test_all_services_are_described_by_reflection(self):
        self.rbd_ok("create", "--size", "1", "reflected")
        _, server = self.serve("reflected")
        for address, service, method in (
            (self.osd.address, "osd.v1.Osd", "ListPools"),
            (server.address, "rbd.v1.RbdClient", "Info"),
        ):
            with self.subTest(service), grpc.insecure_channel(address) as channel:
                # docs: reflection
                database = ProtoReflectionDescriptorDatabase(channel)
                description = DescriptorPool(database).FindServiceByName(service).methods_by_name[method]
                request, reply = (GetMessageClass(t) for t in (description.input_type, description.output_type))
                call = channel.unary_unary(
                    f"/{service}/{method}",
                    request_serializer=request.SerializeToString,
                    response_deserializer=reply.FromString,
                )
                answer = call(request())
                # docs: end
                self.assertIn(service, database.get_services())
                self.assertIn("clock.v1.Clock", database.get_services())
                named = answer.pools[0].name if method == "ListPools" else answer.pool
                self.assertEqual(named, "rbd")


if __name__ == "__main__":
    unittest.main()
