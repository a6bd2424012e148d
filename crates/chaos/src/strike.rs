//! Carries out a nemesis, and takes it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use harness::proxy::Link;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    nemesis::{Fault, Nemesis, Role, StepFault},
    network, operator,
    seat::Seat,
    silent::SilentWatcher,
    stage::Stage,
    steps::Step,
    trap::{SetTrap, Trap},
};

/// What a slow link adds each way.
const SLOW: Duration = Duration::from_millis(50);
/// How often connections are closed while `reset` lasts.
const RESET_INTERVAL: Duration = Duration::from_millis(150);
const CLOSED_OVER_AND_OVER: &str = "its connections are closed, over and over";
/// How often it is looked whether somebody plays the role that is to be struck.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How long a call is under way before a librbd that could be in its way is asked whether it waits for anything.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// How often it is asked before it is believed: who has the lock and is at work waits for nothing only between two steps.
const STUCK_LOOKS: u32 = 4;
/// And how far apart.
const STUCK_INTERVAL: Duration = Duration::from_millis(250);

/// Breaks a stage.
pub struct Striker {
    stage: Arc<Stage>,
    /// Clients that are broken already, by name.
    broken: Mutex<BTreeSet<String>>,
    /// How many librbd clients were replaced because they did nothing any more.
    stuck: AtomicUsize,
}

/// What came of a strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// It was done and taken back.
    Done {
        /// When, by the history's clock.
        at_ms: u64,
    },
    /// Nobody played the role in time, or whoever did was broken already.
    Missed,
}

impl Striker {
    /// Nothing is broken yet.
    pub fn new(stage: Arc<Stage>) -> Self {
        Self { stage, broken: Mutex::default(), stuck: AtomicUsize::new(0) }
    }

