//! `tetra version`.

use anyhow::Result;
use clap::{ArgAction, Args};
use tetragon_api::tetragon::GetVersionRequest;

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::{go, output};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Ask the agent for its version too
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, default_value = "false", hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    server: bool,
    /// Show what this client was built from
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, default_value = "false", hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    build: bool,
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    output::print(&client_text(options.build))?;
    if options.server {
        let client = Client::new(global)?;
        let call = async || client.sensors().get_version(GetVersionRequest {}).await;
        let answer = client.unary(call).await.or_explain(&client, "cannot get the server's version")?;
        output::print(&format!("Server version: {}\n", answer.into_inner().version))?;
    }
    Ok(())
}

fn client_text(build: bool) -> String {
    let mut text = format!("CLI version: v{}\n", env!("CARGO_PKG_VERSION"));
    if build {
        for (name, value) in [
            ("RustVersion", env!("BUILD_RUSTC")),
            ("Date", env!("BUILD_DATE")),
            ("GitCommit", env!("BUILD_COMMIT")),
            ("GitTreeState", env!("BUILD_TREE")),
        ] {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_names_its_version_and_origin() {
        assert_eq!(client_text(false), concat!("CLI version: v", env!("CARGO_PKG_VERSION"), "\n"));
        let names: Vec<String> = client_text(true)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(names, ["CLI version", "RustVersion", "Date", "GitCommit", "GitTreeState"]);
    }
}
