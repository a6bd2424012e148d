//! Makes a plan that fails smaller, so that a person can read it.

use crate::plan::Plan;
use crate::run::Player;

/// Schedules that are tried with each smaller plan, the plan's own first: what is left out shifts everything after it.
const SCHEDULES: u64 = 12;
/// Plans that are played at most.
const PLAYS_MAX: u64 = 3_000;

/// The smallest plan that was found on the way which still breaks the rule that this one breaks first. Clients, calls, faults and
/// peculiarities of the world are left out one after the other until nothing more can be, or as many plans were played as may be. `tried` hears of each plan that was played.
/// `None`: the plan breaks none.
pub fn minimise(plan: &Plan, mut tried: impl FnMut()) -> Option<Plan> {
    let mut player = Player::default();
    let rule = broken_first(&mut player, plan)?;
    let mut smallest = plan.clone();
    let mut place = 0;
    let mut plays = 0;
    let mut tried = || {
        plays += 1;
        tried();
        plays < PLAYS_MAX
    };
    // One that was left out shifts the next to its place.
    while let Some(smaller) = without(&smallest, place) {
        match still_breaks(&mut player, &smaller, &rule, &mut tried) {
            Some(found) => smallest = found,
            None => place += 1,
        }
    }
    Some(smallest)
}

fn still_breaks(
    player: &mut Player,
    plan: &Plan,
    rule: &str,
    may_play: &mut impl FnMut() -> bool,
) -> Option<Plan> {
    (0..SCHEDULES).take_while(|_| may_play()).find_map(|shift| {
        let plan = Plan { schedule: plan.schedule.wrapping_add(shift), ..plan.clone() };
        (broken_first(player, &plan).as_deref() == Some(rule)).then_some(plan)
    })
}

/// What comes before the details of a violation: the rule's name.
fn broken_first(player: &mut Player, plan: &Plan) -> Option<String> {
    let violations = player.play(plan, false).violations;
    violations.first().map(|violation| violation.split(':').next().unwrap_or(violation).to_owned())
}

/// The plan without the part at this place; `None` behind the last.
fn without(plan: &Plan, place: usize) -> Option<Plan> {
    let mut place = place;
    let mut smaller = plan.clone();
    let simplifications: [fn(&mut Plan); 6] = [
        |plan| plan.striping = None,
        |plan| plan.copy_on_read = false,
        |plan| plan.latency_ms_max = 0,
        |plan| plan.durable_ms_max = 0,
        |plan| plan.filled.clear(),
        |plan| plan.deep_flatten = true,
    ];
    if place < plan.faults.len() {
        smaller.faults.remove(place);
        return Some(smaller);
    }
    place -= plan.faults.len();
    // A client without calls keeps its number, which faults name.
    if place < plan.clients.len() {
        smaller.clients[place].clear();
        return Some(smaller);
    }
    place -= plan.clients.len();
    for steps in &mut smaller.clients {
        if place < steps.len() {
            steps.remove(place);
            return Some(smaller);
        }
        place -= steps.len();
    }
    simplifications.get(place).map(|simplify| {
        simplify(&mut smaller);
        smaller
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_part_of_a_plan_can_be_left_out_by_itself() {
        let plan = Plan::draw(3);
        let smaller: Vec<Plan> = (0..).map_while(|place| without(&plan, place)).collect();
        let steps: usize = plan.clients.iter().map(Vec::len).sum();
        assert_eq!(smaller.len(), plan.faults.len() + plan.clients.len() + steps + 6);
        let parts = |plan: &Plan| plan.faults.len() + plan.clients.iter().map(Vec::len).sum::<usize>();
        assert!(smaller.iter().all(|smaller| parts(smaller) <= parts(&plan)));
        let texts: BTreeSet<String> = smaller.iter().map(|plan| format!("{plan:?}")).collect();
        assert!(texts.len() > plan.faults.len() + steps, "they differ");
    }

    #[test]
    fn a_plan_that_breaks_nothing_is_not_made_smaller() {
        assert_eq!(minimise(&Plan::draw(1), || {}), None);
    }
}
