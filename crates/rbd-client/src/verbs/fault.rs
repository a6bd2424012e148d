use clap::{Args, Subcommand};
use proto::osd::v1 as wire;
use rpc::faults::faults_client::FaultsClient;
use tonic::transport::Channel;

use super::{
    fault_report::{Added, Released, Rules},
    fault_rule::Rule,
};
use crate::{failure::Failure, session::Session};

/// Faults on purpose, at an OSD that was started with --enable-faults.
#[derive(Debug, Subcommand)]
pub(crate) enum FaultVerb {
    Add(Box<FaultAdd>),
    Ls(FaultLs),
    Rm(FaultRm),
    Reset(FaultReset),
    Release(FaultRelease),
}

/// Delay, lose, repeat, refuse or hold what passes between clients and the OSD
#[derive(Args, Debug)]
#[command(
    after_help = "Rules are looked at in the order in which they were added; the first that fires decides. What each action does is told in \
docs/faults.md.

Examples:
  rbd-client fault add notify drop --client 4107 --notify async-complete --times 2
  rbd-client fault add request error=ENOSPC --op write --object 'rbd_data.*' --skip 10 --times 1
  rbd-client fault add request delay=200ms --op 'rbd.*' --probability 0.3 --seed 7
  rbd-client fault add reply disconnect --op lock.lock --times 1
  rbd-client fault add ack drop --notify request-lock
  rbd-client fault add reply error=EIO --client admin --op mon.osd_blocklist_add
  rbd-client fault add map hold --op osdmap"
)]
pub(crate) struct FaultAdd {
    #[command(flatten)]
    rule: Rule,
}

/// List the rules, what fitted them, how often they fired and what they hold
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client fault ls --format json")]
pub(crate) struct FaultLs {}

/// Take a rule away; what it held goes on
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client fault rm 1")]
pub(crate) struct FaultRm {
    /// Number of the rule
    #[arg(value_parser = rule_number)]
    id: u64,
}

/// Take every rule away; what was held goes on
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client fault reset")]
pub(crate) struct FaultReset {}

/// Let what is held go on; the rules stay
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client fault release\n  rbd-client fault release 1")]
pub(crate) struct FaultRelease {
    /// Number of the rule; without it, what all rules hold
    #[arg(value_parser = rule_number)]
    id: Option<u64>,
}

fn rule_number(text: &str) -> Result<u64, String> {
    let rule = || format!("'{text}' is not a rule's number, as `rbd-client fault ls` shows it");
    text.parse().map_err(|_| rule())
}

impl FaultVerb {
    pub(super) fn attempted(&self, _pool: &str) -> String {
        match self {
            Self::Add(_) => "fault add".to_owned(),
            Self::Ls(_) => "fault ls".to_owned(),
            Self::Rm(verb) => format!("fault rm {}", verb.id),
            Self::Reset(_) => "fault reset".to_owned(),
            Self::Release(verb) => {
                verb.id.map_or("fault release".to_owned(), |id| format!("fault release {id}"))
            }
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        session.until_interrupted(self.ask(session)).await
    }

    async fn ask(&self, session: &Session) -> Result<(), Failure> {
        let mut faults: FaultsClient<Channel> = FaultsClient::new(session.connector.channel().await?);
        match self {
            Self::Add(verb) => {
                let request = wire::AddRuleRequest { rule: Some(verb.rule.to_wire()) };
                let id = faults.add_rule(request).await?.into_inner().id;
                session.console.report(&Added { id })
            }
            Self::Ls(_) => {
                let rules = faults.list_rules(wire::ListRulesRequest {}).await?.into_inner().rules;
                session.console.report(&Rules::of(rules))
            }
            Self::Rm(verb) => {
                faults.remove_rule(wire::RemoveRuleRequest { id: verb.id }).await?;
                Ok(())
            }
            Self::Reset(_) => {
                faults.reset_rules(wire::ResetRulesRequest {}).await?;
                Ok(())
            }
            Self::Release(verb) => {
                let request = wire::ReleaseHeldRequest { id: verb.id.unwrap_or(0) };
                let released = faults.release_held(request).await?.into_inner().released;
                session.console.report(&Released { released })
            }
        }
    }
}
