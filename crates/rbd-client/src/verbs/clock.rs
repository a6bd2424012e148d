use std::{collections::BTreeSet, time::Duration};

use clap::{Args, Subcommand};
use clock::{Advance, PATIENCE, StepLimit};
use errno::Errno;
use futures_util::future::try_join_all;
use proto::clock::v1 as wire;
use rpc::{Address, Network, clock::clock_client::ClockClient};
use tokio::time::timeout;
use tonic::{Response, Status, transport::Channel};

use super::clock_report::{Advanced, Clocks};
use crate::{
    duration::{millis, some_milliseconds, whole_milliseconds},
    failure::Failure,
    session::Session,
};

/// How long a clock may take to answer beyond the patience of its step; real time.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Time that passes when it is told to, at programs that were started with --clock manual.
#[derive(Debug, Subcommand)]
pub(crate) enum ClockVerb {
    Advance(ClockAdvance),
    Show(ClockShow),
}

/// Let time pass at the OSD and at serving clients, in lockstep
#[derive(Args, Debug)]
#[command(
    after_help = "Time passes in steps of a ping interval: first at the OSD, which asks every client that watches for a sign of life, then \
at the clients, whose timers run. Who lives keeps his watch however much time passes; who does not answer is listed as silent, \
and his watches expire in their time. More in docs/clock.md.

Examples:
  rbd-client clock advance 30s
  rbd-client clock advance 10m --at 127.0.0.1:41235 --at 127.0.0.1:41236
  rbd-client clock advance 3s --step 100ms --at 127.0.0.1:41235"
)]
pub(crate) struct ClockAdvance {
    /// How much time passes, at most 24h
    #[arg(value_name = "TIME", value_parser = whole_milliseconds)]
    by: Duration,

    #[command(flatten)]
    at: At,

    /// After how much time the OSD and the clients take turns, below the timeouts of their watches; without it the shortest ping interval
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = some_milliseconds)]
    step: Option<Duration>,

    /// How long in real time a step waits for a sign of life, at most 60s [default: 1s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = some_milliseconds)]
    patience: Option<Duration>,
}

/// Show what time it is at the OSD and at serving clients
#[derive(Args, Debug)]
#[command(after_help = "Each clock counts from the start of its program. STEP is the ping interval.

Examples:
  rbd-client clock show
  rbd-client clock show --at 127.0.0.1:41235 --format json")]
pub(crate) struct ClockShow {
    #[command(flatten)]
    at: At,
}

/// Whose clock, beside that of the OSD.
#[derive(Args, Debug)]
struct At {
    /// Address of an `rbd-client serve --clock manual`; may be given more than once
    #[arg(long, value_name = "HOST:PORT")]
    at: Vec<Address>,
}

impl ClockVerb {
    pub(super) fn attempted(&self, _pool: &str) -> String {
        match self {
            Self::Advance(verb) => format!("clock advance {}", humantime::format_duration(verb.by)),
            Self::Show(_) => "clock show".to_owned(),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        session.until_interrupted(self.ask(session)).await
    }

    async fn ask(&self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Advance(verb) => session.console.report(&verb.advance(session).await?),
            Self::Show(verb) => {
                let mut clocks = verb.at.connect(session).await?;
                let shown = try_join_all(clocks.iter_mut().map(RemoteClock::show)).await?;
                session.console.report(&Clocks::of(shown))
            }
        }
    }
}

impl ClockAdvance {
    /// The OSD first in each step: it hears of every client before the client's own time goes on.
    async fn advance(&self, session: &Session) -> Result<Advanced, Failure> {
        let mut clocks = self.at.connect(session).await?;
        let advance = self.plan(&mut clocks).await?;
        let mut report = Advanced::default();
        for step in advance.steps() {
            let request = wire::AdvanceClockRequest {
                by_ms: millis(step),
                step_ms: 0,
                patience_ms: millis(advance.patience),
            };
            let Some((osd, clients)) = clocks.split_first_mut() else { break };
            let mut replies = vec![osd.advance(request).await?];
            replies.extend(try_join_all(clients.iter_mut().map(|client| client.advance(request))).await?);
            report = Advanced::of(replies);
        }
        Ok(report)
    }

