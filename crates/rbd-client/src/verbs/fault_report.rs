use proto::osd::v1 as wire;
use proto::osd::v1::fault_rule::Action as W;

use super::fault_rule::kinds;
use crate::report::{Column, Lines, Object, Report, Value, list, table};

/// A rule was added.
pub(super) struct Added {
    pub(super) id: u64,
}

/// What was held goes on.
pub(super) struct Released {
    pub(super) released: u64,
}

pub(super) struct Rules(Vec<Rule>);

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
        Some(wire::FaultDirection::Map) => "map",
        Some(wire::FaultDirection::Unspecified) | None => "",
    };
    Rule { id, direction, when: options(&rule), action: action(rule.action), matches, hits, held }
}

/// As `fault add` takes them, in quotes where a shell needs them. A seed without a probability, which only other programs write,
/// draws nothing and is left out.
fn options(rule: &wire::FaultRule) -> String {
    let when = rule.when.clone().unwrap_or_default();
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let gid = number(when.gid);
    let kind = kinds().find(|(field, _)| *field == when.payload_field);
    let (kind, field) = match kind {
        Some((_, name)) => (name.to_owned(), 0),
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
        ("later", number(rule.later)),
        ("probability", rule.probability.map(|p| p.to_string()).unwrap_or_default()),
        ("seed", rule.probability.map_or_else(String::new, |_| number(rule.seed))),
    ];
    let given = options.into_iter().filter(|(_, value)| !value.is_empty());
    // A value that looks like an option must hang on its own.
    let joint = |value: &str| if value.trim_start_matches('\'').starts_with('-') { '=' } else { ' ' };
    let words = given.map(|(name, value)| format!("--{name}{}{value}", joint(&value)));
    words.collect::<Vec<_>>().join(" ")
}

/// One word for a shell.
fn quoted(text: String) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,@%+=".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
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
        Some(W::OldMap(_)) => "old-map".to_owned(),
        None => String::new(),
    }
}

impl Report for Added {
    const ELEMENT: &'static str = "rule";

    fn value(&self) -> Value {
        Object::default().with("id", self.id).into()
    }

    fn plain(&self) -> Lines {
        Lines::default().line(format_args!("rule {}", self.id))
    }
}

impl Report for Released {
    const ELEMENT: &'static str = "held";

    fn value(&self) -> Value {
        Object::default().with("released", self.released).into()
    }

    fn plain(&self) -> Lines {
        Lines::default().line(format_args!("released {}", self.released))
    }
}

impl Report for Rules {
    const ELEMENT: &'static str = "rules";

    fn value(&self) -> Value {
        let fields = |rule: &Rule| {
            Object::default()
                .with("id", rule.id)
                .with("direction", rule.direction)
                .with("when", &rule.when)
                .with("action", &rule.action)
                .with("matches", rule.matches)
                .with("hits", rule.hits)
                .with("held", rule.held)
        };
        list("rule", self.0.iter().map(fields))
    }

    fn plain(&self) -> Lines {
        let rows = self.0.iter().map(|rule| {
            let counts = [rule.matches, rule.hits, rule.held].map(|count| count.to_string());
            let [matches, hits, held] = counts;
            let (id, direction) = (rule.id.to_string(), rule.direction.to_owned());
            [id, direction, rule.action.clone(), matches, hits, held, rule.when.clone()]
        });
        let headings = ["RULE", "DIRECTION", "ACTION", "MATCHES", "HITS", "HELD", "WHEN"];
        table(headings.map(Column::Left), rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_shown_beside_the_probability_that_it_is_for() {
        let rule = wire::FaultRule { seed: 5, ..Default::default() };
        assert_eq!(options(&rule), "");
        let rule = wire::FaultRule { probability: Some(0.5), ..rule };
        assert_eq!(options(&rule), "--probability 0.5 --seed 5");
    }

    #[test]
    fn a_pattern_that_begins_like_an_option_stays_a_value() {
        let shown = |object: &str| {
            let when = wire::FaultCondition { object: object.to_owned(), ..Default::default() };
            options(&wire::FaultRule { when: Some(when), ..Default::default() })
        };
        assert_eq!(shown("-x"), "--object=-x");
        assert_eq!(shown("--op*"), "--object='--op*'");
        assert_eq!(shown("x-"), "--object x-");
    }

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        for (text, word) in [("rbd_data.1", "rbd_data.1"), ("lock.*", "'lock.*'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(text.to_owned()), word);
        }
    }
}
