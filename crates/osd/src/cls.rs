//! Object classes: methods that run inside an op vector, on the object of the vector.

mod argument;
mod lock;
mod rbd;

use bytes::Bytes;
use errno::Errno;
use prost::Message;

use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(crate) use argument::argument;

/// A class: a name and its methods. The set is closed, so a class is a table and not a trait object.
struct Class {
    name: &'static str,
    methods: &'static [Method],
}

/// One method. Whether it may change the object is said by its type.
pub(crate) struct Method {
    name: &'static str,
    call: Call,
}

enum Call {
    Reads(fn(&Target<'_>, &Caller<'_>, &Bytes) -> Outcome<Bytes>),
    Writes(fn(&mut Target<'_>, &Caller<'_>, &Bytes) -> Outcome<Bytes>),
}

static CLASSES: &[Class] = &[lock::CLASS, rbd::CLASS];

/// EOPNOTSUPP for an unknown class or method.
pub(crate) fn method(class: &str, method: &str) -> Outcome<&'static Method> {
    let Some(known) = CLASSES.iter().find(|known| known.name == class) else {
        return refuse(Errno::EOPNOTSUPP, format!("there is no class {class:?}"));
    };
    match known.methods.iter().find(|known| known.name == method) {
        Some(found) => Ok(found),
        None => refuse(Errno::EOPNOTSUPP, format!("class {class:?} has no method {method:?}")),
    }
}

/// Every method with its class, e.g. "lock.lock".
pub(crate) fn method_names() -> impl Iterator<Item = String> {
    let of_class = |class: &'static Class| {
        class.methods.iter().map(move |method| format!("{}.{}", class.name, method.name))
    };
    CLASSES.iter().flat_map(of_class)
}

impl Method {
    const fn reads(name: &'static str, call: fn(&Target<'_>, &Caller<'_>, &Bytes) -> Outcome<Bytes>) -> Self {
        Self { name, call: Call::Reads(call) }
    }

    const fn writes(
        name: &'static str,
        call: fn(&mut Target<'_>, &Caller<'_>, &Bytes) -> Outcome<Bytes>,
    ) -> Self {
        Self { name, call: Call::Writes(call) }
    }

    /// Whether it may change the object.
    pub(crate) fn mutates(&self) -> bool {
        matches!(self.call, Call::Writes(_))
    }

    pub(crate) fn run(&self, target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
        match self.call {
            Call::Reads(call) => call(target, caller, input),
            Call::Writes(call) => call(target, caller, input),
        }
    }
}

/// EINVAL for input that is not the method's message.
fn decode<M: Message + Default>(input: &Bytes) -> Outcome<M> {
    M::decode(input.clone())
        .or_else(|error| refuse(Errno::EINVAL, format!("the input does not decode: {error}")))
}

/// What a class itself has stored; EIO if somebody else wrote over it.
fn stored<M: Message + Default>(what: &str, value: &Bytes) -> Outcome<M> {
    M::decode(value.clone()).or_else(|error| refuse(Errno::EIO, format!("{what} does not decode: {error}")))
}

fn reply<M: Message>(message: &M) -> Outcome<Bytes> {
    Ok(message.encode_to_vec().into())
}

/// The answer of a method that has none.
fn done() -> Outcome<Bytes> {
    Ok(Bytes::new())
}
