//! Every command that is known: its words and arguments, what it is for, and what carries it out.

use errno::Errno;
use serde_json::{Map, Value, json};

use super::{Answer, Call, Outcome, blocklist, cluster, maps, osd, pool, settings};
use crate::cluster::{Cluster, Refusal};

type Run<C> = fn(&mut Call<'_, C>) -> Outcome;

/// What carries a command out.
pub(super) fn find<C: Cluster>(prefix: &str) -> Option<Run<C>> {
    commands::<C>().into_iter().find(|command| command.prefix() == prefix).map(|command| command.run)
}

/// The words of every command that is known, as [`super::Request::words`] says them.
pub(crate) fn words<C: Cluster>() -> Vec<String> {
    let prefixes = commands::<C>().into_iter().map(|command| command.prefix());
    let of_fences = |prefix: String| match prefix.as_str() {
        "osd blocklist" => vec![format!("{prefix} add"), format!("{prefix} rm")],
        _ => vec![prefix],
    };
    prefixes.filter(|prefix| !prefix.starts_with("osd blacklist")).flat_map(of_fences).collect()
}

struct Command<C> {
    /// Its words, and its arguments as `name:Type`, with `?` where they may be missing, `*` where there may be many, and after
    /// `=` what may be chosen from.
    signature: &'static str,
    help: &'static str,
    run: Run<C>,
}

impl<C> Command<C> {
    fn prefix(&self) -> String {
        let words = self.signature.split(' ').take_while(|word| !word.contains(':'));
        words.collect::<Vec<_>>().join(" ")
    }

    /// As `ceph` wants it described.
    fn description(&self) -> Value {
        let part = |word: &'static str| match word.split_once(':') {
            None => json!(word),
            Some((name, kind)) => {
                let (kind, is_optional) = (kind.trim_end_matches('?'), kind.ends_with('?'));
                let mut argument = Map::new();
                argument.insert("name".to_owned(), json!(name));
                let (kind, choices) =
                    kind.split_once('=').map_or((kind, None), |(kind, all)| (kind, Some(all)));
                if let Some(choices) = choices {
                    argument.insert("strings".to_owned(), json!(choices));
                }
                argument.insert("type".to_owned(), json!(format!("Ceph{}", kind.trim_end_matches('*'))));
                if kind.ends_with('*') {
                    argument.insert("n".to_owned(), json!("N"));
                }
                if is_optional {
                    argument.insert("req".to_owned(), json!("false"));
                }
                Value::Object(argument)
            }
        };
        let parts: Vec<Value> = self.signature.split(' ').map(part).collect();
        json!({ "sig": parts, "help": self.help, "module": "mon", "perm": "rw", "flags": 0 })
    }
}

fn command<C>(signature: &'static str, help: &'static str, run: Run<C>) -> Command<C> {
    Command { signature, help, run }
}

