//! `tetra status`: health in one line, then the ledger of what the agent saw, delivered and lost.

mod report;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use tetragon_api::json;
use tetragon_api::tetragon::{
    GetHealthStatusRequest, GetHealthStatusResponse, GetStatusRequest, GetStatusResponse, HealthStatusResult,
};
use tonic::Code;

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    let client = Client::new(global)?;
    let call = async || client.sensors().get_health(GetHealthStatusRequest::default()).await;
    let health = client.unary(call).await.or_explain(&client, "status error")?.into_inner();
    let call = async || client.agent_status().get_status(GetStatusRequest {}).await;
    let agent = match client.unary(call).await {
        Ok(response) => Some(response.into_inner()),
        // Another agent with the same interface: its health is all there is.
        Err(status) if status.code() == Code::Unimplemented => None,
        Err(status) => return Err(status).or_explain(&client, "status error"),
    };
    output::print(&match options.output {
        Format::Text => text(&health, agent.as_ref()),
        Format::Json => as_json(&health, agent.as_ref()),
    })?;
    if health.health_status.iter().any(|it| it.status() != HealthStatusResult::HealthStatusRunning) {
        bail!("the agent is not healthy");
    }
    Ok(())
}

fn text(health: &GetHealthStatusResponse, agent: Option<&GetStatusResponse>) -> String {
    let mut text = String::new();
    for status in &health.health_status {
        text.push_str(&format!("Health Status: {}\n", status.details));
    }
    if let Some(agent) = agent {
        text.push_str(&report::text(agent));
    }
    text
}

fn as_json(health: &GetHealthStatusResponse, agent: Option<&GetStatusResponse>) -> String {
    let agent = agent.map(|agent| format!(r#","agent":{}"#, json::to_string(agent))).unwrap_or_default();
    format!("{{\"health\":{}{agent}}}\n", json::to_string(health))
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::HealthStatus;

    use super::*;

    fn healthy() -> GetHealthStatusResponse {
        let status = HealthStatus {
            event: 1,
            status: HealthStatusResult::HealthStatusRunning.into(),
            details: "running".to_owned(),
        };
        GetHealthStatusResponse { health_status: vec![status] }
    }

    #[test]
    fn the_health_line_comes_first_and_alone_when_there_is_no_more() {
        assert_eq!(text(&healthy(), None), "Health Status: running\n");
        let more = text(&healthy(), Some(&GetStatusResponse::default()));
        assert!(more.starts_with("Health Status: running\n"), "{more}");
    }

    #[test]
    fn json_has_both_parts() {
        let agent = GetStatusResponse { version: "v1".to_owned(), ..Default::default() };
        let line = as_json(&healthy(), Some(&agent));
        let value: serde_json::Value = serde_json::from_str(&line).expect("valid");
        assert_eq!(value["health"]["health_status"][0]["details"], "running");
        assert_eq!(value["agent"]["version"], "v1");
    }
}
