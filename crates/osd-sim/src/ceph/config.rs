use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where Ceph's own clients are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephConfig {
    /// Where the monitor listens; port 0 = any free one.
    pub monitor: SocketAddr,
    /// Where the OSD listens; `None` = the monitor's IP, any free port.
    pub osd: Option<SocketAddr>,
    /// What maps and configuration say instead of the IP that is listened on.
    pub advertise: Option<IpAddr>,
    /// What clients may ask for.
    pub limits: CephLimits,
}

/// What clients of the door may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephLimits {
    /// Connections to each of the door's daemons; further ones wait until one ends.
    pub connections_max: usize,
    /// How long a client may take until it has said who it is.
    pub handshake_time_max: Duration,
    /// Bytes of one frame.
    pub frame_bytes_max: usize,
    /// Bytes of frames that have not arrived whole, of all connections. The connection that would exceed it ends.
    pub arriving_bytes_max: usize,
    /// How long a client may take to read what it is sent, before its connection ends.
    pub write_time_max: Duration,
    /// Messages that wait for one client that does not read. One more ends its connection.
    pub waiting_messages_max: usize,
}

impl Default for CephLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            handshake_time_max: Duration::from_secs(10),
            frame_bytes_max: 100 << 20,
            arriving_bytes_max: 256 << 20,
            write_time_max: Duration::from_secs(30),
            waiting_messages_max: 1024,
        }
    }
}

impl CephConfig {
    /// A door on these addresses of this machine.
    pub fn on(monitor: SocketAddr) -> Self {
        Self { monitor, osd: None, advertise: None, limits: CephLimits::default() }
    }
}

impl CephAddresses {
    /// The configuration of a client: what `CEPH_CONF` names.
    pub fn client_conf(&self) -> String {
        super::conf::client_conf(&self.fsid, self.monitor)
    }
}

/// Where the door's daemons are, as maps say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephAddresses {
    /// The cluster's identity.
    pub fsid: String,
    /// The monitor.
    pub monitor: SocketAddr,
    /// The OSD.
    pub osd: SocketAddr,
    /// The manager.
    pub manager: SocketAddr,
}
