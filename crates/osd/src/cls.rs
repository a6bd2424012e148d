//! Object classes: methods that run inside an op vector, on the object of the vector.
//!
//! A method's rule is a typed function over typed state, which lies in the object in Ceph's own format. At its door the input
//! is decoded and the output encoded, in the dialect that the op says: as the messages of `proto/cls`, or as Ceph's class has
//! it. A method has a door for each dialect that it is called in; its name is Ceph's in both.
//!
//! Another method is another entry in the table of its topic, with its doors, and its rule beside it.

mod argument;
mod ceph;
mod hello;
mod lock;
mod protobuf;
mod rbd;

use bytes::Bytes;
use errno::Errno;

use crate::error::{Outcome, refuse};
use crate::op::Dialect;
use crate::vector::Caller;
use crate::vector::target::Target;

pub(crate) use argument::argument;

/// A class: a name and its methods, topic by topic. The set is closed, so a class is a table and not a trait object.
struct Class {
    name: &'static str,
    topics: &'static [&'static [Method]],
}

/// One method. Whether it may change the object is said by its type.
pub(crate) struct Method {
    name: &'static str,
    doors: Doors,
}

type Reads = fn(&Target<'_>, &Caller<'_>, &Bytes) -> Outcome<Bytes>;
type Writes = fn(&mut Target<'_>, &Caller<'_>, &Bytes) -> Outcome<Bytes>;

enum Doors {
    Reads(By<Reads>),
    Writes(By<Writes>),
}

/// One door for each dialect, or none.
struct By<Door> {
    protobuf: Option<Door>,
    ceph: Option<Door>,
}

impl<Door: Copy> By<Door> {
    fn dialect(&self, dialect: Dialect) -> Option<Door> {
        match dialect {
            Dialect::Protobuf => self.protobuf,
            Dialect::Ceph => self.ceph,
        }
    }
}

static CLASSES: &[Class] = &[lock::CLASS, rbd::CLASS, hello::CLASS];

/// A method, to be called in one of its dialects.
pub(crate) enum Call {
    Reads(Reads),
    Writes(Writes),
}

/// Whether there is such a class.
pub(crate) fn has_class(class: &str) -> bool {
    CLASSES.iter().any(|known| known.name == class)
}

/// EOPNOTSUPP for an unknown class or method, also for one that is not there in this dialect.
pub(crate) fn method(class: &str, method: &str, dialect: Dialect) -> Outcome<Call> {
    let Some(known) = CLASSES.iter().find(|known| known.name == class) else {
        return refuse(Errno::EOPNOTSUPP, format!("there is no class {class:?}"));
    };
    match known.methods().find(|known| known.name == method).and_then(|method| method.call(dialect)) {
        Some(found) => Ok(found),
        None => refuse(Errno::EOPNOTSUPP, format!("class {class:?} has no method {method:?}")),
    }
}

/// Every method with its class, e.g. "lock.lock".
pub(crate) fn method_names() -> impl Iterator<Item = String> {
    let of_class =
        |class: &'static Class| class.methods().map(move |method| format!("{}.{}", class.name, method.name));
    CLASSES.iter().flat_map(of_class)
}

impl Class {
    fn methods(&self) -> impl Iterator<Item = &'static Method> + use<> {
        self.topics.iter().copied().flatten()
    }
}

impl Method {
    const fn reads(name: &'static str, protobuf: Reads, ceph: Reads) -> Self {
        Self { name, doors: Doors::Reads(By { protobuf: Some(protobuf), ceph: Some(ceph) }) }
    }

    const fn writes(name: &'static str, protobuf: Writes, ceph: Writes) -> Self {
        Self { name, doors: Doors::Writes(By { protobuf: Some(protobuf), ceph: Some(ceph) }) }
    }

    /// There for gRPC only.
    const fn protobuf_reads(name: &'static str, protobuf: Reads) -> Self {
        Self { name, doors: Doors::Reads(By { protobuf: Some(protobuf), ceph: None }) }
    }

    /// There for Ceph's clients only.
    const fn ceph_reads(name: &'static str, ceph: Reads) -> Self {
        Self { name, doors: Doors::Reads(By { protobuf: None, ceph: Some(ceph) }) }
    }

    /// There for Ceph's clients only.
    const fn ceph_writes(name: &'static str, ceph: Writes) -> Self {
        Self { name, doors: Doors::Writes(By { protobuf: None, ceph: Some(ceph) }) }
    }

    fn call(&self, dialect: Dialect) -> Option<Call> {
        match &self.doors {
            Doors::Reads(by) => by.dialect(dialect).map(Call::Reads),
            Doors::Writes(by) => by.dialect(dialect).map(Call::Writes),
        }
    }
}

impl Call {
    /// Whether it may change the object.
    pub(crate) fn mutates(&self) -> bool {
        matches!(self, Self::Writes(_))
    }

    pub(crate) fn run(&self, target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
        match self {
            Self::Reads(call) => call(target, caller, input),
            Self::Writes(call) => call(target, caller, input),
        }
    }
}

/// The answer of a method that has none.
fn done(done: Outcome<()>) -> Outcome<Bytes> {
    done.map(|()| Bytes::new())
}
