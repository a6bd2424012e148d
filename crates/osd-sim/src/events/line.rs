use errno::Errno;
use osd::Event;
use serde::Serialize;

/// Appends an event as a line of the events file: fields as in osd.proto; those that do not apply are left out.
pub(super) fn append(lines: &mut Vec<u8>, event: &Event) {
    serde_json::to_writer(&mut *lines, &Line::of(event)).expect("a line is plain data, and memory takes it");
    lines.push(b'\n');
}

#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    time_ms: u64,
    kind: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    tid: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pool: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    object: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    version: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cookie: u64,
    #[serde(skip_serializing_if = "is_zero")]
    notify_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    arguments: &'a [String],
    #[serde(skip_serializing_if = "String::is_empty")]
    payload_hex: String,
    #[serde(skip_serializing_if = "is_zero")]
    payload_bytes: u64,
}

impl<'a> Line<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            sequence: event.sequence,
            time_ms: event.time.0,
            kind: event.kind.name(),
            gid: event.gid,
            tid: event.tid,
            pool: &event.pool,
            object: &event.object,
            version: event.version,
            cookie: event.cookie,
            notify_id: event.notify_id,
            error: event.error.map(Errno::name),
            detail: &event.detail,
            arguments: &event.arguments,
            payload_hex: hex(&event.payload),
            payload_bytes: event.payload_bytes,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
