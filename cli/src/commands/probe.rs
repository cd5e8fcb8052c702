//! `tetra probe`: what the kernel can do for the agent, as the agent found it by trying.

use anyhow::Result;
use clap::{ArgAction, Args};
use tetragon_api::tetragon::{Feature, GetStatusRequest};

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::{go, output};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Say for each feature what it is used for, or what is missing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    details: bool,
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    let client = Client::new(global)?;
    let call = async || client.agent_status().get_status(GetStatusRequest {}).await;
    let what = "the features are those that a running agent found";
    let status = client.unary(call).await.or_explain(&client, what)?.into_inner();
    Ok(output::print(&text(&status.features, options.details))?)
}

fn text(features: &[Feature], details: bool) -> String {
    let line = |feature: &Feature| match (details, feature.detail.as_str()) {
        (false, _) | (true, "") => format!("{}: {}\n", feature.name, feature.enabled),
        (true, detail) => format!("{}: {} ({detail})\n", feature.name, feature.enabled),
    };
    features.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_feature_per_line() {
        let feature = |name: &str, enabled, detail: &str| Feature {
            name: name.to_owned(),
            enabled,
            detail: detail.to_owned(),
        };
        let features = [feature("tp_btf", true, ""), feature("lsm", false, "boot with lsm=bpf")];
        assert_eq!(text(&features, false), "tp_btf: true\nlsm: false\n");
        assert_eq!(text(&features, true), "tp_btf: true\nlsm: false (boot with lsm=bpf)\n");
    }
}
