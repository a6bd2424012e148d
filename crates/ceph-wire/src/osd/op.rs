use bytes::Bytes;

use crate::error::WireError;
use crate::{Reader, Wire, Writer};

/// Bytes of an op without its data.
pub const OSD_OP_BYTES: usize = 38;
/// Bytes of what is said of an op besides its number, its flags and the length of its data.
const ARGUMENT_BYTES: usize = 28;

/// One op of a vector. What its argument means depends on its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsdOp {
    /// See [`code`].
    pub code: u16,
    /// See [`op_flag`].
    pub flags: u32,
    /// By code; the layouts are those of the functions below.
    pub argument: [u8; ARGUMENT_BYTES],
    /// Bytes of the message's data that are its own: input in a request, output in a reply.
    pub data_bytes: u32,
}

impl Wire for OsdOp {
    fn put(&self, out: &mut Writer) {
        self.code.put(out);
        self.flags.put(out);
        self.argument.put(out);
        self.data_bytes.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (code, flags) = (Wire::take(from)?, Wire::take(from)?);
        Ok(Self { code, flags, argument: Wire::take(from)?, data_bytes: Wire::take(from)? })
    }
}

records! {
    /// A range of an object's bytes.
    #[derive(Copy, Default, Eq)]
    Extent {
        /// Where it begins.
        offset: u64,
        /// How long it is; 0 of a read = to the end.
        length: u64,
        /// Of no concern to RBD.
        truncate_size: u64,
        /// Of no concern to RBD.
        truncate_seq: u32,
    }

    /// What an op does to an xattr.
    #[derive(Copy, Eq)]
    Xattr {
        /// Of the data, the bytes that are the name.
        name_bytes: u32,
        /// Of the data, the bytes after that.
        value_bytes: u32,
        /// 1 =, 2 !=, 3 >, 4 >=, 5 <, 6 <=.
        comparison: u8,
        /// 1 = as text, 2 = as u64.
        mode: u8,
    }

    /// A call of a class's method.
    #[derive(Copy, Eq)]
    Call {
        /// Of the data, the bytes that are the class's name.
        class_bytes: u8,
        /// Of the data, the bytes after that: the method's name.
        method_bytes: u8,
        /// Always 0.
        argc: u8,
        /// Of the data, the bytes after that.
        input_bytes: u32,
    }

    /// What is asked of a watch.
    #[derive(Copy, Eq)]
    Watch {
        /// The client's name for it.
        cookie: u64,
        /// Of no concern.
        version: u64,
        /// See [`watch_op`].
        op: u8,
        /// How often it was registered anew.
        generation: u32,
        /// Seconds; 0 = the usual.
        timeout: u32,
    }
}

impl OsdOp {
    /// An op with an argument, for data that is somewhere else.
    pub fn new(code: u16, argument: &impl Wire, data_bytes: u32) -> Self {
        let mut op = Self { code, flags: 0, argument: [0; ARGUMENT_BYTES], data_bytes };
        let mut out = Writer::new();
        argument.put(&mut out);
        op.argument[..out.written().len()].copy_from_slice(out.written());
        op
    }

    /// The argument as one of the structs of this module.
    pub fn argument<T: Wire>(&self) -> Result<T, WireError> {
        crate::from_bytes(&self.argument)
    }
}

impl Call {
    /// Class, method and input out of the op's data. `None` when the data is shorter than it says.
    pub fn split(&self, data: &Bytes) -> Option<(Bytes, Bytes, Bytes)> {
        let class = usize::from(self.class_bytes);
        let method = class + usize::from(self.method_bytes);
        let input = method.checked_add(self.input_bytes as usize)?;
        (input <= data.len())
            .then(|| (data.slice(..class), data.slice(class..method), data.slice(method..input)))
    }
}

macro_rules! numbers {
    ($module:ident, $type:ty, $text:literal: $($name:ident = $number:literal;)*) => {
        #[doc = $text]
        pub mod $module {
            $(#[doc = concat!("CEPH_OSD_", stringify!($name))] pub const $name: $type = $number;)*
        }
    };
}

numbers! { code, u16, "The numbers of ops, by Ceph's names.":
    READ = 0x1201;
    STAT = 0x1202;
    SPARSE_READ = 0x1205;
    NOTIFY = 0x1206;
    NOTIFY_ACK = 0x1207;
    ASSERT_VER = 0x1208;
    LIST_WATCHERS = 0x1209;
    LIST_SNAPS = 0x120a;
    SYNC_READ = 0x120b;
    OMAP_GET_KEYS = 0x1211;
    OMAP_GET_VALS = 0x1212;
    OMAP_GET_HEADER = 0x1213;
    OMAP_GET_VALS_BY_KEYS = 0x1214;
    OMAP_CMP = 0x1219;
    CHECKSUM = 0x121f;
    CMPEXT = 0x1220;
    GETXATTR = 0x1301;
    GETXATTRS = 0x1302;
    CMPXATTR = 0x1303;
    CALL = 0x1401;
    PGNLS = 0x1505;
    WRITE = 0x2201;
    WRITEFULL = 0x2202;
    TRUNCATE = 0x2203;
    ZERO = 0x2204;
    DELETE = 0x2205;
    APPEND = 0x2206;
    CREATE = 0x220d;
    ROLLBACK = 0x220e;
    WATCH = 0x220f;
    OMAP_SET_VALS = 0x2215;
    OMAP_SET_HEADER = 0x2216;
    OMAP_CLEAR = 0x2217;
    OMAP_RM_KEYS = 0x2218;
    COPY_FROM = 0x221a;
    SET_ALLOC_HINT = 0x2223;
    WRITESAME = 0x2226;
    OMAP_RM_KEY_RANGE = 0x222c;
    COPY_FROM2 = 0x222d;
    SETXATTR = 0x2301;
    RMXATTR = 0x2304;
    TMAPUP = 0x320a;
}

numbers! { op_flag, u32, "Flags of one op.":
    EXCL = 1;
    FAILOK = 2;
}

numbers! { flag, u32, "Flags of a request.":
    ACK = 0x1;
    ONDISK = 0x4;
    READ = 0x10;
    WRITE = 0x20;
    ORDERSNAP = 0x40;
    PARALLELEXEC = 0x200;
    PGOP = 0x400;
    RETURNVEC = 0x400_0000;
}

numbers! { watch_op, u8, "What is asked of a watch.":
    UNWATCH = 0;
    LEGACY_WATCH = 1;
    WATCH = 3;
    RECONNECT = 5;
    PING = 7;
}
