//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clock::Clock;

use crate::Config;
use crate::ceph::CephConfig;

/// One object storage daemon for tests: objects, snapshots, object classes, watch/notify and blocklisting over gRPC, in
/// memory.
///
/// When it accepts calls it prints one line on stdout: {"program":"osd-sim","address":"HOST:PORT","pid":N}. It ends on
/// SIGTERM or SIGINT. Logs go to stderr; RUST_LOG sets how much.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

const EXAMPLES: &str = "\
Examples:
  osd-sim                                      on any free port of 127.0.0.1, with Ceph's timeouts
  osd-sim --preset ci --events events.jsonl    short timeouts; every event as a line of JSON
  osd-sim --preset ci --enable-faults          clients may break things on purpose: rbd-client fault --help
  osd-sim --clock manual                       time passes only when told to: rbd-client clock --help
  osd-sim --listen 0.0.0.0:6800 --pool images  pools 'rbd' and 'images', for other machines too
  osd-sim --ceph 127.0.0.1:0 --ceph-conf FILE  CEPH_CONF=FILE rados lspools: a second door, for Ceph's own clients
  osd-sim health --address 127.0.0.1:6800      exit status 0 if that server serves

Durations are written like 30s, 500ms, '1h 30m'. Every option is also an environment variable.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Asks a running server whether it serves: exit status 0 if it does, 1 if not. For container health checks.
    Health {
        /// Where the server listens.
        #[arg(long, env = "OSD_SIM_ADDRESS", value_name = "HOST:PORT")]
        address: rpc::Address,
    },
    /// Prints the configuration of Ceph's own clients for a running server: what CEPH_CONF is to name.
    CephConf {
        /// Where its monitor listens.
        #[arg(long, env = "OSD_SIM_CEPH", value_name = "IP:PORT", value_parser = rpc::socket_address)]
        monitor: SocketAddr,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preset {
    /// Ceph's constants, and a watch whose connection is gone lives as long as a silent one.
    Ceph,
    /// One order shorter: watch 3s, grace 300ms, notify 3s, blocklist 6m.
    Ci,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Time {
    /// Time passes by itself.
    Real,
    /// Time passes only when it is told to.
    Manual,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Plain,
    /// One JSON object a line.
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Where to listen; port 0 = any free one.
    #[arg(long, env = "OSD_SIM_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = rpc::socket_address)]
    listen: SocketAddr,
    /// Where the options below begin; without it Ceph's constants with a grace of 500ms.
    #[arg(long, env = "OSD_SIM_PRESET", value_enum)]
    preset: Option<Preset>,
    /// A pool that exists from the start; may be given more than once. 'rbd' always exists.
    #[arg(long = "pool", env = "OSD_SIM_POOL", value_name = "NAME", value_delimiter = ',')]
    pools: Vec<String>,
    /// Write every event to this file, as one JSON object a line. The file is created anew; where it is too slow or cannot be
    /// written, an event of kind gap tells what is missing.
    #[arg(long, env = "OSD_SIM_EVENTS", value_name = "FILE")]
    events: Option<PathBuf>,
    /// Let clients break things on purpose: service osd.v1.Faults, `rbd-client fault`.
    #[arg(long, env = "OSD_SIM_ENABLE_FAULTS", value_parser = FalseyValueParser::new())]
    enable_faults: bool,
    /// Whether time passes by itself, or only when it is told to: service clock.v1.Clock, `rbd-client clock`.
    #[arg(long, env = "OSD_SIM_CLOCK", value_enum, default_value = "real")]
    clock: Time,
    /// End when standard input ends: whoever started this program and holds the other end is gone, however that came about.
    #[arg(long, env = "OSD_SIM_UNTIL_STDIN_ENDS", value_parser = FalseyValueParser::new())]
    pub(crate) until_stdin_ends: bool,
    /// How logs are written to stderr.
    #[arg(long, env = "OSD_SIM_LOG_FORMAT", value_enum, default_value = "plain")]
    pub(crate) log_format: LogFormat,
    #[command(flatten, next_help_heading = "Ceph's own clients")]
    pub(crate) ceph: Ceph,
    #[command(flatten, next_help_heading = "Times")]
    times: Times,
    #[command(flatten, next_help_heading = "Limits")]
    limits: Limits,
}

#[derive(Args, Debug)]
pub(crate) struct Ceph {
    /// Let Ceph's own clients in: where the monitor listens; port 0 = any free one. Off by default.
    #[arg(long = "ceph", env = "OSD_SIM_CEPH", value_name = "IP:PORT", value_parser = rpc::socket_address)]
    monitor: Option<SocketAddr>,
    /// Where the OSD listens for them [the monitor's IP, any free port].
    #[arg(long = "ceph-osd", env = "OSD_SIM_CEPH_OSD", value_name = "IP:PORT", requires = "monitor", value_parser = rpc::socket_address)]
    osd: Option<SocketAddr>,
    /// The IP that maps and configuration say instead of the one that is listened on; needed with 0.0.0.0 and [::].
    #[arg(long = "ceph-advertise", env = "OSD_SIM_CEPH_ADVERTISE", value_name = "IP", requires = "monitor")]
    advertise: Option<IpAddr>,
    /// Write a client's configuration to this file: CEPH_CONF=FILE is all that clients need.
    #[arg(long = "ceph-conf", env = "OSD_SIM_CEPH_CONF", value_name = "FILE", requires = "monitor")]
    pub(crate) conf_file: Option<PathBuf>,
    /// Connections to each of the monitor, the OSD and the manager; further ones wait [4096].
    #[arg(id = "ceph_connections_max", long = "ceph-connections-max", env = "OSD_SIM_CEPH_CONNECTIONS_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections_max: Option<u32>,
    /// How long a client may take until it has said who it is [10s].
    #[arg(long = "ceph-handshake-time-max", env = "OSD_SIM_CEPH_HANDSHAKE_TIME_MAX", value_name = "TIME", value_parser = span)]
    handshake_time_max: Option<Duration>,
    /// How long a client may take to read what it is sent [30s].
    #[arg(long = "ceph-write-time-max", env = "OSD_SIM_CEPH_WRITE_TIME_MAX", value_name = "TIME", value_parser = span)]
    write_time_max: Option<Duration>,
    /// Bytes of one frame [104857600].
    #[arg(long = "ceph-frame-bytes-max", env = "OSD_SIM_CEPH_FRAME_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(4096..))]
    frame_bytes_max: Option<u32>,
    /// Bytes of frames of all connections that have not arrived whole [268435456].
    #[arg(long = "ceph-arriving-bytes-max", env = "OSD_SIM_CEPH_ARRIVING_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(65_536..))]
    arriving_bytes_max: Option<u64>,
    /// Messages that wait for one client that does not read [1024].
    #[arg(long = "ceph-waiting-messages-max", env = "OSD_SIM_CEPH_WAITING_MESSAGES_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    waiting_messages_max: Option<u32>,
}

impl Ceph {
    fn config(&self) -> Option<CephConfig> {
        let mut config = CephConfig::on(self.monitor?);
        (config.osd, config.advertise) = (self.osd, self.advertise);
        let limits = &mut config.limits;
        set(&mut limits.connections_max, self.connections_max.map(|max| max as usize));
        set(&mut limits.handshake_time_max, self.handshake_time_max);
        set(&mut limits.write_time_max, self.write_time_max);
        set(&mut limits.frame_bytes_max, self.frame_bytes_max.map(|max| max as usize));
        set(&mut limits.arriving_bytes_max, self.arriving_bytes_max.map(|max| max as usize));
        set(&mut limits.waiting_messages_max, self.waiting_messages_max.map(|max| max as usize));
        Some(config)
    }
}

#[derive(Args, Debug)]
struct Times {
    /// How long a watch may be silent, unless it asks for its own time [30s].
    #[arg(long, env = "OSD_SIM_OSD_CLIENT_WATCH_TIMEOUT", value_name = "TIME", value_parser = span)]
    osd_client_watch_timeout: Option<Duration>,
    /// How long a watch lives whose connection is known to be gone [500ms].
    #[arg(long, env = "OSD_SIM_OSD_CLIENT_WATCH_GRACE", value_name = "TIME", value_parser = span)]
    osd_client_watch_grace: Option<Duration>,
    /// How long a notify waits for acks, unless it asks for its own time [30s].
    #[arg(long, env = "OSD_SIM_OSD_DEFAULT_NOTIFY_TIMEOUT", value_name = "TIME", value_parser = span)]
    osd_default_notify_timeout: Option<Duration>,
    /// How long a blocklist entry lasts, unless it asks for its own time [1h].
    #[arg(long, env = "OSD_SIM_MON_OSD_BLOCKLIST_DEFAULT_EXPIRE", value_name = "TIME", value_parser = span)]
    mon_osd_blocklist_default_expire: Option<Duration>,
    /// How long a session lives that has neither a stream nor a call [10m].
    #[arg(long, env = "OSD_SIM_OSD_CLIENT_SESSION_TIMEOUT", value_name = "TIME", value_parser = span)]
    osd_client_session_timeout: Option<Duration>,
}

#[derive(Args, Debug)]
struct Limits {
    /// Bytes that one op vector or notify carries, at most 16 MiB [16777216].
    #[arg(long, env = "OSD_SIM_PAYLOAD_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=16 << 20))]
    payload_bytes_max: Option<u64>,
    /// Ops in one vector [64].
    #[arg(long, env = "OSD_SIM_OPS_PER_VECTOR_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ops_per_vector_max: Option<u32>,
    /// Connections at a time; whoever comes then waits until one ends [4096].
    #[arg(long, env = "OSD_SIM_CONNECTIONS_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections_max: Option<u32>,
    /// Watches on one object [1024].
    #[arg(long, env = "OSD_SIM_WATCHES_PER_OBJECT_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    watches_per_object_max: Option<u32>,
    /// Watches of one session [16384].
    #[arg(long, env = "OSD_SIM_WATCHES_PER_SESSION_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    watches_per_session_max: Option<u32>,
    /// Notifies that wait for acks on one object [1024].
    #[arg(long, env = "OSD_SIM_PENDING_NOTIFIES_PER_OBJECT_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pending_notifies_per_object_max: Option<u32>,
    /// Ops of one session in flight [1024].
    #[arg(long, env = "OSD_SIM_IN_FLIGHT_OPS_PER_SESSION_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    in_flight_ops_per_session_max: Option<u32>,
    /// Bytes of replies that one op stream, or the unary calls of one connection, have not taken: what comes then waits
    /// [16777216].
    #[arg(long, env = "OSD_SIM_REPLY_BYTES_IN_FLIGHT_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    reply_bytes_in_flight_max: Option<u64>,
    /// Bytes of replies to all clients, Ceph's too, that are encoded and not taken: one above 4 KiB that has no room
    /// waits [33554432].
    #[arg(long, env = "OSD_SIM_ALL_REPLY_BYTES_IN_FLIGHT_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    all_reply_bytes_in_flight_max: Option<u64>,
    /// How long a client may take nothing of a reply that others wait for, before its connection is cut [10s].
    #[arg(long, env = "OSD_SIM_REPLY_STALL_TIME_MAX", value_name = "TIME", value_parser = span)]
    reply_stall_time_max: Option<Duration>,
    /// Bytes of one object [134217728].
    #[arg(long, env = "OSD_SIM_OBJECT_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    object_bytes_max: Option<u64>,
    /// Objects of one pool [256000000].
    #[arg(long, env = "OSD_SIM_OBJECTS_PER_POOL_MAX", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    objects_per_pool_max: Option<u64>,
    /// Bytes of data of one pool; what clones share counts for each [1099511627776].
    #[arg(long, env = "OSD_SIM_BYTES_PER_POOL_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    bytes_per_pool_max: Option<u64>,
    /// Xattrs and omap keys of one object [10000000].
    #[arg(long, env = "OSD_SIM_ENTRIES_PER_OBJECT_MAX", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    entries_per_object_max: Option<u64>,
    /// Bytes of the names and values of an object's xattrs and omap keys [1073741824].
    #[arg(long, env = "OSD_SIM_ENTRY_BYTES_PER_OBJECT_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    entry_bytes_per_object_max: Option<u64>,
    /// Holders of one lock at a time [1024].
    #[arg(long, env = "OSD_SIM_HOLDERS_PER_LOCK_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    holders_per_lock_max: Option<u32>,
    /// Events that wait for one watch stream before it is cut [16384].
    #[arg(long, env = "OSD_SIM_WATCH_QUEUE_EVENTS_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    watch_queue_events_max: Option<u32>,
    /// Bytes of the events that wait for one watch stream before it is cut [67108864].
    #[arg(long, env = "OSD_SIM_WATCH_QUEUE_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    watch_queue_bytes_max: Option<u64>,
    /// Bytes of all notifies that wait for acks, with the acks that came [67108864].
    #[arg(long, env = "OSD_SIM_PENDING_NOTIFY_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pending_notify_bytes_max: Option<u64>,
    /// Bytes of all that fault rules delay or hold: a request that would be more is EAGAIN [67108864].
    #[arg(long, env = "OSD_SIM_DELAYED_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    delayed_bytes_max: Option<u64>,
    /// Events that are kept for followers [100000].
    #[arg(long, env = "OSD_SIM_EVENTS_KEPT_MAX", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    events_kept_max: Option<u32>,
    /// Bytes of the events that are kept for followers [33554432].
    #[arg(long, env = "OSD_SIM_EVENT_BYTES_KEPT_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    event_bytes_kept_max: Option<u64>,
}

/// A duration that is not zero.
fn span(text: &str) -> Result<Duration, String> {
    let rule = "expected a time above 0 with its unit, like 30s, 500ms or 1h";
    match humantime::parse_duration(text) {
        Ok(span) if !span.is_zero() => Ok(span),
        Ok(_) => Err(rule.to_owned()),
        Err(error) => Err(format!("{error}; {rule}")),
    }
}

impl Serve {
    /// The preset, with what was asked for put over it.
    pub(crate) fn config(&self) -> Config {
        let mut config = match self.preset {
            None => Config::default(),
            Some(Preset::Ceph) => Config::ceph(),
            Some(Preset::Ci) => Config::ci(),
        };
        config.listen = self.listen;
        config.pools.clone_from(&self.pools);
        config.events_file.clone_from(&self.events);
        config.enable_faults = self.enable_faults;
        config.clock = match self.clock {
            Time::Real => Clock::Real,
            Time::Manual => Clock::manual(),
        };
        config.ceph = self.ceph.config();
        let times = &self.times;
        set(&mut config.osd_client_watch_timeout, times.osd_client_watch_timeout);
        if matches!(self.preset, Some(Preset::Ceph)) {
            config.osd_client_watch_grace = config.osd_client_watch_timeout;
        }
        set(&mut config.osd_client_watch_grace, times.osd_client_watch_grace);
        set(&mut config.osd_default_notify_timeout, times.osd_default_notify_timeout);
        set(&mut config.mon_osd_blocklist_default_expire, times.mon_osd_blocklist_default_expire);
        set(&mut config.osd_client_session_timeout, times.osd_client_session_timeout);
        self.limits.put_over(&mut config);
        config
    }
}

impl Limits {
    fn put_over(&self, config: &mut Config) {
        let limits = &mut config.limits;
        set(&mut limits.payload_bytes_max, self.payload_bytes_max);
        set(&mut limits.ops_per_vector_max, self.ops_per_vector_max);
        set(&mut limits.watches_per_object_max, self.watches_per_object_max);
        set(&mut limits.watches_per_session_max, self.watches_per_session_max);
        set(&mut limits.pending_notifies_per_object_max, self.pending_notifies_per_object_max);
        set(&mut limits.in_flight_ops_per_session_max, self.in_flight_ops_per_session_max);
        set(&mut limits.object_bytes_max, self.object_bytes_max);
        set(&mut limits.objects_per_pool_max, self.objects_per_pool_max);
        set(&mut limits.bytes_per_pool_max, self.bytes_per_pool_max);
        set(&mut limits.entries_per_object_max, self.entries_per_object_max);
        set(&mut limits.entry_bytes_per_object_max, self.entry_bytes_per_object_max);
        set(&mut limits.holders_per_lock_max, self.holders_per_lock_max);
        set(&mut config.connections_max, self.connections_max.map(|max| max as usize));
        set(&mut config.reply_bytes_in_flight_max, self.reply_bytes_in_flight_max.map(|max| max as usize));
        set(
            &mut config.all_reply_bytes_in_flight_max,
            self.all_reply_bytes_in_flight_max.map(|max| max as usize),
        );
        set(&mut config.reply_stall_time_max, self.reply_stall_time_max);
        set(&mut config.watch_queue_events_max, self.watch_queue_events_max.map(|max| max as usize));
        set(&mut config.watch_queue_bytes_max, self.watch_queue_bytes_max.map(|max| max as usize));
        set(&mut config.pending_notify_bytes_max, self.pending_notify_bytes_max.map(|max| max as usize));
        set(&mut config.delayed_bytes_max, self.delayed_bytes_max.map(|max| max as usize));
        set(&mut config.events_kept_max, self.events_kept_max.map(|max| max as usize));
        set(&mut config.event_bytes_kept_max, self.event_bytes_kept_max.map(|max| max as usize));
    }
}

fn set<T>(value: &mut T, asked_for: Option<T>) {
    if let Some(asked_for) = asked_for {
        *value = asked_for;
    }
}

#[cfg(test)]
mod tests;
