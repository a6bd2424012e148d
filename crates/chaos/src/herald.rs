//! Says HeaderUpdate in the place of an owner that could not.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use harness::{cluster::Preset, osd::POOL, words::header_update};
use proto::osd::v1::{
    Event, FaultCondition, FaultDirection, FaultHold, FaultRule, ReleaseHeldRequest, fault_rule::Action,
};
use rados::{Config, Rados};
use rpc::Network;

use crate::stage::Stage;

/// How long watchers are waited for: some are frozen or cut off.
const ACKS_BOUND: Duration = Duration::from_millis(200);
/// Longer than any round.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// librbd takes the lock without a look at the header, and trusts that it was told of each change. An owner that dies between its commit
/// and its HeaderUpdate has told nobody; the next librbd writes by the old header, into a snapshot or over a flatten (docs/hazards.md, 11).
/// So each librbd hears that it has the lock only when everybody has been told what a lost owner may have left untold.
pub struct Herald {
    stage: Arc<Stage>,
    /// They hold the answers by which a librbd has the lock.
    rules: Vec<u64>,
    /// Event up to which nothing is untold.
    told: u64,
}

impl Herald {
    /// Nobody has been lost yet.
    pub async fn start(stage: Arc<Stage>) -> Result<Self> {
        let told = stage.cluster.log.last();
        let mut herald = Self { stage, rules: Vec::new(), told };
        for name in herald.stage.librbd() {
            let rule = herald.stage.add_rule(holding(&name, &herald.stage.header)).await?;
            herald.rules.push(rule);
        }
        Ok(herald)
    }

    /// Tells, over and over, until it is dropped.
    pub async fn run(&mut self) -> Result<()> {
        let mut seen = self.told;
        loop {
            let rules = &self.rules;
            let log = &self.stage.cluster.log;
            let held =
                log.wait_for(seen, FOREVER, "a librbd that has the lock", |event| by(rules, event).is_some());
            let held = held.await?;
            seen = held.sequence;
            self.tell().await?;
            if let Some(id) = by(&self.rules, &held) {
                let release = ReleaseHeldRequest { id };
                self.stage.cluster.faults().release_held(release).await.context("letting a librbd go on")?;
            }
        }
    }

    /// Says what is untold until nothing is: another owner may be lost meanwhile.
    async fn tell(&mut self) -> Result<()> {
        loop {
            let newest = self.stage.cluster.log.catch_up().await?;
            let header = &self.stage.header;
            let is_untold =
                self.stage.cluster.log.after(self.told).iter().any(|event| leaves_untold(event, header));
            self.told = newest;
            if !is_untold {
                return Ok(());
            }
            announce(&self.stage).await?;
        }
    }

    /// From here on nobody is lost.
    pub async fn leave(mut self) -> Result<()> {
        self.tell().await?;
        for rule in &self.rules {
            self.stage.remove_rule(*rule).await?;
        }
        Ok(())
    }
}

/// Holds the answers by which the client of this name has the lock.
fn holding(client: &str, header: &str) -> FaultRule {
    FaultRule {
        when: Some(FaultCondition {
            direction: FaultDirection::Reply.into(),
            client: client.replace(' ', "-"),
            object: header.to_owned(),
            op: "lock.lock".to_owned(),
            ..FaultCondition::default()
        }),
        action: Some(Action::Hold(FaultHold {})),
        ..FaultRule::default()
    }
}

/// The one of these rules that has struck here.
fn by(rules: &[u64], event: &Event) -> Option<u64> {
    let name = event.detail.strip_prefix("rule ").filter(|_| event.kind == "fault")?.split_once(':')?.0;
    rules.iter().copied().find(|rule| rule.to_string() == name)
}

/// Whether an owner may have committed and told nobody: it has lost its lock, or its notify was refused on purpose.
fn leaves_untold(event: &Event, header: &str) -> bool {
    event.object == header
        && (event.kind == "lock_broken"
            || event.kind == "fault" && !event.error.is_empty() && event.detail.ends_with(" notify"))
}

async fn announce(stage: &Stage) -> Result<()> {
    let constants = match stage.setting.preset {
        Preset::Ceph | Preset::Default => Config::ceph(),
        Preset::Ci => Config::ci(),
    };
    let config = Config { client_name: "herald".to_owned(), ..constants };
    let network = Network::tcp(config.silence_max);
    let rados = Rados::connect(network, stage.cluster.address.clone(), config).await;
    let rados = rados.context("connecting the herald")?;
    let told = rados.io_ctx(POOL).await?.notify(&stage.header, header_update(), ACKS_BOUND).await;
    rados.shutdown().await;
    told.map(drop).context("telling that the header changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, object: &str, error: &str, detail: &str) -> Event {
        let text = str::to_owned;
        Event {
            kind: text(kind),
            object: text(object),
            error: text(error),
            detail: text(detail),
            ..Event::default()
        }
    }

    #[test]
    fn a_broken_lock_and_a_refused_notify_leave_something_untold() {
        let is_untold = |kind, object, error, detail| leaves_untold(&event(kind, object, error, detail), "h");
        assert!(is_untold("lock_broken", "h", "", "rbd_lock 'auto 1' by client 2"));
        assert!(is_untold("fault", "h", "EIO", "rule 2: error request notify"));
        assert!(!is_untold("lock_broken", "another", "", ""));
        assert!(!is_untold("fault", "h", "", "rule 2: delay request notify"));
        assert!(!is_untold("fault", "h", "EIO", "rule 2: error request lock.unlock"));
        assert!(!is_untold("unlock", "h", "", ""));
    }

    #[test]
    fn a_rule_is_known_by_its_whole_number() {
        let fault = |detail| event("fault", "h", "", detail);
        assert_eq!(by(&[1, 12], &fault("rule 12: hold reply lock.lock")), Some(12));
        assert_eq!(by(&[1, 2], &fault("rule 12: hold reply lock.lock")), None);
        assert_eq!(by(&[1], &event("lock", "h", "", "rule 1: hold reply lock.lock")), None);
    }

    #[test]
    fn only_the_answer_to_one_librbd_on_one_image_is_held() {
        let when = holding("client 2", "h").when.unwrap();
        assert_eq!(
            (when.client.as_str(), when.object.as_str(), when.op.as_str()),
            ("client-2", "h", "lock.lock")
        );
        assert_eq!(when.direction(), FaultDirection::Reply);
    }
}
