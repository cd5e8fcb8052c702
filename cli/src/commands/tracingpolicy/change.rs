//! Adding, deleting, enabling and disabling policies.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use tetragon_api::tetragon::{
    AddTracingPolicyRequest, DeleteTracingPolicyRequest, DisableTracingPolicyRequest,
    EnableTracingPolicyRequest,
};

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::output;

#[derive(Args, Debug)]
pub(super) struct Add {
    /// The policy, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// In the place of the policy of that name, if there is one, which stays if the new one cannot be loaded
    #[arg(long)]
    replace: bool,
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// Name of the policy
    name: String,

    /// Namespace of the policy, if it has one
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    namespace: String,
}

pub(super) async fn add(global: &Global, options: &Add) -> Result<()> {
    let file = options.file.display().to_string();
    let yaml = read(&options.file)?;
    let request = AddTracingPolicyRequest { yaml, replace: options.replace, ..Default::default() };
    let client = Client::new(global)?;
    let call = async || client.sensors().add_tracing_policy(request.clone()).await;
    client.unary(call).await.or_explain(&client, &format!("cannot add the tracing policy in {file}"))?;
    Ok(output::print(&format!("tracing policy {file:?} added\n"))?)
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// One of the calls that differ in their name only.
macro_rules! calls {
    ($($command:ident: $method:ident($request:ident), $did:literal;)*) => {
        $(pub(super) async fn $command(global: &Global, options: &Named) -> Result<()> {
            let Named { name, namespace } = options;
            let request =
                $request { name: name.clone(), namespace: namespace.clone(), ..Default::default() };
            let client = Client::new(global)?;
            let call = async || client.sensors().$method(request.clone()).await;
            let what = format!(concat!("cannot ", stringify!($command), " tracing policy {:?}"), name);
            client.unary(call).await.or_explain(&client, &what)?;
            Ok(output::print(&format!(concat!("tracing policy {:?} ", $did, "\n"), name))?)
        })*
    };
}

calls! {
    delete: delete_tracing_policy(DeleteTracingPolicyRequest), "deleted";
    enable: enable_tracing_policy(EnableTracingPolicyRequest), "enabled";
    disable: disable_tracing_policy(DisableTracingPolicyRequest), "disabled";
}
