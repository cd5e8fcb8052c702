//! `AgentStatus`: what the agent knows of itself.

use std::sync::Arc;

use prost_types::Timestamp;
use tetragon_api::tetragon::agent_status_server::AgentStatus;
use tetragon_api::tetragon::{
    Feature, GetStatusRequest, GetStatusResponse, HookLedger, IdentityStatus, RecordLedger, RingStatus,
};
use tetragon_bpf::records::{HookCounters, hook};
use tonic::{Request, Response};

use super::{Context, KernelView, policies};
use crate::cri::Resolver;
use crate::kernel;

/// The agent's version.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Names of the hooks, by number.
const HOOKS: [(u32, &str); hook::COUNT as usize] = [
    (hook::EXEC, "exec"),
    (hook::FORK, "fork"),
    (hook::EXIT, "exit"),
    (hook::DATA, "data"),
    (hook::CREDS, "creds"),
    (hook::CGROUP_MKDIR, "cgroup_mkdir"),
    (hook::CGROUP_RMDIR, "cgroup_rmdir"),
    (hook::POLICY, "policy"),
];

pub(super) struct Status(Arc<Context>);

impl Status {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

#[tonic::async_trait]
impl AgentStatus for Status {
    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, tonic::Status> {
        let context = &self.0;
        let failed = |error: kernel::KernelError| tonic::Status::internal(error.to_string());
        // What is consumed is read before what is submitted, so that their difference is never negative.
        let records = context.stats.records();
        let counters = context.kernel.ledger.hooks().map_err(failed)?;
        Ok(Response::new(GetStatusResponse {
            version: VERSION.to_owned(),
            kernel_release: kernel::release(),
            started: Some(Timestamp::from(context.started)),
            hooks: HOOKS.iter().map(|(number, name)| hook_row(context, *number, name, &counters)).collect(),
            rings: rings(&context.kernel, &counters, &records),
            records,
            sinks: context.fanout.ledgers(),
            process_table: Some(context.stats.table(|_| ())),
            scan: Some(context.stats.scan(|_| ())),
            features: features(&context.kernel),
            events_emitted: context.fanout.emitted(),
            identity: Some(IdentityStatus {
                cri: context.resolver.as_ref().map(Resolver::status),
                ..context.store.status()
            }),
            policy_events: Some(context.stats.policies(|_| ())),
            policies: policies::counts(&context.policies),
        }))
    }
}

pub(super) fn features(kernel: &KernelView) -> Vec<Feature> {
    let wire = |feature: &kernel::features::Feature| Feature {
        name: feature.name.to_owned(),
        enabled: feature.enabled,
        detail: feature.detail.clone(),
    };
    kernel.features.iter().map(wire).collect()
}

fn hook_row(context: &Context, number: u32, name: &str, counters: &[HookCounters]) -> HookLedger {
    let program = context.kernel.attached.iter().find(|program| program.hook == number);
    let attach = match program {
        Some(program) => program.label,
        None if number == hook::DATA => "inside exec",
        None if number == hook::POLICY => "hooks of policies",
        None => "not attached",
    };
    let Some(counted) = counters.get(number as usize) else { return HookLedger::default() };
    HookLedger {
        hook: name.to_owned(),
        attach: attach.to_owned(),
        entered: counted.entered,
        suppressed: counted.suppressed,
        reserve_failed: counted.reserve_failed,
        submitted: counted.submitted,
        skipped: program.and_then(kernel::sensor::Attached::skipped),
        ..HookLedger::default()
    }
}

fn rings(kernel: &KernelView, counters: &[HookCounters], records: &[RecordLedger]) -> Vec<RingStatus> {
    let of_ring = |name: &str| -> (&[u32], &[&str]) {
        if name == "events" {
            (&[hook::DATA, hook::POLICY], &["data", "policy"])
        } else {
            (
                &[hook::EXEC, hook::FORK, hook::EXIT, hook::CGROUP_MKDIR, hook::CGROUP_RMDIR],
                &["exec", "fork", "exit", "cgroup"],
            )
        }
    };
    let row = |gauge: &kernel::rings::RingGauge| {
        let (hooks, kinds) = of_ring(gauge.name);
        let sum = |value: fn(&HookCounters) -> u64| -> u64 {
            hooks.iter().filter_map(|hook| counters.get(*hook as usize)).map(value).sum()
        };
        let consumed =
            records.iter().filter(|row| kinds.contains(&row.kind.as_str())).map(|row| row.consumed).sum();
        let submitted = sum(|counted| counted.submitted);
        RingStatus {
            name: gauge.name.to_owned(),
            size_bytes: gauge.size_bytes.into(),
            used_bytes: gauge.used_bytes(),
            submitted,
            consumed,
            in_ring: submitted.saturating_sub(consumed),
            lost: sum(|counted| counted.reserve_failed),
        }
    };
    kernel.rings.iter().map(row).collect()
}