    /// How many librbd clients were replaced because they did nothing any more.
    pub fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Replaces, over and over, every librbd that does nothing any more by itself, until it is dropped. That happens to the librbd that is
    /// shipped (docs/hazards.md, 10), at a real cluster as here, and it takes everybody with it, for its watch lives. It is told from
    /// one that the OSD owes an answer, or that waits for the lock in vain: there is nothing that it waits for, and all the while that
    /// somebody has been waiting it has had the lock; or it is fenced, and it is its own caller that waits.
    pub async fn replace_stuck(&self) -> Result<()> {
        let mut looks = interval(STUCK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut owner: Option<(u64, Instant)> = None;
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        loop {
            looks.tick().await;
            let lockers = self.stage.cluster.lock(&self.stage.header).await?.lockers;
            let now = lockers.first().map(|locker| locker.gid);
            if owner.map(|(gid, _)| gid) != now {
                owner = now.map(|gid| (gid, Instant::now()));
            }
            let owner = owner.filter(|(_, since)| since.elapsed() >= STUCK_AFTER).map(|(gid, _)| gid);
            let waiting = self.stage.recorder.waiting_for(STUCK_AFTER);
            for seat in self.stage.seats.iter().filter(|seat| seat.is_librbd()) {
                let Some(_claim) = self.claim(seat) else { continue };
                let gid = seat.gid();
                let is_in_the_way =
                    owner == Some(gid) && self.stage.seats.iter().any(|seat| waiting.contains(seat.name()));
                let is_lost =
                    waiting.contains(seat.name()) && self.stage.cluster.blocklist().await?.contains(&gid);
                let times = seen.entry(seat.name()).or_default();
                *times =
                    if (is_in_the_way || is_lost) && seat.awaits_nothing().await { *times + 1 } else { 0 };
                if *times == STUCK_LOOKS {
                    *times = 0;
                    self.stuck.fetch_add(1, Ordering::Relaxed);
                    self.stage.killed(seat.name(), "does nothing any more, and waits for nothing: SIGKILL");
                    seat.kill().await?;
                    replace(&self.stage, seat).await?;
                }
            }
        }
    }

    /// Carries out `nemesis` as soon as somebody plays its role, at most `patience` from here on, and takes it back after `lasts`. What
    /// is left open is drawn from `rng`.
    pub async fn strike(
        &self,
        nemesis: &Nemesis,
        rng: &mut Rng,
        patience: Duration,
        lasts: Duration,
    ) -> Result<Strike> {
        let (fault, role) = match nemesis {
            Nemesis::SilentWatcher => return self.silent_watcher(lasts).await,
            Nemesis::Client(fault, role) => (*fault, *role),
            Nemesis::Step(fault, role, step) => {
                let step = step.clone().unwrap_or_else(|| Step::draw(rng, *role));
                let trap = Trap::draw(rng, *fault, *role, step);
                return self.at_step(&trap, patience, lasts).await;
            }
        };
        let Some((seat, _claim)) = self.find(role, patience).await? else { return Ok(Strike::Missed) };
        let Some(lasts) = self.bearable(&seat, role, fault, lasts) else { return Ok(Strike::Missed) };
        let at_ms = self.stage.recorder.now_ms();
        befall(&self.stage, &seat, fault, lasts).await?;
        Ok(Strike::Done { at_ms })
    }

    /// How long it may last. A librbd without the lock that has lost its watch, and with it a HeaderUpdate, takes the lock and writes by the
    /// header that it knows, over a flatten, into a snapshot (docs/hazards.md, 11): it is left its watch.
    fn bearable(&self, seat: &Seat, role: Role, fault: Fault, lasts: Duration) -> Option<Duration> {
        if !seat.is_librbd() || role == Role::Owner || fault == Fault::Kill {
            return Some(lasts);
        }
        (fault != Fault::Reset).then(|| lasts.min(self.stage.constants.watch_timeout / 2))
    }

    /// Waits until somebody in the role takes the step.
    async fn at_step(&self, trap: &Trap, patience: Duration, lasts: Duration) -> Result<Strike> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let seat = match trap.role {
                Role::Operator => None,
                role => self.candidate(role).await?,
            };
            // Who is to die must come back before anything else befalls it: a client whose network is cut cannot start.
            let claim =
                seat.as_ref().filter(|_| trap.fault == StepFault::KillAt).map(|seat| self.claim(seat));
            let is_nobody = match &seat {
                Some(seat) => seat.is_librbd() && trap.is_too_much_for_librbd(),
                None => trap.role != Role::Operator,
            };
            if is_nobody || matches!(claim, Some(None)) {
                sleep(LOOK_INTERVAL).await;
                continue;
            }
            let is_librbd = seat.as_ref().is_some_and(|seat| seat.is_librbd());
            let trap = if is_librbd { trap.clone().with_what_follows() } else { trap.clone() };
            let set = trap.set(&self.stage, seat.map(|seat| seat.gid())).await?;
            if let Some(caught) = set.caught(deadline).await? {
                return self.spring(&trap, set, caught, lasts).await;
            }
        }
        Ok(Strike::Missed)
    }

    /// Somebody has taken the step.
    async fn spring(&self, trap: &Trap, set: SetTrap<'_>, caught: u64, lasts: Duration) -> Result<Strike> {
        let stage = &self.stage;
        let at_ms = stage.recorder.now_ms();
        match trap.fault {
            StepFault::KillAt => {
                let killed = self.kill_instance(trap, caught).await?;
                // What was held comes late: its sender is dead.
                set.remove().await?;
                sleep(lasts).await;
                if let Some(seat) = killed {
                    replace(stage, &seat).await?;
                }
            }
            StepFault::ErrorAt | StepFault::DelayAt => {
                stage.hampered(
                    &format!("{trap} for client {caught}"),
                    stage.constants.step_max() + trap.delay(),
                );
                sleep(lasts).await;
                set.remove().await?;
                sleep(trap.delay()).await;
                stage.mended("", &format!("{trap}: over"));
            }
        }
        Ok(Strike::Done { at_ms })
    }

    /// SIGKILL to whoever has this instance; the seat that is empty then.
    async fn kill_instance(&self, trap: &Trap, gid: u64) -> Result<Option<Arc<Seat>>> {
        let stage = &self.stage;
        if let Some(seat) = stage.seats.iter().find(|seat| seat.gids().contains(&gid)) {
            stage.killed(seat.name(), &format!("SIGKILL, {trap}"));
            seat.kill().await?;
            return Ok(Some(seat.clone()));
        }
        let events = stage.cluster.log.after(0);
        let begun = events.iter().find(|event| event.kind == "session_started" && event.gid == gid);
        if let Some(begun) = begun
            && let Some(client) = operator::client_of(&begun.detail)
        {
            let what = format!("SIGKILL, {trap}");
            if stage.operators.kill(&begun.detail, || stage.killed(&client, &what))? {
                stage.mended(&client, "it is gone");
            }
        }
        Ok(None)
    }

    async fn silent_watcher(&self, lasts: Duration) -> Result<Strike> {
        let stage = &self.stage;
        let at_ms = stage.recorder.now_ms();
        let watcher = SilentWatcher::start(stage).await?;
        stage.broken("", &format!("client {} watches and never acks", watcher.gid()));
        sleep(lasts).await;
        watcher.leave().await;
        stage.mended("", "the silent watcher left");
        Ok(Strike::Done { at_ms })
    }

    /// Looks for somebody in this role who is not broken yet.
    async fn find(&self, role: Role, patience: Duration) -> Result<Option<(Arc<Seat>, Claim<'_>)>> {
        let deadline = Instant::now() + patience;
        let mut looks = interval(LOOK_INTERVAL);
        while Instant::now() < deadline {
            looks.tick().await;
            if let Some(seat) = self.candidate(role).await?
                && let Some(claim) = self.claim(&seat)
            {
                return Ok(Some((seat, claim)));
            }
        }
        Ok(None)
    }

    async fn candidate(&self, role: Role) -> Result<Option<Arc<Seat>>> {
        let owner = self.stage.owner().await?;
        let is_owner = |seat: &Seat| owner.as_ref().is_some_and(|owner| owner.name() == seat.name());
        let mut others = self.stage.seats.iter().filter(|seat| !is_owner(seat));
        Ok(match role {
            Role::Owner => owner,
            Role::Requester => others.find(|seat| seat.is_requester()).cloned(),
            Role::Bystander => {
                others.find(|seat| !seat.is_requester() && !self.lock().contains(seat.name())).cloned()
            }
            // No seat is one.
            Role::Operator => None,
        })
    }

    /// Nothing else breaks this client until the result is dropped; `None` when something does already.
    fn claim(&self, seat: &Seat) -> Option<Claim<'_>> {
        let is_first = self.lock().insert(seat.name().to_owned());
        is_first.then(|| Claim { striker: self, name: seat.name().to_owned() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that one strike has for itself.
struct Claim<'a> {
    striker: &'a Striker,
    name: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.striker.lock().remove(&self.name);
    }
}

