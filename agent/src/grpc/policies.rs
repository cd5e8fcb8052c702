//! The calls about policies and their sensors.

use std::collections::{BTreeMap, BTreeSet};

use tetragon_api::tetragon::*;
use tetragon_crds::policy::{Mode, PolicyName};
use tetragon_crds::{Origin, load};
use tonic::Status;

use crate::policies::Manager;
use crate::policies::engine::Figures;
use crate::policies::manager::{Entry, ManageError, State};

/// Messages of errors travel in headers, whose size clients limit.
const MESSAGE_BYTES: usize = 3 << 10;
/// So many errors of a policy are told, the others counted.
const ERRORS: usize = 10;
/// Where policies sent by clients are.
const GRPC: &str = "grpc";

fn message(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES {
        return text.to_owned();
    }
    format!("{}… (more is in the agent's log)", &text[..text.floor_char_boundary(MESSAGE_BYTES)])
}

fn status_of(error: &ManageError) -> Status {
    let text = message(&error.to_string());
    match error {
        ManageError::Exists(_) => Status::already_exists(text),
        ManageError::Unknown(_) => Status::not_found(text),
        ManageError::State { .. } | ManageError::FilterDisabled(_) | ManageError::Load { .. } => {
            Status::failed_precondition(text)
        }
        ManageError::Change { .. } => Status::internal(text),
    }
}

/// The name that a request means. A domain, if it names one, must be the policy's.
fn named(policies: &Manager, name: String, namespace: String, domain: &str) -> Result<PolicyName, Status> {
    if name.is_empty() {
        return Err(Status::invalid_argument("the request names no policy; give its name"));
    }
    let name = PolicyName { namespace: Some(namespace).filter(|it| !it.is_empty()), name };
    let elsewhere = !domain.is_empty() && policies.get(&name).is_some_and(|it| self::domain(&it) != domain);
    if elsewhere { Err(status_of(&ManageError::Unknown(name))) } else { Ok(name) }
}

pub(super) fn add(
    policies: &Manager,
    request: &AddTracingPolicyRequest,
) -> Result<AddTracingPolicyResponse, Status> {
    if !["", GRPC].contains(&request.domain.as_str()) {
        let text =
            format!("domain {:?}: clients can add policies to the domain {GRPC:?} only", request.domain);
        return Err(Status::invalid_argument(message(&text)));
    }
    let policy = load(&request.yaml, &Origin::Grpc).map_err(|errors| {
        tracing::warn!(%errors, "a policy sent by a client is refused");
        Status::invalid_argument(message(&errors.brief(ERRORS)))
    })?;
    policies.add(policy, request.replace).map_err(|error| status_of(&error))?;
    Ok(AddTracingPolicyResponse {})
}

pub(super) fn delete(
    policies: &Manager,
    request: DeleteTracingPolicyRequest,
) -> Result<DeleteTracingPolicyResponse, Status> {
    let name = named(policies, request.name, request.namespace, &request.domain)?;
    policies.delete(&name).map_err(|error| status_of(&error))?;
    Ok(DeleteTracingPolicyResponse {})
}

pub(super) fn enable(
    policies: &Manager,
    request: EnableTracingPolicyRequest,
) -> Result<EnableTracingPolicyResponse, Status> {
    let name = named(policies, request.name, request.namespace, &request.domain)?;
    policies.enable(&name).map_err(|error| status_of(&error))?;
    Ok(EnableTracingPolicyResponse {})
}

pub(super) fn disable(
    policies: &Manager,
    request: DisableTracingPolicyRequest,
) -> Result<DisableTracingPolicyResponse, Status> {
    let name = named(policies, request.name, request.namespace, &request.domain)?;
    policies.disable(&name).map_err(|error| status_of(&error))?;
    Ok(DisableTracingPolicyResponse {})
}

pub(super) fn configure(
    policies: &Manager,
    request: ConfigureTracingPolicyRequest,
) -> Result<ConfigureTracingPolicyResponse, Status> {
    let name = named(policies, request.name, request.namespace, &request.domain)?;
    let entry = policies.get(&name).ok_or_else(|| status_of(&ManageError::Unknown(name.clone())))?;
    // Before anything is changed: all of it or nothing.
    if let Some(wanted) = request.mode
        && wanted != i32::from(mode(&entry))
    {
        return Err(Status::failed_precondition(message(&format!(
            "the mode of tracing policy {name} cannot be changed while it is loaded; add it again, as a replacement, \
             with the option policy-mode"
        ))));
    }
    let done = match request.enable {
        Some(true) if entry.state != State::Enabled => policies.enable(&name),
        Some(false) if entry.state != State::Disabled => policies.disable(&name),
        _ => Ok(()),
    };
    done.map_err(|error| status_of(&error))?;
    Ok(ConfigureTracingPolicyResponse {})
}

