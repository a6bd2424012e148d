//! JSON as Ceph writes it.

use bytes::Bytes;
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// In one line.
pub(crate) fn compact(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Indented by four.
pub(crate) fn pretty(value: &Value) -> Bytes {
    let mut text = Vec::new();
    let mut out = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut out).expect("a value of JSON is written to memory");
    text.push(b'\n');
    text.into()
}
