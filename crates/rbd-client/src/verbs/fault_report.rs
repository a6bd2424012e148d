use clap::ValueEnum;
use proto::osd::v1 as wire;
use proto::osd::v1::fault_rule::Action as W;
use serde::Serialize;

use super::fault_rule::Kind;
use crate::console::{Report, table};

/// A rule was added.
#[derive(Serialize)]
pub(super) struct Added {
    pub(super) id: u64,
}

/// What was held goes on.
#[derive(Serialize)]
pub(super) struct Released {
    pub(super) released: u64,
}

#[derive(Serialize)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Serialize)]
struct Rule {
    id: u64,
    direction: &'static str,
    /// The parts of the condition as options of `fault add`.
    when: String,
    action: String,
    matches: u64,
    hits: u64,
    held: u64,
}

impl Rules {
    pub(super) fn of(rules: Vec<wire::ListedFaultRule>) -> Self {
        Self(rules.into_iter().map(rule).collect())
    }
}

fn rule(listed: wire::ListedFaultRule) -> Rule {
    let wire::ListedFaultRule { id, rule, matches, hits, held } = listed;
    let rule = rule.unwrap_or_default();
    let direction = match rule.when.as_ref().map(wire::FaultCondition::direction) {
        Some(wire::FaultDirection::Request) => "request",
        Some(wire::FaultDirection::Reply) => "reply",
        Some(wire::FaultDirection::Notify) => "notify",
        Some(wire::FaultDirection::Ack) => "ack",
        Some(wire::FaultDirection::Unspecified) | None => "",
    };
    Rule { id, direction, when: options(&rule), action: action(rule.action), matches, hits, held }
}

/// As `fault add` takes them; patterns in quotes, for a shell.
fn options(rule: &wire::FaultRule) -> String {
    let when = rule.when.clone().unwrap_or_default();
    let quoted = |text: String| if text.contains(['*', '?', ' ']) { format!("'{text}'") } else { text };
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let gid = number(when.gid);
    let kind = Kind::of_field(when.payload_field).and_then(ValueEnum::to_possible_value);
    let (kind, field) = match kind {
        Some(kind) => (kind.get_name().to_owned(), 0),
        None => (String::new(), when.payload_field),
    };
    let prefix: String = when.payload_prefix.iter().map(|byte| format!("{byte:02x}")).collect();
    let options = [
        ("client", gid),
        ("client", quoted(when.client)),
        ("in-pool", quoted(when.pool)),
        ("object", quoted(when.object)),
        ("op", quoted(when.op)),
        ("notify", kind),
        ("payload-field", number(field.into())),
        ("payload-prefix", prefix),
        ("skip", number(rule.skip)),
        ("times", number(rule.times.unwrap_or(0))),
        ("probability", rule.probability.map(|p| p.to_string()).unwrap_or_default()),
        ("seed", number(rule.seed)),
    ];
    let given = options.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| format!("--{name} {value}")).collect::<Vec<_>>().join(" ")
}

fn action(action: Option<W>) -> String {
    match action {
        Some(W::Delay(wire::FaultDelay { delay_ms })) => format!("delay={delay_ms}ms"),
        Some(W::Drop(_)) => "drop".to_owned(),
        Some(W::Duplicate(wire::FaultDuplicate { delay_ms: 0 })) => "duplicate".to_owned(),
        Some(W::Duplicate(wire::FaultDuplicate { delay_ms })) => format!("duplicate={delay_ms}ms"),
        Some(W::Error(wire::FaultError { name })) => format!("error={name}"),
        Some(W::Hold(_)) => "hold".to_owned(),
        Some(W::Disconnect(_)) => "disconnect".to_owned(),
        Some(W::ExpireWatch(_)) => "expire-watch".to_owned(),
        Some(W::Blocklist(_)) => "blocklist".to_owned(),
        None => String::new(),
    }
}

impl Report for Added {
    fn plain(&self) -> String {
        format!("rule {}", self.id)
    }
}

impl Report for Released {
    fn plain(&self) -> String {
        format!("released {}", self.released)
    }
}

impl Report for Rules {
    fn plain(&self) -> String {
        let rows = self.0.iter().map(|rule| {
            let counts = [rule.matches, rule.hits, rule.held].map(|count| count.to_string());
            let [matches, hits, held] = counts;
            let (id, direction) = (rule.id.to_string(), rule.direction.to_owned());
            [id, direction, rule.action.clone(), matches, hits, held, rule.when.clone()]
        });
        table(["RULE", "DIRECTION", "ACTION", "MATCHES", "HITS", "HELD", "WHEN"], rows)
    }
}