pub(super) fn list(policies: &Manager, request: &ListTracingPoliciesRequest) -> ListTracingPoliciesResponse {
    let wanted =
        |entry: &&std::sync::Arc<Entry>| request.domain.is_empty() || request.domain == domain(entry);
    let all = policies.list();
    let policies = all.iter().filter(wanted).map(|entry| status(entry, request.verifier_logs)).collect();
    ListTracingPoliciesResponse { policies }
}

pub(super) fn domains(policies: &Manager) -> ListDomainsResponse {
    let domains: BTreeSet<&str> = policies.known().iter().map(|entry| domain(entry)).collect();
    ListDomainsResponse { domains: domains.into_iter().map(str::to_owned).collect() }
}

pub(super) fn sensors(policies: &Manager) -> ListSensorsResponse {
    let name = "__base__".to_owned();
    let mut sensors = vec![SensorStatus { collection: name.clone(), name, enabled: true }];
    for entry in policies.known() {
        sensors.extend(entry.sensors.iter().map(|name| SensorStatus {
            name: name.clone(),
            enabled: entry.state == State::Enabled,
            collection: entry.name.to_string(),
        }));
    }
    ListSensorsResponse { sensors }
}

/// How many policies there are in each state in which there are any.
pub(super) fn counts(policies: &Manager) -> Vec<PolicyCount> {
    let mut counts: BTreeMap<State, u64> = BTreeMap::new();
    for entry in policies.known() {
        *counts.entry(entry.state).or_default() += 1;
    }
    counts.into_iter().map(|(state, count)| PolicyCount { state: state.to_string(), count }).collect()
}

fn domain(entry: &Entry) -> &'static str {
    match entry.origin {
        Origin::File(_) => "static",
        Origin::Grpc => GRPC,
        Origin::Kubernetes => "k8s",
    }
}

fn mode(entry: &Entry) -> TracingPolicyMode {
    match entry.mode {
        Some(Mode::Enforce) => TracingPolicyMode::TpModeEnforce,
        Some(Mode::Monitor) => TracingPolicyMode::TpModeMonitor,
        None => TracingPolicyMode::TpModeMonitorOnly,
    }
}

fn wire_state(state: State) -> TracingPolicyState {
    match state {
        State::Loading => TracingPolicyState::TpStateLoading,
        State::Enabled => TracingPolicyState::TpStateEnabled,
        State::Disabled => TracingPolicyState::TpStateDisabled,
        State::LoadError => TracingPolicyState::TpStateLoadError,
        State::Error => TracingPolicyState::TpStateError,
        State::Unloading => TracingPolicyState::TpStateUnloading,
    }
}

fn status(entry: &Entry, verifier_log: bool) -> TracingPolicyStatus {
    TracingPolicyStatus {
        id: entry.id.0.into(),
        name: entry.name.name.clone(),
        namespace: entry.name.namespace.clone().unwrap_or_default(),
        info: String::new(),
        sensors: entry.sensors.clone(),
        enabled: entry.state == State::Enabled,
        filter_id: if entry.scoped { entry.id.0.into() } else { 0 },
        error: entry.error.clone(),
        state: wire_state(entry.state).into(),
        kernel_memory_bytes: entry.figures.map_or(0, |figures| figures.memory_bytes),
        mode: mode(entry).into(),
        stats: entry.figures.as_ref().map(stats),
        domain: domain(entry).to_owned(),
        hook_statuses: Vec::new(),
        verifier_log: if verifier_log { entry.verifier_log.clone() } else { String::new() },
        figures: entry.figures.as_ref().map(figures),
        warnings: entry.warnings.clone(),
        origin: entry.origin.to_string(),
    }
}

fn stats(figures: &Figures) -> TracingPolicyStats {
    TracingPolicyStats {
        action_counters: Some(TracingPolicyActionCounters {
            post: figures.posted,
            signal: figures.signals,
            r#override: figures.overridden,
            nopost: figures.suppressed,
            ..Default::default()
        }),
        selector_action_counters: Vec::new(),
    }
}

fn figures(figures: &Figures) -> TracingPolicyFigures {
    TracingPolicyFigures {
        matched: figures.matched,
        posted: figures.posted,
        suppressed: figures.suppressed,
        limited: figures.limited,
        lost: figures.lost,
        signals: figures.signals,
        signal_errors: figures.signal_errors,
        returns_missing: figures.returns_missing,
        returns_lost: figures.returns_lost,
        overridden: figures.overridden,
        skipped: figures.skipped,
    }
}

#[cfg(test)]
mod tests;
