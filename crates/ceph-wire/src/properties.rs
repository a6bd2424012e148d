//! What holds for every encoding: what was written is read, whatever follows it, and no bytes do harm.

use proptest::prelude::*;

use crate::sample::{Draw, Sample};
use crate::{Reader, Wire, to_bytes};

/// What was written is read, byte for byte, and nothing else with it.
fn is_read_back<T: Wire + Sample + PartialEq + std::fmt::Debug>(seed: &[u8]) {
    let value = T::sample(&mut Draw(seed));
    let mut bytes = to_bytes(&value).to_vec();
    let length = bytes.len();
    bytes.extend_from_slice(b"what follows");
    let mut reader = Reader::new(&bytes);
    assert_eq!(T::take(&mut reader).as_ref(), Ok(&value));
    assert_eq!(reader.left().len(), bytes.len() - length, "no more is read than was written");
}

/// A value that is cut short is refused; arbitrary bytes and flipped ones are read or refused.
fn harms_nobody<T: Wire + Sample>(seed: &[u8], cut: usize, flip: u8) {
    let _ = T::take(&mut Reader::new(seed));
    let mut bytes = to_bytes(&T::sample(&mut Draw(seed))).to_vec();
    if bytes.is_empty() {
        return;
    }
    let cut = cut % bytes.len();
    assert!(T::take(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut} of {}", bytes.len());
    bytes[cut] ^= flip;
    let _ = T::take(&mut Reader::new(&bytes));
}

/// Every type whose encoding says where it ends.
macro_rules! every_type {
    ($with:ident) => {
        $with! {
            utime: crate::Utime;
            entity_name: crate::EntityName;
            auth_name: crate::AuthName;
            entity_addr: crate::EntityAddr;
            addr_vec: crate::AddrVec;
            spg: crate::Spg;
            object_locator: crate::ObjectLocator;
            hobject: crate::Hobject;
            message_header: crate::MessageHeader;
            mon_map: crate::mon::MonMap;
            mon_map_message: crate::mon::MonMapMessage;
            mgr_map: crate::mon::MgrMap;
            get_version: crate::mon::GetVersion;
            get_version_reply: crate::mon::GetVersionReply;
            config: crate::mon::Config;
            log: crate::mon::Log;
            mon_command: crate::mon::MonCommand;
            mon_command_ack: crate::mon::MonCommandAck;
            command: crate::mon::Command;
            command_reply: crate::mon::CommandReply;
            pool_op: crate::mon::PoolOp;
            pool_op_reply: crate::mon::PoolOpReply;
            statfs: crate::mon::Statfs;
            statfs_reply: crate::mon::StatfsReply;
            get_pool_stats: crate::mon::GetPoolStats;
            get_pool_stats_reply: crate::mon::GetPoolStatsReply;
            crush_map: crate::osdmap::CrushMap;
            osd_map: crate::osdmap::OsdMap;
            osd_map_message: crate::osdmap::OsdMapMessage;
            osd_op_request: crate::osd::OsdOpRequest;
            osd_op_reply: crate::osd::OsdOpReply;
            watch_notify: crate::osd::WatchNotify;
            watchers: crate::osd::Watchers;
            parent_image_spec: crate::cls::ParentImageSpec;
            parent_record: crate::cls::ParentRecord;
            child_image_spec: crate::cls::ChildImageSpec;
            snapshot_namespace: crate::cls::SnapshotNamespace;
            snapshot_info: crate::cls::SnapshotInfo;
            snapshot_record: crate::cls::SnapshotRecord;
            group_spec: crate::cls::GroupSpec;
            group_image_status: crate::cls::GroupImageStatus;
            group_snapshot: crate::cls::GroupSnapshot;
            trash_image_spec: crate::cls::TrashImageSpec;
            migration_spec: crate::cls::MigrationSpec;
            mirror_peer: crate::cls::MirrorPeer;
            mirror_image: crate::cls::MirrorImage;
            mirror_image_map: crate::cls::MirrorImageMap;
            mirror_site_status: crate::cls::MirrorSiteStatus;
            mirror_site_status_record: crate::cls::MirrorSiteStatusRecord;
            mirror_image_status: crate::cls::MirrorImageStatus;
            bit_vector: crate::cls::BitVector;
            old_header: crate::cls::OldHeader;
            lock_info: crate::cls::LockInfo;
            lock: crate::cls::Lock;
            break_lock: crate::cls::BreakLock;
            set_cookie: crate::cls::SetCookie;
            librbd_notify: crate::librbd::NotifyMessage;
            librbd_response: crate::librbd::ResponseMessage;
        }
    };
}
pub(crate) use every_type;

macro_rules! properties {
    ($($test:ident: $type:ty;)*) => {
        $(proptest! {
            #[test]
            fn $test(seed in prop::collection::vec(any::<u8>(), 0..400), cut: usize, flip: u8) {
                is_read_back::<$type>(&seed);
                harms_nobody::<$type>(&seed, cut, flip);
            }
        })*
    };
}

every_type!(properties);

/// Every type that ends where its bytes end.
macro_rules! every_open_type {
    ($with:ident) => {
        $with! {
            subscribe: crate::mon::Subscribe;
            create_image: crate::cls::CreateImage;
            get_features: crate::cls::GetFeatures;
            set_flags: crate::cls::SetFlags;
            snapshot_add: crate::cls::SnapshotAdd;
            parent_attach: crate::cls::ParentAttach;
        }
    };
}
pub(crate) use every_open_type;

macro_rules! open_ended {
    ($($test:ident: $type:ty;)*) => {
        $(proptest! {
            /// The last field may be missing, so that an input cut there is whole.
            #[test]
            fn $test(seed in prop::collection::vec(any::<u8>(), 0..200)) {
                let value = <$type>::sample(&mut Draw(&seed));
                prop_assert_eq!(crate::from_bytes(&to_bytes(&value)), Ok(value));
                let _ = <$type>::take(&mut Reader::new(&seed));
            }
        })*
    };
}

every_open_type!(open_ended);

/// 4,294,967,295 items that are not there are refused before room is made for them.
#[test]
fn a_giant_count_makes_no_room() {
    let bytes = [0xff; 64];
    assert!(Vec::<u64>::take(&mut Reader::new(&bytes)).is_err());
    assert!(std::collections::BTreeMap::<u8, u8>::take(&mut Reader::new(&bytes)).is_err());
    assert!(bytes::Bytes::take(&mut Reader::new(&bytes)).is_err());
}
