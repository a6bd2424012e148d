//! What must be true in every state. Names in brackets are the invariants of ARCHITECTURE.md that each is part of.

use errno::Errno;

use crate::ask::PARENT_DATA;
use crate::client::{Client, Phase, ends_the_wait};
use crate::scenario::{Budget, Deed, Scenario};
use crate::world::{Action, World, name};

/// One property: what breaks it in a state, given what may happen next.
pub struct Property {
    /// In tables.
    pub name: &'static str,
    /// What must be true.
    pub what: &'static str,
    check: fn(&Scenario, &World, &[Action]) -> Option<String>,
}

impl Property {
    /// What breaks it in this state.
    pub fn broken_by(&self, scenario: &Scenario, world: &World, actions: &[Action]) -> Option<String> {
        (self.check)(scenario, world, actions)
    }
}

/// All of them.
pub const ALL: &[Property] = &[
    Property {
        name: "one-writer",
        what: "at most one client that is not fenced lets writes through, or has some on their way",
        check: one_writer,
    },
    Property {
        name: "exactly-once",
        what: "an operation happens once if its caller is told so, and never if it is told an error",
        check: exactly_once,
    },
    Property {
        name: "no-error",
        what: "a call of a client that is not fenced ends without an error",
        check: no_error,
    },
    Property {
        name: "no-deadlock",
        what: "from every state all calls that were made can come to their end",
        check: no_deadlock,
    },
    Property { name: "prompt", what: "where nothing broke no call waits for a timeout", check: prompt },
    Property {
        name: "no-lost-parent",
        what: "an image with a parent is in its list, and one without has all of its data",
        check: no_lost_parent,
    },
    Property {
        name: "image-bytes",
        what: "every object reads as the last write or discard left it; no parent data after a discard",
        check: image_bytes,
    },
    Property {
        name: "fence-spares-watchers",
        what: "nobody is fenced whose watch never expired",
        check: fence_spares_watchers,
    },
];

fn is_fenced(world: &World, it: &Client) -> bool {
    world.view.fenced.contains(&it.gid)
}

fn can_change(world: &World, it: &Client) -> bool {
    let is_coming = |id| it.is_alive || it.flying.contains(&id);
    let mut asked = it.asked.iter();
    let has_changes = asked.any(|asked| asked.ask.changes_data() && !asked.is_applied && is_coming(asked.id));
    !is_fenced(world, it) && (it.lets_writes_through() || has_changes)
}

fn one_writer(_: &Scenario, world: &World, _: &[Action]) -> Option<String> {
    let writers = world.clients.iter().enumerate().filter(|(_, it)| can_change(world, it));
    let writers: Vec<char> = writers.map(|(client, _)| name(client)).collect();
    (writers.len() > 1).then(|| format!("{writers:?} can change the image"))
}

fn exactly_once(_: &Scenario, world: &World, _: &[Action]) -> Option<String> {
    for (client, it) in world.clients.iter().enumerate() {
        for (index, call) in it.calls.iter().enumerate().filter(|(_, call)| call.deed.is_operation()) {
            let commits = world.history.commits[client][index];
            let has_happened = match call.deed {
                Deed::Flatten => world.history.is_flattened,
                _ => commits > 0,
            };
            let told = match call.phase {
                Phase::Ended(Ok(())) if !has_happened => "success, and it has not happened",
                Phase::Ended(Err(errno)) if commits > 0 && !leaves_open(errno) => {
                    "an error, and it has happened"
                }
                _ if commits > 1 => "nothing of it, but it has happened twice",
                _ => continue,
            };
            return Some(format!("{} is told {told}: {:?}, {:?}", name(client), call.deed, call.phase));
        }
    }
    None
}

/// Errors that promise nothing: a fenced client cannot look.
fn leaves_open(errno: Errno) -> bool {
    ends_the_wait(errno) || matches!(errno, Errno::EBLOCKLISTED | Errno::ENOTCONN)
}

fn no_error(_: &Scenario, world: &World, _: &[Action]) -> Option<String> {
    for (client, it) in world.clients.iter().enumerate().filter(|(_, it)| !is_fenced(world, it)) {
        for call in &it.calls {
            let Phase::Ended(Err(errno)) = call.phase else { continue };
            // An image that was flattened before the call cannot be.
            let is_late = call.deed == Deed::Flatten && errno == Errno::EINVAL && world.history.is_flattened;
            if !is_late {
                return Some(format!("{} is told {errno} of {:?}", name(client), call.deed));
            }
        }
    }
    None
}

fn waiting(world: &World) -> Option<String> {
    for (client, it) in world.clients.iter().enumerate().filter(|(_, it)| it.is_alive) {
        if let Some(call) = it.calls.iter().find(|call| call.is_under_way()) {
            let (phase, state) = (call.phase, it.lock_state());
            return Some(format!("{:?} of {} waits: {phase:?}, lock {state}", call.deed, name(client)));
        }
    }
    None
}

fn no_deadlock(_: &Scenario, world: &World, actions: &[Action]) -> Option<String> {
    if actions.iter().any(|action| action.moves()) { None } else { waiting(world) }
}

/// Nobody's call is under way.
pub fn is_at_rest(world: &World) -> bool {
    waiting(world).is_none()
}

fn prompt(scenario: &Scenario, world: &World, actions: &[Action]) -> Option<String> {
    let is_broken = world.budget != scenario.budget;
    let goes_on = actions.iter().any(|action| action.moves() && !action.is_timer());
    let living = || world.clients.iter().filter(|it| it.is_alive);
    let has_short_timer = living().any(|it| it.has_timer() && !it.has_long_timer());
    let is_pausing = living().any(|it| it.calls.iter().any(|call| call.phase == Phase::Pausing));
    if is_broken || goes_on || has_short_timer || is_pausing { None } else { waiting(world) }
}

fn no_lost_parent(_: &Scenario, world: &World, _: &[Action]) -> Option<String> {
    if world.view.has_parent && !world.view.is_listed {
        return Some("the image has a parent that does not know of it".to_owned());
    }
    let needs_parent = world.history.expected[0] == PARENT_DATA[0] && world.view.objects[0].is_none();
    (needs_parent && !world.view.has_parent)
        .then(|| "object 0 needs the parent, which is detached".to_owned())
}

fn image_bytes(_: &Scenario, world: &World, _: &[Action]) -> Option<String> {
    for (object, expected) in world.history.expected.iter().enumerate() {
        let of_parent = if world.view.has_parent && object == 0 { PARENT_DATA[0] } else { 0 };
        let seen = world.view.objects[object].unwrap_or(of_parent);
        if seen != *expected {
            let [seen, expected] = [seen, *expected].map(shown);
            return Some(format!("object {object} reads as {seen}, was left as {expected}"));
        }
    }
    None
}

fn shown(byte: u8) -> String {
    if byte == 0 { "zeros".to_owned() } else { format!("'{}'", char::from(byte)) }
}

/// Its own user's crash, a watch that expires and a connection that breaks are the causes.
fn fence_spares_watchers(scenario: &Scenario, world: &World, _: &[Action]) -> Option<String> {
    let Budget { crashes, expiries, cuts, .. } = scenario.budget;
    let nothing_expired =
        (crashes, expiries, cuts) == (world.budget.crashes, world.budget.expiries, world.budget.cuts);
    let fenced = world.clients.iter().position(|it| is_fenced(world, it));
    fenced.filter(|_| nothing_expired).map(|client| format!("{} is fenced", name(client)))
}
