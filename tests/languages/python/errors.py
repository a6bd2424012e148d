"""What a failed call says: a status code, words for people, and a google.rpc.ErrorInfo with Ceph's errno."""

# docs: errors
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """The errno of a failed call: `reason` is its name, metadata "errno" its number. None: an error of the transport."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
# docs: end
