//! What rules of the OSD make of the network of a client that has no proxy: Ceph's maps say the same address of an OSD to everybody.

use std::time::Duration;

use proto::osd::v1::{
    FaultCondition, FaultDelay, FaultDirection, FaultDisconnect, FaultHold, FaultRule, fault_rule::Action,
};

use crate::nemesis::Fault;

/// What is asked of the monitor has none. A reset of that connection lets librbd ask once more for a snapshot id, each time for another one.
const ANY_OBJECT: &str = "?*";
const FROM_CLIENT: [FaultDirection; 2] = [FaultDirection::Request, FaultDirection::Ack];
const TO_CLIENT: [FaultDirection; 2] = [FaultDirection::Reply, FaultDirection::Notify];

/// Rules that break the network of whoever has this name; taken away, they let go what they have held, as TCP sends again what was lost.
/// Its connections stay, and what it asks the monitor passes.
pub fn rules(client: &str, fault: Fault, slow: Duration) -> Vec<FaultRule> {
    let hold = || Action::Hold(FaultHold {});
    let late = || Action::Delay(FaultDelay { delay_ms: u64::try_from(slow.as_millis()).unwrap_or(u64::MAX) });
    let both = || [FROM_CLIENT, TO_CLIENT].concat();
    let (directions, action) = match fault {
        Fault::Slow => (both(), late()),
        Fault::Mute => (FROM_CLIENT.to_vec(), hold()),
        Fault::Deaf => (TO_CLIENT.to_vec(), hold()),
        Fault::Reset => (vec![FaultDirection::Request], Action::Disconnect(FaultDisconnect {})),
        _ => (both(), hold()),
    };
    let rule = |direction: FaultDirection| FaultRule {
        when: Some(FaultCondition {
            direction: direction.into(),
            client: client.replace(' ', "-"),
            object: ANY_OBJECT.to_owned(),
            ..FaultCondition::default()
        }),
        action: Some(action.clone()),
        ..FaultRule::default()
    };
    directions.into_iter().map(rule).collect()
}

/// The order in which such rules are taken away. What a client is told goes on before what it is answered: it is to know of a change of the
/// header when it hears that it has the lock, as on one connection.
pub fn healing<T>(rules: Vec<T>) -> impl Iterator<Item = T> {
    rules.into_iter().rev()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_is_told_goes_on_before_what_it_is_answered() {
        for fault in [Fault::Cut, Fault::Deaf] {
            let healing = healing(rules("client 2", fault, Duration::ZERO));
            let directions: Vec<_> =
                healing.filter_map(|rule| Some(rule.when.as_ref()?.direction())).collect();
            let place = |direction| directions.iter().position(|of| *of == direction).unwrap();
            assert!(place(FaultDirection::Notify) < place(FaultDirection::Reply), "{fault}");
        }
    }

    #[test]
    fn what_is_asked_of_the_monitor_passes() {
        for fault in [Fault::Cut, Fault::Slow, Fault::Mute, Fault::Deaf, Fault::Reset] {
            for rule in rules("client 2", fault, Duration::ZERO) {
                assert_eq!(rule.when.map(|when| when.object), Some("?*".to_owned()), "{fault}");
            }
        }
    }

    #[test]
    fn a_cut_holds_both_ways_and_a_mute_one_holds_what_it_sends() {
        let directions = |fault| {
            let rules = rules("client 2", fault, Duration::ZERO);
            assert!(
                rules.iter().all(|rule| rule.when.as_ref().is_some_and(|when| when.client == "client-2"))
            );
            rules.iter().filter_map(|rule| Some(rule.when.as_ref()?.direction())).collect::<Vec<_>>()
        };
        assert_eq!(directions(Fault::Cut), [FROM_CLIENT, TO_CLIENT].concat());
        assert_eq!(directions(Fault::Mute), FROM_CLIENT);
        assert_eq!(directions(Fault::Deaf), TO_CLIENT);
    }
}
