use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use proto::osd::v1 as wire;
use proto::osd::v1::fault_rule::Action as W;

use crate::{
    client_name,
    duration::{millis, whole_milliseconds},
};

/// A rule as the command line has it.
#[derive(Args, Debug)]
pub(super) struct Rule {
    /// What it befalls: ops and calls on their way to the OSD or the monitor, their answers, notifies on their way to a watch, acks, or maps
    /// on their way to clients of the monitor
    direction: Direction,

    /// drop, hold, disconnect, expire-watch, blocklist, old-map, delay=TIME, duplicate[=TIME] or error=ERRNO
    action: Action,

    /// Only this client: client.GID, GID, or a pattern of the name it was started with
    #[arg(long, value_name = "CLIENT")]
    client: Option<Client>,

    /// Only objects of pools with such a name
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    in_pool: Option<String>,

    /// Only objects with such a name; * is any text, ? one character
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    object: Option<String>,

    /// Only op vectors with such an op: write, omap_set, rbd.set_parent, lock.*; or a call: notify, list_objects, mon.subscribe,
    /// mon.osd_pool_create; or such a map: osdmap
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    op: Option<String>,

    /// Only notifies of this kind between the clients of an image, or the acks to them
    #[arg(long, value_name = "KIND", conflicts_with = "payload_field", value_parser = kind())]
    notify: Option<u32>,

    /// Only notifies whose payload has this protobuf field first, or the acks to them; --notify by its number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    payload_field: Option<u32>,

    /// Only notifies whose payload begins with these bytes, or the acks to them
    #[arg(long, value_name = "HEX", value_parser = Prefix::from_str)]
    payload_prefix: Option<Prefix>,

    /// Let the first N matches pass
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,

    /// Fire for N matches at most; without it for every one
    #[arg(long, value_name = "N")]
    times: Option<u64>,

    /// Befall not the match but the N-th thing after it that goes the same way for the same client
    #[arg(long, value_name = "N", default_value_t = 0)]
    later: u64,

    /// How likely a match is befallen, above 0 and below 1; without it every one is
    #[arg(long, value_name = "P", value_parser = probability)]
    probability: Option<f64>,

    /// Of the draws for --probability: the same matches with the same seed give the same faults
    #[arg(long, value_name = "N", requires = "probability", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Direction {
    /// Ops and calls on their way to the OSD
    Request,
    /// Answers on their way to the client
    Reply,
    /// Notifies on their way to a watch
    Notify,
    /// A watch's answers to notifies
    Ack,
    /// Maps, the configuration and the log on their way to a client of the monitor
    Map,
}

/// The kinds of notifies, by Ceph's numbers from 0. rbd.v1.NotifyMessage has each that it knows as the field one above.
const KINDS: [&str; 21] = [
    "acquired-lock",
    "released-lock",
    "request-lock",
    "header-update",
    "async-progress",
    "async-complete",
    "flatten",
    "resize",
    "snap-create",
    "snap-remove",
    "rebuild-object-map",
    "snap-rename",
    "snap-protect",
    "snap-unprotect",
    "rename",
    "update-features",
    "migrate",
    "sparsify",
    "quiesce",
    "unquiesce",
    "metadata-update",
];

/// The kinds of notifies: the number that a rule has, and the name.
pub(super) fn kinds() -> impl Iterator<Item = (u32, &'static str)> {
    (1..).zip(KINDS)
}

fn kind() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(KINDS).map(|name| {
        kinds().find_map(|(field, known)| (known == name).then_some(field)).expect("it is one of them")
    })
}

#[derive(Clone, Debug, PartialEq)]
struct Action(W);

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let milliseconds = |value| whole_milliseconds(value).map(millis);
        Ok(Self(match (name, value) {
            ("drop", None) => W::Drop(wire::FaultDrop {}),
            ("hold", None) => W::Hold(wire::FaultHold {}),
            ("disconnect", None) => W::Disconnect(wire::FaultDisconnect {}),
            ("expire-watch", None) => W::ExpireWatch(wire::FaultExpireWatch {}),
            ("blocklist", None) => W::Blocklist(wire::FaultBlocklist {}),
            ("old-map", None) => W::OldMap(wire::FaultOldMap {}),
            ("delay", Some(span)) => W::Delay(wire::FaultDelay { delay_ms: milliseconds(span)? }),
            ("duplicate", None) => W::Duplicate(wire::FaultDuplicate { delay_ms: 0 }),
            ("duplicate", Some(span)) => W::Duplicate(wire::FaultDuplicate { delay_ms: milliseconds(span)? }),
            ("error", Some(errno)) => W::Error(wire::FaultError { name: errno.to_owned() }),
            _ => {
                return Err(format!(
                    "'{text}' is not an action: expected drop, hold, disconnect, expire-watch, blocklist, old-map, delay=TIME, \
                     duplicate[=TIME] or error=ERRNO"
                ));
            }
        }))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Client {
    Gid(u64),
    Named(String),
}

impl FromStr for Client {
    type Err = String;

