//! The command line.

use std::ffi::OsString;

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::FalseyValueParser, error::ErrorKind,
    parser::ValueSource,
};
use rpc::Address;

use crate::{report::Format, timing::Timing, verbs::Verb};

const AFTER_HELP: &str = "\
Images are named [POOL/]IMAGE[@SNAP]; without POOL it is the one of --pool.
The exit status is the number of the error: 0 ok, 2 ENOENT, 16 EBUSY, 17 EEXIST, 22 EINVAL
(also a name that is missing or malformed), 30 EROFS, 108 EBLOCKLISTED, 110 ETIMEDOUT, 125 ECANCELED
(Ctrl-C); 1 for a verb, an option or a value of an option that is not known.

Examples:
  export RBD_CLIENT_OSD=127.0.0.1:6800
  rbd-client create --size 1G vm
  rbd-client snap create vm@base
  rbd-client clone vm@base child
  rbd-client flatten child
  rbd-client export child - | sha256sum
  rbd-client serve child --listen 127.0.0.1:0";

/// A client of RADOS block devices: images, snapshots, clones, locks, and maintenance operations that are forwarded
/// to the owner of an image's exclusive lock.
#[derive(Debug, Parser)]
#[command(
    name = "rbd-client",
    version,
    after_help = AFTER_HELP,
    max_term_width = 120,
    next_help_heading = "Options of every verb"
)]
pub(crate) struct Options {
    /// Address of the OSD
    #[arg(long, env = "RBD_CLIENT_OSD", global = true, value_name = "HOST:PORT")]
    pub(crate) osd: Option<Address>,

    /// Pool of images that are named without one
    #[arg(long, short, env = "RBD_CLIENT_POOL", global = true, default_value = "rbd", value_name = "POOL")]
    pub(crate) pool: String,

    /// Name of this client in `status` and in the OSD's events; without it a random one
    #[arg(long, short, env = "RBD_CLIENT_NAME", global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Output of reports
    #[arg(long, env = "RBD_CLIENT_FORMAT", global = true, default_value = "plain")]
    pub(crate) format: Format,

    /// Break JSON and XML into lines
    #[arg(long, global = true)]
    pub(crate) pretty_format: bool,

    /// Do not show how far long work is
    #[arg(long, env = "RBD_CLIENT_NO_PROGRESS", global = true, value_parser = FalseyValueParser::new())]
    pub(crate) no_progress: bool,

    /// Format of the log on standard error; RUST_LOG chooses what is logged, e.g. RUST_LOG=librbd=debug
    #[arg(long, env = "RBD_CLIENT_LOG_FORMAT", global = true, default_value = "plain")]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) timing: Timing,

    #[command(flatten)]
    _of_ceph: CephOptions,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Options {
    /// The program's name comes first. Refuses --pool for a fault rule, which would be about all pools all the same.
    pub(crate) fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        let options = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let is_pool_given = matches.value_source("pool") == Some(ValueSource::CommandLine);
        if is_pool_given && options.verb.adds_fault_rule() {
            let text = "--pool names the pool of images; a fault rule is about all pools, or with --in-pool about some";
            return Err(command.error(ErrorKind::ArgumentConflict, text));
        }
        Ok(options)
    }
}

/// What `rbd` needs to find a cluster and to prove who it is: `--osd` says where, and nobody asks who.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of rbd that are taken without effect")]
struct CephOptions {
    /// Configuration file of a cluster
    #[arg(long, short, global = true, value_name = "FILE", hide_short_help = true)]
    conf: Option<String>,

    /// Name of a cluster
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    cluster: Option<String>,

    /// Name of a user
    // Not "id": that is a fault rule's.
    #[arg(
        id = "user_id",
        long = "id",
        alias = "user",
        global = true,
        value_name = "ID",
        hide_short_help = true
    )]
    user: Option<String>,

    /// Addresses of monitors
    #[arg(long = "mon_host", short, global = true, value_name = "HOSTS", hide_short_help = true)]
    mon_host: Option<String>,

    /// File with the secret key of a user
    #[arg(long, short = 'K', global = true, value_name = "FILE", hide_short_help = true)]
    keyfile: Option<String>,

    /// File with secret keys
    #[arg(long, short, global = true, value_name = "FILE", hide_short_help = true)]
    keyring: Option<String>,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Plain,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// clap takes the option for the verb's own then, here or there.
    #[test]
    fn no_verb_has_an_argument_by_the_name_of_an_option_of_every_verb() {
        fn check(command: &clap::Command, of_every_verb: &[String]) {
            for verb in command.get_subcommands() {
                for id in verb.get_arguments().map(|argument| argument.get_id().to_string()) {
                    assert!(!of_every_verb.contains(&id), "{}: {id}", verb.get_name());
                }
                check(verb, of_every_verb);
            }
        }
        let command = Options::command();
        let globals = command.get_arguments().filter(|argument| argument.is_global_set());
        let of_every_verb: Vec<_> = globals.map(|argument| argument.get_id().to_string()).collect();
        assert!(of_every_verb.contains(&"pool".to_owned()));
        check(&command, &of_every_verb);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_verb_says_what_it_does_and_shows_an_example() {
        fn check(command: &clap::Command) {
            for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
                assert!(verb.get_about().is_some(), "{} has no description", verb.get_name());
                if verb.has_subcommands() {
                    check(verb);
                } else {
                    let examples = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(examples.contains("rbd-client "), "{} has no example", verb.get_name());
                }
            }
        }
        check(&Options::command());
    }
}