#[rustfmt::skip]
fn commands<C: Cluster>() -> Vec<Command<C>> {
    vec![
        command("get_command_descriptions", "list available commands", descriptions),
        command("fsid", "show cluster FSID/UUID", cluster::fsid),
        command("status", "show cluster status", cluster::status),
        command("health detail:String?", "show cluster health", cluster::health),
        command("df detail:String?", "show cluster free space stats", cluster::df),
        command("versions", "check running versions of ceph daemons", cluster::versions),
        command("version", "show mon daemon version", cluster::version),
        command("features", "report of connected features", cluster::features),
        command("log level:Choices=debug|info|sec|warn|error? logtext:String*", "log supplied text to the monitor log", cluster::log),
        command("quorum_status", "report status of monitor quorum", maps::quorum_status),
        command("mon dump epoch:Int?", "dump formatted monmap", maps::mon_dump),
        command("mon stat", "summarize monitor status", maps::mon_stat),
        command("mon getmap epoch:Int?", "get monmap", maps::mon_getmap),
        command("mgr stat", "dump basic info about the mgr cluster state", maps::mgr_stat),
        command("mgr dump epoch:Int?", "dump the latest MgrMap", maps::mgr_dump),
        command("osd dump epoch:Int?", "print summary of OSD map", osd::dump),
        command("osd stat", "print summary of OSD map", osd::stat),
        command("osd ls epoch:Int?", "show all OSD ids", osd::ls),
        command("osd getmap epoch:Int?", "get OSD map", osd::getmap),
        command("osd getcrushmap epoch:Int?", "get CRUSH map", osd::getcrushmap),
        command("osd getmaxosd", "show largest OSD id", osd::getmaxosd),
        command("osd crush rule ls", "list crush rules", osd::crush_rule_ls),
        command("osd set-require-min-compat-client version:String yes_i_really_mean_it:Bool?", "set the minimum client version we will maintain compatibility with", osd::set_require_min_compat_client),
        command("osd lspools", "list pools", pool::lspools),
        command("osd pool ls detail:String?", "list pools", pool::ls),
        command("osd pool create pool:Poolname pg_num:Int? pgp_num:Int? pool_type:String? erasure_code_profile:String? rule:String? expected_num_objects:Int? size:Int?", "create pool", pool::create),
        command("osd pool rm pool:Poolname pool2:Poolname? yes_i_really_really_mean_it:Bool?", "remove pool", pool::remove),
        command("osd pool delete pool:Poolname pool2:Poolname? yes_i_really_really_mean_it:Bool?", "delete pool", pool::remove),
        command("osd pool rename srcpool:Poolname destpool:Poolname", "rename <srcpool> to <destpool>", pool::rename),
        command("osd pool get pool:Poolname var:Choices=all|size|min_size|pg_num|pgp_num|crush_rule|hashpspool|nodelete|nopgchange|nosizechange|write_fadvise_dontneed|noscrub|nodeep-scrub|use_gmt_hitset|fast_read|pg_autoscale_mode|bulk|compression_mode|compression_algorithm|compression_required_ratio|compression_max_blob_size|compression_min_blob_size|csum_type|scrub_min_interval|scrub_max_interval|target_size_bytes|target_size_ratio|pg_num_min|recovery_priority", "get pool parameter <var>", pool::get),
        command("osd pool set pool:Poolname var:String val:String yes_i_really_mean_it:Bool?", "set pool parameter <var> to <val>", pool::set),
        command("osd pool application enable pool:Poolname app:String yes_i_really_mean_it:Bool?", "enable use of an application <app> on pool <poolname>", pool::application_enable),
        command("osd pool application disable pool:Poolname app:String yes_i_really_mean_it:Bool?", "disables use of an application <app> on pool <poolname>", pool::application_disable),
        command("osd pool application set pool:Poolname app:String key:String value:String", "sets application <app> metadata key <key> to <value> on pool <poolname>", pool::application_set),
        command("osd pool application rm pool:Poolname app:String key:String", "removes application <app> metadata key <key> on pool <poolname>", pool::application_rm),
        command("osd pool application get pool:Poolname? app:String? key:String?", "get value of key <key> of application <app> on pool <poolname>", pool::application_get),
        command("osd blocklist ls", "show blocklisted clients", blocklist::ls),
        command("osd blocklist clear", "clear all blocklisted clients", blocklist::clear),
        command("osd blocklist blocklistop:String addr:EntityAddr expire:Float?", "add (optionally until <expire> seconds from now) or remove <addr> from blocklist", blocklist::change),
        command("osd blacklist ls", "show blacklisted clients", blocklist::ls),
        command("osd blacklist clear", "clear all blacklisted clients", blocklist::clear),
        command("osd blacklist blacklistop:String addr:EntityAddr expire:Float?", "add (optionally until <expire> seconds from now) or remove <addr> from blacklist", blocklist::change),
        command("config set who:String name:String value:String force:Bool?", "Set a configuration option for one or more entities", settings::set),
        command("config get who:String key:String?", "Show configuration option(s) for an entity", settings::get),
        command("config rm who:String name:String", "Clear a configuration option for one or more entities", settings::remove),
        command("config dump", "Show all configuration option(s)", settings::dump),
        command("config-key get key:String", "get <key>", settings::key_get),
        command("config-key set key:String val:String?", "set <key> to value <val>", settings::key_set),
        command("config-key rm key:String", "rm <key>", settings::key_remove),
        command("config-key exists key:String", "check for <key>'s existence", settings::key_exists),
        command("config-key ls", "list keys", settings::key_ls),
    ]
}

fn descriptions<C: Cluster>(_: &mut Call<'_, C>) -> Outcome {
    let described = commands::<C>().into_iter().skip(1).enumerate();
    let described = described.map(|(index, command)| (format!("cmd{index:03}"), command.description()));
    Ok(Answer::raw(Value::Object(described.collect()).to_string()))
}

/// EPERM, with what must be promised.
pub(super) fn promise(text: String) -> Refusal {
    Refusal::new(Errno::EPERM, text)
}
