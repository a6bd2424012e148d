use std::collections::BTreeMap;

use crate::message::payloads;
use crate::{AddrVec, Utime};

records! {
    /// Who the managers are. It is a message as it stands.
    MgrMap version 12, 6 {
        /// Version of the map.
        epoch: u32,
        /// Where the active one is.
        active_addresses: AddrVec,
        /// Its global id; 0 = there is none.
        active_gid: u64,
        /// Whether it serves.
        is_available: bool,
        /// Its name.
        active_name: String,
        /// The others, by global id.
        standbys: BTreeMap<u64, Standby>,
        /// Modules that are on.
        modules: Vec<String>,
        /// How many descriptions of modules follow: none here.
        available_modules: u32,
        /// Addresses of what modules serve.
        services: BTreeMap<String, String>,
        /// When the active one became so.
        active_change: Utime,
        /// Modules that are always on, by number of release.
        always_on_modules: BTreeMap<u32, Vec<String>>,
        /// Features of the active one.
        active_features: u64,
        /// Map in which the last one was fenced.
        last_failure_osd_epoch: u32,
        /// Addresses of the active one's own clients.
        client_addresses: Vec<AddrVec>,
        /// Names of those.
        client_names: Vec<String>,
    }

    /// A manager that waits.
    #[derive(Eq)]
    Standby version 4, 1 {
        /// Its global id.
        gid: u64,
        /// Its name.
        name: String,
        /// Names of its modules: none here.
        former_modules: Vec<String>,
        /// How many descriptions of modules follow: none here.
        available_modules: u32,
        /// Its features.
        features: u64,
    }
}

payloads! {
    MgrMap = MGR_MAP, 1, 1;
}
