//! The configuration file of each version.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::super::daemon::text;
use super::{Network, Options, PAUSE, Version};

/// Debian's package containernetworking-plugins.
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// Addresses of pods; from a range that documents use.
const POD_RANGE: &str = "198.51.100.0/24";

/// Writes `config.toml` and what it refers to.
pub(super) fn write(dir: &Path, version: Version, options: &Options) -> Result<()> {
    let networks = dir.join("cni");
    fs::create_dir(&networks)?;
    if options.network == Network::Bridge {
        fs::write(networks.join("10-bridge.conflist"), bridge(dir)?)?;
    }
    let config = match version {
        Version::V2_4 => version_3(dir, options)?,
        Version::V1_7 => {
            ensure!(options.required_plugins.is_empty(), "containerd 1.7 cannot require plugins");
            version_2(dir, options)?
        }
    };
    fs::write(dir.join("config.toml"), config).context("write containerd's configuration")
}

fn bridge(dir: &Path) -> Result<Vec<u8>> {
    let plugins = json!([
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": text(&dir.join("addresses"))?,
                "ranges": [[{ "subnet": POD_RANGE }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        },
        { "type": "loopback" },
    ]);
    Ok(serde_json::to_vec(&json!({ "cniVersion": "0.4.0", "name": "e2e", "plugins": plugins }))?)
}

/// What both versions have in common, with `{}` quoted by the caller's paths.
fn common(dir: &Path) -> Result<String> {
    let at = |name: &str| -> Result<String> { Ok(format!("{:?}", text(&dir.join(name))?)) };
    Ok(format!(
        r#"root = {root}
state = {state}
temp = {temp}

[grpc]
address = {socket}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}
"#,
        root = at("root")?,
        state = at("state")?,
        temp = at("temp")?,
        socket = at("containerd.sock")?,
        opt = at("opt")?,
    ))
}

fn nri(dir: &Path, options: &Options) -> Result<String> {
    let plugin_path = options.plugin_path.clone().unwrap_or_else(|| dir.join("nri-plugins"));
    Ok(format!(
        r#"
[plugins."io.containerd.nri.v1.nri"]
disable = {disable}
socket_path = {socket:?}
plugin_path = {plugin_path:?}
plugin_config_path = {config:?}
plugin_registration_timeout = "5s"
plugin_request_timeout = "{timeout}ms"
"#,
        disable = !options.nri,
        socket = text(&dir.join("nri.sock"))?,
        plugin_path = text(&plugin_path)?,
        config = text(&dir.join("nri-config"))?,
        timeout = options.plugin_request_timeout.as_millis(),
    ))
}

fn version_3(dir: &Path, options: &Options) -> Result<String> {
    let mut config = format!("version = 3\n{}{}", common(dir)?, nri(dir, options)?);
    if !options.required_plugins.is_empty() {
        config.push_str(&format!(
            "\n[plugins.\"io.containerd.nri.v1.nri\".default_validator]\nenable = true\nrequired_plugins = {:?}\n",
            options.required_plugins
        ));
        if let Some(annotation) = &options.tolerate_missing_plugins_annotation {
            config.push_str(&format!("tolerate_missing_plugins_annotation = {annotation:?}\n"));
        }
    }
    config.push_str(&format!(
        r#"
[plugins."io.containerd.cri.v1.images"]
snapshotter = {snapshotter:?}

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE no process can lower its score.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{CNI_PLUGINS}"]
conf_dir = {networks:?}

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        snapshotter = options.snapshotter,
        networks = text(&dir.join("cni"))?,
    ));
    Ok(config)
}

fn version_2(dir: &Path, options: &Options) -> Result<String> {
    Ok(format!(
        r#"version = 2
{common}{nri}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = {networks:?}

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = {snapshotter:?}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        common = common(dir)?,
        nri = nri(dir, options)?,
        snapshotter = options.snapshotter,
        networks = text(&dir.join("cni"))?,
    ))
}