    /// What is no number is a pattern of a name.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_number =
            text.strip_prefix("client.").unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
        if is_number { client_name::gid(text).map(Self::Gid) } else { Ok(Self::Named(text.to_owned())) }
    }
}

/// In the protocol an empty pattern is none; who writes one means something else.
fn pattern(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("'' is not a pattern: leave the option out, or write '*' for any".to_owned());
    }
    Ok(text.to_owned())
}

/// In the protocol 1 is as good as none, and a seed beside it draws nothing; who writes it means something else.
fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number > 0.0 && number < 1.0);
    number.ok_or_else(|| {
        format!(
            "'{text}' is not a probability: expected a number above 0 and below 1; without the option every match is befallen"
        )
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix(Vec<u8>);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || format!("'{text}' is not hexadecimal: expected two digits for each byte, e.g. 3204");
        let is_even = text.len().is_multiple_of(2) && !text.is_empty() && text.is_ascii();
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| rule());
        if is_even {
            (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Self)
        } else {
            Err(rule())
        }
    }
}

impl Rule {
    pub(super) fn to_wire(&self) -> wire::FaultRule {
        let direction = match self.direction {
            Direction::Request => wire::FaultDirection::Request,
            Direction::Reply => wire::FaultDirection::Reply,
            Direction::Notify => wire::FaultDirection::Notify,
            Direction::Ack => wire::FaultDirection::Ack,
            Direction::Map => wire::FaultDirection::Map,
        };
        let (gid, client) = match &self.client {
            None => (0, String::new()),
            Some(Client::Gid(gid)) => (*gid, String::new()),
            Some(Client::Named(name)) => (0, name.clone()),
        };
        let payload_prefix = self.payload_prefix.as_ref().map_or_else(Vec::new, |prefix| prefix.0.clone());
        let when = wire::FaultCondition {
            direction: direction.into(),
            gid,
            client,
            pool: self.in_pool.clone().unwrap_or_default(),
            object: self.object.clone().unwrap_or_default(),
            op: self.op.clone().unwrap_or_default(),
            payload_prefix: payload_prefix.into(),
            payload_field: self.notify.or(self.payload_field).unwrap_or(0),
        };
        let Self { skip, times, later, probability, seed, .. } = *self;
        wire::FaultRule {
            when: Some(when),
            skip,
            times,
            later,
            probability,
            seed,
            action: Some(self.action.0.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// Whoever adds a message to the protocol gives it the number and the name that librbd has for it.
    #[test]
    fn every_message_between_clients_has_a_kind() {
        let descriptors = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let files = descriptors.file.iter().filter(|file| file.package() == "rbd.v1");
        let message =
            files.flat_map(|file| &file.message_type).find(|message| message.name() == "NotifyMessage");
        for field in &message.unwrap().field {
            let (number, name) = (field.number() as u32, field.name().replace('_', "-"));
            assert!(kinds().any(|kind| kind == (number, &name)), "{name} {number}");
        }
        let words = |kind: &str| {
            kind.chars().fold(String::new(), |name, letter| match letter {
                'A'..='Z' if !name.is_empty() => name + "-" + &letter.to_lowercase().to_string(),
                letter => name + &letter.to_lowercase().to_string(),
            })
        };
        let librbd = ceph_wire::librbd::NotifyMessage::KINDS.iter().map(|kind| words(kind));
        assert_eq!(librbd.collect::<Vec<_>>(), KINDS);
    }

    #[test]
    fn actions_are_written_with_their_value() {
        assert_eq!("delay=1s".parse(), Ok(Action(W::Delay(wire::FaultDelay { delay_ms: 1000 }))));
        assert_eq!("duplicate".parse(), Ok(Action(W::Duplicate(wire::FaultDuplicate { delay_ms: 0 }))));
        for text in ["delay", "drop=1", "error", "explode", ""] {
            let error = text.parse::<Action>().expect_err(text);
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_delay_is_in_whole_milliseconds() {
        let error = "delay=1500us".parse::<Action>().expect_err("the half would be lost");
        assert!(error.contains("'1500us'") && error.contains("whole"), "{error}");
    }

    #[test]
    fn a_client_is_a_gid_or_a_pattern_of_a_name() {
        assert_eq!("client.4107".parse(), Ok(Client::Gid(4107)));
        assert_eq!("owner-*".parse(), Ok(Client::Named("owner-*".to_owned())));
        for text in ["", "0", "client.", "client.0", "99999999999999999999"] {
            let error = text.parse::<Client>().expect_err(text);
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_probability_leaves_both_outcomes_possible() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for text in ["0", "1", "1.0", "-0.5", "2", "NaN", "inf", "often"] {
            let error = probability(text).expect_err(text);
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_prefix_is_hexadecimal() {
        assert_eq!("32fF".parse(), Ok(Prefix(vec![0x32, 0xff])));
        for text in ["", "3", "3x", "üü"] {
            assert!(text.parse::<Prefix>().is_err_and(|error| error.contains("two digits")), "{text}");
        }
    }
}
