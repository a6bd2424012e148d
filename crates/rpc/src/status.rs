//! Ceph's errno over gRPC: a status code plus `google.rpc.ErrorInfo`, in both directions.

use std::collections::BTreeMap;

use proto::osd::v1::Error;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of every `ErrorInfo` made here.
pub const DOMAIN: &str = "rbd-sim";

/// A status that carries `error`. Never UNAVAILABLE, UNKNOWN, CANCELLED or DEADLINE_EXCEEDED, which stock clients retry
/// or reinterpret.
#[allow(
    clippy::disallowed_types,
    reason = "tonic-types takes the metadata as a HashMap; its order never shows"
)]
pub fn from_error(error: &Error) -> Status {
    let mut metadata = BTreeMap::from([("errno".to_owned(), error.number.to_string())]);
    if let Some(index) = error.failed_op {
        metadata.insert("failed_op".to_owned(), index.to_string());
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(error.name.clone(), DOMAIN, std::collections::HashMap::from_iter(metadata));
    Status::with_error_details(code(&error.name), error.text.clone(), details)
}

/// The error that a status carries, or `None` when it comes from the transport or a foreign server.
pub fn to_error(status: &Status) -> Option<Error> {
    let info = status.get_details_error_info()?;
    Some(Error {
        number: info.metadata.get("errno")?.parse().ok()?,
        name: info.reason,
        failed_op: info.metadata.get("failed_op").and_then(|index| index.parse().ok()),
        text: status.message().to_owned(),
    })
}

fn code(name: &str) -> Code {
    match name {
        "ENOENT" | "ENODATA" => Code::NotFound,
        "EEXIST" => Code::AlreadyExists,
        "EINVAL" | "ENAMETOOLONG" | "EBADMSG" => Code::InvalidArgument,
        "ERANGE" | "EOVERFLOW" | "EFBIG" => Code::OutOfRange,
        "EPERM" | "EBLOCKLISTED" => Code::PermissionDenied,
        "EOPNOTSUPP" | "ENOSYS" | "ENOEXEC" => Code::Unimplemented,
        "E2BIG" | "EMFILE" | "EDQUOT" | "EAGAIN" => Code::ResourceExhausted,
        "ESTALE" | "ERESTART" | "ECANCELED" => Code::Aborted,
        "EIO" => Code::DataLoss,
        _ => Code::FailedPrecondition,
    }
}