/// One fault of one client, from its begin to its end.
async fn befall(stage: &Stage, seat: &Seat, fault: Fault, lasts: Duration) -> Result<()> {
    match fault {
        Fault::Kill => {
            kill(stage, seat).await?;
            sleep(lasts).await;
            replace(stage, seat).await?;
        }
        Fault::Freeze => {
            freeze(stage, seat).await?;
            sleep(lasts).await;
            wake(stage, seat).await?;
        }
        // Every request of a librbd breaks its connection.
        Fault::Reset if !seat.is_librbd() => {
            stage.broken(seat.name(), CLOSED_OVER_AND_OVER);
            let until = Instant::now() + lasts;
            let mut resets = interval(RESET_INTERVAL);
            while Instant::now() < until {
                resets.tick().await;
                seat.reset().await?;
            }
            stage.mended(seat.name(), "its connections are left alone");
        }
        Fault::Cut | Fault::Slow | Fault::Mute | Fault::Deaf | Fault::Reset => {
            link(stage, seat, fault).await?;
            sleep(lasts).await;
            heal(stage, seat).await?;
        }
    }
    Ok(())
}

/// SIGKILL.
pub async fn kill(stage: &Stage, seat: &Seat) -> Result<()> {
    stage.killed(seat.name(), "SIGKILL");
    seat.kill().await
}

/// Another client sits down where one was killed.
pub async fn replace(stage: &Stage, seat: &Seat) -> Result<()> {
    let mut image = stage.image_name().await?;
    while let Err(error) = seat.fill(&stage.cluster, &image).await {
        // Somebody may have renamed it just then.
        let name = stage.image_name().await?;
        if name == image {
            return Err(error);
        }
        image = name;
    }
    stage.mended(seat.name(), "another client took its place");
    Ok(())
}

/// SIGSTOP.
pub async fn freeze(stage: &Stage, seat: &Seat) -> Result<()> {
    stage.broken(seat.name(), "SIGSTOP");
    seat.freeze().await
}

/// SIGCONT.
pub async fn wake(stage: &Stage, seat: &Seat) -> Result<()> {
    stage.mended(seat.name(), "SIGCONT");
    seat.wake().await
}

/// Breaks its network: cut, slow, mute or deaf.
pub async fn link(stage: &Stage, seat: &Seat, fault: Fault) -> Result<()> {
    let (link, what) = match fault {
        Fault::Slow => (Link::slow(SLOW), "its link is slow"),
        Fault::Mute => (Link::up_lost(), "what it sends is lost"),
        Fault::Deaf => (Link::down_lost(), "what is sent to it is lost"),
        Fault::Reset => (Link::default(), CLOSED_OVER_AND_OVER),
        _ => (Link::cut(), "is cut off from the OSD"),
    };
    stage.broken(seat.name(), what);
    if seat.is_librbd() {
        let mut rules = Vec::new();
        for rule in network::rules(seat.name(), fault, SLOW) {
            rules.push(stage.add_rule(rule).await.with_context(|| format!("{fault} for {}", seat.name()))?);
        }
        seat.ruled_by(rules);
    } else {
        seat.link(link);
    }
    Ok(())
}

/// Its network is whole again.
pub async fn heal(stage: &Stage, seat: &Seat) -> Result<()> {
    stage.mended(seat.name(), "its link is healed");
    if seat.is_librbd() {
        for rule in network::healing(seat.ruled_by(Vec::new())) {
            stage.remove_rule(rule).await?;
        }
    } else {
        seat.link(Link::default());
    }
    Ok(())
}
