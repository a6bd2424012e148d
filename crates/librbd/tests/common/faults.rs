//! What a test breaks at the OSD on purpose, and what the OSD has seen.
#![allow(dead_code, reason = "each test program uses its part")]

use errno::Errno;
use proto::osd::v1 as wire;
use proto::osd::v1::fault_rule::Action;
use rpc::osd::faults_client::FaultsClient;
use rpc::osd::osd_client::OsdClient;
use tonic::transport::Channel;

/// No request takes this long to arrive unless something hangs.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(40);

/// Which requests: pattern of an op, of a class's method or of a call; pattern of the object, empty = any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests<'a> {
    pub(crate) op: &'a str,
    pub(crate) object: &'a str,
}

impl Requests<'_> {
    fn condition(self) -> wire::FaultCondition {
        wire::FaultCondition {
            direction: wire::FaultDirection::Request.into(),
            op: self.op.to_owned(),
            object: self.object.to_owned(),
            ..wire::FaultCondition::default()
        }
    }
}

/// Every request with this op.
pub(crate) fn op(op: &str) -> Requests<'_> {
    Requests { op, object: "" }
}

/// An OSD that was started with faults enabled.
#[derive(Clone)]
pub(crate) struct Breakable(rpc::Address);

/// A request that the OSD does not look at until it is let go.
pub(crate) struct Held {
    osd: Breakable,
    rule: u64,
    since: u64,
}

impl Breakable {
    pub(crate) fn new(server: &osd_sim::Server) -> Self {
        Self(server.address())
    }

    /// For calls that are no client's.
    pub(crate) async fn channel(&self) -> Channel {
        rpc::Network::tcp(PATIENCE).connect(&self.0).await.unwrap()
    }

    /// What has happened after event number `after`.
    pub(crate) async fn events(&self, after: u64) -> Vec<wire::Event> {
        let mut osd = OsdClient::new(self.channel().await);
        let request = wire::EventsRequest { after, until_now: true };
        let mut stream = osd.events(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            events.push(event);
        }
        events
    }

    /// Number of the newest event.
    pub(crate) async fn now(&self) -> u64 {
        self.events(0).await.last().map_or(0, |event| event.sequence)
    }

    /// How many requests were broken after event number `after`.
    pub(crate) async fn faults_after(&self, after: u64) -> usize {
        self.events(after).await.iter().filter(|event| event.kind == "fault").count()
    }

    /// The next of these requests is refused.
    pub(crate) async fn refuse_next(&self, requests: Requests<'_>, errno: Errno) {
        self.refuse_after(0, requests, errno).await;
    }

    /// One of these requests is refused, after `skip` that are not.
    pub(crate) async fn refuse_after(&self, skip: u64, requests: Requests<'_>, errno: Errno) {
        let error = wire::FaultError { name: errno.name().to_owned() };
        self.add_rule(skip, requests.condition(), Action::Error(error)).await;
    }

    /// The next of these requests is held.
    pub(crate) async fn hold_next(&self, requests: Requests<'_>) -> Held {
        self.hold(0, requests.condition()).await
    }

    /// What fits is held once, after `skip` that are not.
    pub(crate) async fn hold(&self, skip: u64, when: wire::FaultCondition) -> Held {
        let since = self.now().await;
        let rule = self.add_rule(skip, when, Action::Hold(wire::FaultHold {})).await;
        Held { osd: self.clone(), rule, since }
    }

    /// The next of these is refused.
    pub(crate) async fn refuse_at(&self, when: wire::FaultCondition, errno: Errno) {
        let error = wire::FaultError { name: errno.name().to_owned() };
        self.add_rule(0, when, Action::Error(error)).await;
    }

    /// When the next of these passes, the watches of its client on the object expire.
    pub(crate) async fn expire_watch_at(&self, when: wire::FaultCondition) {
        self.add_rule(0, when, Action::ExpireWatch(wire::FaultExpireWatch {})).await;
    }

    /// Waits for an event after event number `after`, and gives it.
    pub(crate) async fn until(&self, after: u64, wanted: impl Fn(&wire::Event) -> bool) -> wire::Event {
        let mut osd = OsdClient::new(self.channel().await);
        let request = wire::EventsRequest { after, until_now: false };
        let mut events = osd.events(request).await.unwrap().into_inner();
        let waiting = async {
            loop {
                let event = events.message().await.unwrap().expect("the OSD goes on");
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the event comes")
    }

    /// What goes to data objects and comes back is late now and then. `seed` gives each rule its own.
    pub(crate) async fn delay_data(&self, seed: &mut impl FnMut() -> u64) {
        use wire::FaultDirection::{Reply, Request};
        // Long enough that whatever else happens can happen meanwhile: answers to writes, and reads of the parent for copy-ups.
        let long = [(Reply, "write", 200, 0.3), (Request, "sparse_read", 200, 0.05)];
        let short = [(Request, "", 5, 0.1), (Reply, "", 5, 0.1), (Request, "", 1, 0.3), (Reply, "", 1, 0.3)];
        let mut faults = FaultsClient::new(self.channel().await);
        for (direction, op, delay_ms, probability) in long.into_iter().chain(short) {
            let when = wire::FaultCondition {
                direction: direction.into(),
                op: op.to_owned(),
                object: "rbd_data.*".to_owned(),
                ..wire::FaultCondition::default()
            };
            let rule = wire::FaultRule {
                when: Some(when),
                probability: Some(probability),
                seed: seed(),
                action: Some(Action::Delay(wire::FaultDelay { delay_ms })),
                ..wire::FaultRule::default()
            };
            faults.add_rule(wire::AddRuleRequest { rule: Some(rule) }).await.unwrap();
        }
    }

    /// Nothing is broken any more.
    pub(crate) async fn mend(&self) {
        let mut faults = FaultsClient::new(self.channel().await);
        faults.reset_rules(wire::ResetRulesRequest {}).await.unwrap();
    }

    async fn add_rule(&self, skip: u64, when: wire::FaultCondition, action: Action) -> u64 {
        let rule = wire::FaultRule {
            when: Some(when),
            skip,
            times: Some(1),
            action: Some(action),
            ..wire::FaultRule::default()
        };
        let request = wire::AddRuleRequest { rule: Some(rule) };
        let mut faults = FaultsClient::new(self.channel().await);
        faults.add_rule(request).await.unwrap().into_inner().id
    }
}

impl Held {
    /// Waits until the request is at the OSD.
    pub(crate) async fn arrived(&self) {
        self.osd.until(self.since, |event| event.kind == "fault").await;
    }

    /// Gives everybody time to do what they should not do while the request is held.
    pub(crate) async fn dwell(&self) {
        for _ in 0..20 {
            self.osd.now().await;
        }
    }

    /// The OSD goes on with it.
    pub(crate) async fn let_go(self) {
        assert_eq!(self.release().await, 1, "one request was held");
    }

    /// The OSD goes on with what its client sent before it died; what went with the client's connection is gone.
    pub(crate) async fn let_go_of_the_dead(self) {
        self.release().await;
    }

    async fn release(&self) -> u64 {
        let mut faults = FaultsClient::new(self.osd.channel().await);
        let released = faults.release_held(wire::ReleaseHeldRequest { id: self.rule }).await.unwrap();
        released.into_inner().released
    }
}
