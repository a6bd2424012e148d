use osd::OpError;
use proto::osd::v1 as wire;
use rpc::faults::faults_server;
use tonic::{Request, Response, Status};

use super::FaultRules;
use super::wire::{listed, rule};
use crate::wire::status;

type Answer<T> = Result<Response<T>, Status>;

/// Service Faults.
pub(crate) struct FaultService(pub(crate) FaultRules);

fn answer<T>(reply: Result<T, OpError>) -> Answer<T> {
    reply.map(Response::new).map_err(status)
}

#[tonic::async_trait]
impl faults_server::Faults for FaultService {
    async fn add_rule(&self, request: Request<wire::AddRuleRequest>) -> Answer<wire::AddRuleReply> {
        let added = rule(request.into_inner().rule).and_then(|rule| self.0.add(rule));
        answer(added.map(|id| wire::AddRuleReply { id }))
    }

    async fn list_rules(&self, _request: Request<wire::ListRulesRequest>) -> Answer<wire::ListRulesReply> {
        let rules = self.0.list();
        answer(rules.map(|rules| wire::ListRulesReply { rules: rules.into_iter().map(listed).collect() }))
    }

    async fn remove_rule(&self, request: Request<wire::RemoveRuleRequest>) -> Answer<wire::RemoveRuleReply> {
        answer(self.0.remove(request.into_inner().id).map(|()| wire::RemoveRuleReply {}))
    }

    async fn reset_rules(&self, _request: Request<wire::ResetRulesRequest>) -> Answer<wire::ResetRulesReply> {
        answer(self.0.reset().map(|()| wire::ResetRulesReply {}))
    }

    async fn release_held(
        &self,
        request: Request<wire::ReleaseHeldRequest>,
    ) -> Answer<wire::ReleaseHeldReply> {
        let id = request.into_inner().id;
        let released = self.0.release((id != 0).then_some(id));
        answer(released.map(|released| wire::ReleaseHeldReply { released: released as u64 }))
    }
}
