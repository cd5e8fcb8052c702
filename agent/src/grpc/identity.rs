//! `RuntimeHook` and `AgentIdentity`: containers, told and asked.

use std::sync::Arc;

use tetragon_api::tetragon::agent_identity_server::AgentIdentity;
use tetragon_api::tetragon::{
    ListContainersRequest, ListContainersResponse, RuntimeHookRequest, RuntimeHookResponse,
    runtime_hook_request,
};
use tonic::{Request, Response, Status};
use tracing::warn;

use super::Context;
use crate::identity::{CgroupId, HookError};

/// Our own service.
pub(super) struct Containers(Arc<Context>);

impl Containers {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

#[tonic::async_trait]
impl AgentIdentity for Containers {
    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        Ok(Response::new(self.0.store.list(request.get_ref())))
    }
}

/// Answers once store and kernel know. The few system calls that this takes are too short to be given to another
/// thread.
pub(super) fn runtime_hook(
    context: &Context,
    request: RuntimeHookRequest,
) -> Result<RuntimeHookResponse, Status> {
    let for_journal = context.journal.as_ref().map(|journal| (journal, request.clone()));
    match context.store.hook(request) {
        Ok(response) => {
            if let Some((journal, request)) = for_journal {
                match &request.event {
                    Some(runtime_hook_request::Event::RemoveContainer(gone)) => {
                        journal.forget(gone.container_id.clone());
                    }
                    // What is only announced would not be found again after a restart.
                    Some(runtime_hook_request::Event::CreateContainer(container))
                        if response.cgroup_id != 0 =>
                    {
                        // The reference's clients leave the id to us.
                        let id = Some(container.container_id.clone()).filter(|id| !id.is_empty());
                        let id = id.or_else(|| context.store.id_of_cgroup(CgroupId(response.cgroup_id)));
                        journal.keep(id.unwrap_or_default(), request);
                    }
                    _ => {}
                }
            }
            Ok(response)
        }
        Err(error) => {
            warn!(%error, "runtime hook refused");
            Err(status_of(&error))
        }
    }
}

fn status_of(error: &HookError) -> Status {
    match error {
        HookError::NoCgroup { .. } => Status::not_found(error.to_string()),
        _ => Status::invalid_argument(error.to_string()),
    }
}