    /// Nothing moves unless all clocks can.
    async fn plan(&self, clocks: &mut [RemoteClock]) -> Result<Advance, Failure> {
        let shown = try_join_all(clocks.iter_mut().map(RemoteClock::show)).await?;
        if let Some((address, _)) = shown.iter().find(|(_, clock)| !clock.manual) {
            let text = format!("the clock at {address} is real: start that program with --clock manual");
            return Err(Failure::new(Errno::EPERM, text));
        }
        self.check_step(&shown)?;
        let ping_interval = shown.iter().map(|(_, clock)| clock.step_ms).min().unwrap_or(0);
        let default = Duration::from_millis(ping_interval.max(1));
        // Each program divides a turn into steps of its own.
        let limit = StepLimit { rule: "", below: Duration::MAX, default };
        let [step_ms, patience_ms] = [self.step, self.patience].map(|span| span.map_or(0, millis));
        let advance = Advance::new(millis(self.by), step_ms, patience_ms, limit);
        advance.map_err(|rule| Failure::new(Errno::EINVAL, rule.to_string()))
    }

    /// In a turn the others' clocks stand still, so nobody's timeout passes within one.
    fn check_step(&self, shown: &[(Address, wire::GetClockReply)]) -> Result<(), Failure> {
        let Some(step) = self.step else { return Ok(()) };
        let Some((address, clock)) = shown.iter().find(|(_, clock)| millis(step) >= clock.step_below_ms)
        else {
            return Ok(());
        };
        let below = Duration::from_millis(clock.step_below_ms);
        let [step, below] = [step, below].map(humantime::format_duration);
        let text = format!(
            "--step {step}: a step is below {below} at {address}: after that time who is silent is given up"
        );
        Err(Failure::new(Errno::EINVAL, text))
    }
}

impl At {
    /// The clocks of the OSD and of these clients, in this order.
    async fn connect(&self, session: &Session) -> Result<Vec<RemoteClock>, Failure> {
        let osd = session.connector.address();
        let mut named = BTreeSet::from([osd.to_string()]);
        if let Some(again) = self.at.iter().find(|address| !named.insert(address.to_string())) {
            let text = format!("--at {again}: each clock is named once, and the OSD's is always among them");
            return Err(Failure::new(Errno::EINVAL, text));
        }
        let addresses = [osd].into_iter().chain(&self.at);
        try_join_all(addresses.map(RemoteClock::connect)).await
    }
}

/// The clock of another program.
struct RemoteClock {
    address: Address,
    stub: ClockClient<Channel>,
}

impl RemoteClock {
    async fn connect(address: &Address) -> Result<Self, Failure> {
        let connected = Network::tcp(ANSWER_MAX).connect(address).await;
        let channel = connected.map_err(|error| {
            let text = format!("{error}: is the program up? it prints its address when it starts");
            Failure::new(Errno::ENOTCONN, text).at(address)
        })?;
        Ok(Self { address: address.clone(), stub: ClockClient::new(channel) })
    }

    async fn show(&mut self) -> Result<(Address, wire::GetClockReply), Failure> {
        let asking = self.stub.get_clock(wire::GetClockRequest {});
        let reply = answer(&self.address, ANSWER_MAX, asking).await?;
        Ok((self.address.clone(), reply))
    }

    async fn advance(
        &mut self,
        request: wire::AdvanceClockRequest,
    ) -> Result<(Address, wire::AdvanceClockReply), Failure> {
        let patience = Duration::from_millis(request.patience_ms).max(PATIENCE);
        let asking = self.stub.advance_clock(request);
        let reply = answer(&self.address, patience + ANSWER_MAX, asking).await?;
        Ok((self.address.clone(), reply))
    }
}

/// The answer within a bound of real time; an error names who was asked.
async fn answer<T>(
    address: &Address,
    bound: Duration,
    asking: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    let Ok(answered) = timeout(bound, asking).await else {
        let text = format!("no answer within {bound:?}: leave a program that is frozen out of --at");
        return Err(Failure::new(Errno::ETIMEDOUT, text).at(address));
    };
    answered.map(Response::into_inner).map_err(|status| Failure::from(status).at(address))
}
