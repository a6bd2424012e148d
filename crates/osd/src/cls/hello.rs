//! Class "hello": Ceph's example of a class, which its tests and its users' programs call to see that classes work.

use bytes::Bytes;
use errno::Errno;

use super::{Class, Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const CLASS: Class = Class { name: "hello", topics: &[METHODS] };

const METHODS: &[Method] = &[
    Method::ceph_reads("say_hello", |_, _, input| hello(input)),
    Method::ceph_writes("record_hello", record),
    Method::ceph_reads("replay", |target, _, _| recorded(target)),
    Method::ceph_writes("turn_it_to_11", amplify),
    Method::ceph_writes("writes_dont_return_data", |target, _, input| {
        let answer = Bytes::from_static(b"you will never see this");
        target.set_xattr("foo", Bytes::from_static(b"bar"))?;
        if input.is_empty() { Ok(answer) } else { refuse(Errno::EINVAL, "it takes no input") }
    }),
];

/// Of a name.
const INPUT_BYTES_MAX: usize = 100;
/// Of what is replayed.
const RECORD_BYTES_MAX: u64 = 1100;

fn hello(name: &Bytes) -> Outcome<Bytes> {
    if name.len() > INPUT_BYTES_MAX {
        return refuse(Errno::EINVAL, format!("{} bytes are more than {INPUT_BYTES_MAX}", name.len()));
    }
    let name = if name.is_empty() { b"world" } else { &name[..] };
    Ok([b"Hello, ", name, b"!"].concat().into())
}

/// EEXIST for an object that is there.
fn record(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let hello = hello(input)?;
    if target.exists() {
        return refuse(Errno::EEXIST, "somebody was greeted here");
    }
    target.write(0, hello)?;
    done(target.set_xattr("said_by", who(caller)))
}

fn recorded(target: &Target<'_>) -> Outcome<Bytes> {
    let length = target.stat()?.size.min(RECORD_BYTES_MAX);
    Ok(target.read(0, length)?.to_bytes(0, length))
}

/// In capitals.
fn amplify(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    if !input.is_empty() {
        return refuse(Errno::EINVAL, "it takes no input");
    }
    let louder = recorded(target)?.to_ascii_uppercase();
    target.truncate(louder.len() as u64)?;
    target.write(0, louder.into())?;
    done(target.set_xattr("amplified_by", who(caller)))
}

/// As Ceph shows an instance.
fn who(caller: &Caller<'_>) -> Bytes {
    format!("client.{} {}", caller.gid, caller.address).into()
}
