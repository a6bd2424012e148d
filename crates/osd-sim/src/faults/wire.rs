//! Fault rules on the wire.

use errno::Errno;
use osd::faults::{Action, Condition, Direction, Listed, Rule};
use osd::{Millis, OpError};
use proto::osd::v1 as wire;
use proto::osd::v1::fault_rule::Action as W;

use super::RuleInForce;

/// EINVAL for a rule without a part that it needs, or with one that is not known.
pub(super) fn rule(rule: Option<wire::FaultRule>) -> Result<Rule, OpError> {
    let rule = rule.ok_or_else(|| invalid("there is no rule in the request"))?;
    let when = rule.when.ok_or_else(|| invalid("when is missing: it has at least a direction"))?;
    let action = rule.action.ok_or_else(|| {
        invalid("the action is missing: one of delay, drop, duplicate, error, hold, disconnect, expire_watch, blocklist, old_map")
    })?;
    Ok(Rule {
        when: condition(when)?,
        skip: rule.skip,
        times: rule.times,
        later: rule.later,
        probability: rule.probability.unwrap_or(1.0),
        seed: rule.seed,
        action: self::action(action)?,
    })
}

fn condition(when: wire::FaultCondition) -> Result<Condition, OpError> {
    let wire::FaultCondition { direction, gid, client, pool, object, op, payload_prefix, payload_field } =
        when;
    Ok(Condition {
        direction: self::direction(direction)?,
        gid: (gid != 0).then_some(gid),
        client: given(client),
        pool: given(pool),
        object: given(object),
        op: given(op),
        payload_prefix,
        payload_field: (payload_field != 0).then_some(payload_field),
    })
}

fn direction(number: i32) -> Result<Direction, OpError> {
    use wire::FaultDirection as D;
    match D::try_from(number) {
        Ok(D::Request) => Ok(Direction::Request),
        Ok(D::Reply) => Ok(Direction::Reply),
        Ok(D::Notify) => Ok(Direction::Notify),
        Ok(D::Ack) => Ok(Direction::Ack),
        Ok(D::Map) => Ok(Direction::Map),
        Ok(D::Unspecified) | Err(_) => {
            Err(invalid(format!("direction {number}: it is 1 request, 2 reply, 3 notify, 4 ack or 5 map")))
        }
    }
}

fn action(action: W) -> Result<Action, OpError> {
    Ok(match action {
        W::Delay(wire::FaultDelay { delay_ms }) => Action::Delay(Millis(delay_ms)),
        W::Drop(wire::FaultDrop {}) => Action::Drop,
        W::Duplicate(wire::FaultDuplicate { delay_ms }) => Action::Duplicate(Millis(delay_ms)),
        W::Error(wire::FaultError { name }) => {
            let errno = Errno::from_name(&name).ok_or_else(|| {
                invalid(format!("errno '{name}': there is no error of that name, expected e.g. ENOSPC"))
            })?;
            Action::Error(errno)
        }
        W::Hold(wire::FaultHold {}) => Action::Hold,
        W::Disconnect(wire::FaultDisconnect {}) => Action::Disconnect,
        W::ExpireWatch(wire::FaultExpireWatch {}) => Action::ExpireWatch,
        W::Blocklist(wire::FaultBlocklist {}) => Action::Blocklist,
        W::OldMap(wire::FaultOldMap {}) => Action::OldMap,
    })
}

pub(super) fn listed(rule: RuleInForce) -> wire::ListedFaultRule {
    let RuleInForce { listed: Listed { id, rule, matches, hits }, held } = rule;
    let Rule { when, skip, times, later, probability, seed, action } = rule;
    let action = match action {
        Action::Delay(Millis(delay_ms)) => W::Delay(wire::FaultDelay { delay_ms }),
        Action::Drop => W::Drop(wire::FaultDrop {}),
        Action::Duplicate(Millis(delay_ms)) => W::Duplicate(wire::FaultDuplicate { delay_ms }),
        Action::Error(errno) => W::Error(wire::FaultError { name: errno.name().to_owned() }),
        Action::Hold => W::Hold(wire::FaultHold {}),
        Action::Disconnect => W::Disconnect(wire::FaultDisconnect {}),
        Action::ExpireWatch => W::ExpireWatch(wire::FaultExpireWatch {}),
        Action::Blocklist => W::Blocklist(wire::FaultBlocklist {}),
        Action::OldMap => W::OldMap(wire::FaultOldMap {}),
    };
    let probability = (probability < 1.0).then_some(probability);
    let rule = wire::FaultRule {
        when: Some(of_condition(when)),
        skip,
        times,
        later,
        probability,
        seed,
        action: Some(action),
    };
    wire::ListedFaultRule { id, rule: Some(rule), matches, hits, held: held as u64 }
}

fn of_condition(when: Condition) -> wire::FaultCondition {
    use wire::FaultDirection as D;
    let direction = match when.direction {
        Direction::Request => D::Request,
        Direction::Reply => D::Reply,
        Direction::Notify => D::Notify,
        Direction::Ack => D::Ack,
        Direction::Map => D::Map,
    };
    wire::FaultCondition {
        direction: direction.into(),
        gid: when.gid.unwrap_or(0),
        client: when.client.unwrap_or_default(),
        pool: when.pool.unwrap_or_default(),
        object: when.object.unwrap_or_default(),
        op: when.op.unwrap_or_default(),
        payload_prefix: when.payload_prefix,
        payload_field: when.payload_field.unwrap_or(0),
    }
}

/// An empty text = not given.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn invalid(text: impl Into<String>) -> OpError {
    OpError { errno: Errno::EINVAL, failed_op: None, text: format!("fault rule: {}", text.into()) }
}
