//! `patch-containerd-conf`: changes to containerd's configuration, which leave the rest of the file as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

const NRI: &str = "io.containerd.nri.v1.nri";
const RUNC: &str = "io.containerd.runc.v2";

/// What is to be changed.
#[derive(Debug, Subcommand)]
pub(crate) enum Patch {
    /// Let NRI plugins connect
    EnableNri(Files),
    /// Give every container of a runc runtime the hooks of a base specification
    AddOciHook {
        #[command(flatten)]
        files: Files,

        /// The base specification on the host, such as that of `ctr oci spec` with hooks added
        #[arg(long, value_name = "PATH", default_value = "/etc/containerd/base-spec.json")]
        runtime_spec: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// containerd's configuration
    #[arg(long, value_name = "PATH", default_value = "/etc/containerd/config.toml")]
    config_file: PathBuf,

    /// Where to write the changed configuration; the same file is replaced in one step [default: a new file in the
    /// directory for temporary files]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Writes the changed configuration, and prints what has changed and where it is.
///
/// # Errors
/// The file cannot be read, understood or written. Then nothing is written.
pub(crate) fn run(patch: &Patch) -> Result<()> {
    let files = match patch {
        Patch::EnableNri(files) | Patch::AddOciHook { files, .. } => files,
    };
    let place = files.config_file.display();
    let text = std::fs::read_to_string(&files.config_file).with_context(|| {
        format!(
            "--config-file: {place}; `containerd config default` writes one with all that containerd presumes"
        )
    })?;
    let (patched, changes) = apply(patch, &text).with_context(|| place.to_string())?;
    for change in &changes {
        println!("{change}");
    }
    let output = files.output.clone().unwrap_or_else(temporary);
    if changes.is_empty() && output == files.config_file {
        println!("{place} is as it should be");
        return Ok(());
    }
    write(&output, &patched).with_context(|| format!("--output: {}", output.display()))?;
    println!("written to {}; containerd reads its configuration when it starts", output.display());
    Ok(())
}

fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("containerd-config-{}.toml", std::process::id()))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mode = std::fs::metadata(path).map_or(0o644, |meta| {
        use std::os::unix::fs::PermissionsExt as _;
        meta.permissions().mode() & 0o777
    });
    crate::install::replace(path, text.as_bytes(), mode)
}

/// The changed text, and what has changed.
fn apply(patch: &Patch, text: &str) -> Result<(String, Vec<String>)> {
    let mut config: DocumentMut = text.parse().context("this is not TOML")?;
    let version = config.get("version").map_or(Some(1), Item::as_integer).context("version is no number")?;
    if !(2..=3).contains(&version) {
        bail!(
            "the file has version {version}, and only 2 and 3 are known here; `containerd config migrate` turns an \
             older one into that of containerd"
        );
    }
    let changes = match patch {
        Patch::EnableNri(_) => enable_nri(&mut config)?,
        Patch::AddOciHook { runtime_spec, .. } => add_base_spec(&mut config, version, runtime_spec)?,
    };
    if changes.is_empty() {
        return Ok((text.to_owned(), changes));
    }
    let mut patched = config.to_string();
    if text.contains("\r\n") {
        patched = patched.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    Ok((patched, changes))
}

fn enable_nri(config: &mut DocumentMut) -> Result<Vec<String>> {
    let plugins = config.entry("plugins").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        table.into()
    });
    let plugins = plugins.as_table_like_mut().context("plugins is no table")?;
    let path = format!("plugins.\"{NRI}\"");
    let mut changes = Vec::new();
    let Some(nri) = plugins.get_mut(NRI) else {
        let keys: [(&str, Value); 7] = [
            ("disable", false.into()),
            ("disable_connections", false.into()),
            ("plugin_config_path", "/etc/nri/conf.d".into()),
            ("plugin_path", "/opt/nri/plugins".into()),
            ("plugin_registration_timeout", "5s".into()),
            ("plugin_request_timeout", "2s".into()),
            ("socket_path", "/var/run/nri/nri.sock".into()),
        ];
        plugins.insert(NRI, section(keys));
        return Ok(vec![format!("[{path}] added")]);
    };
    let nri = nri.as_table_like_mut().with_context(|| format!("{path} is no table"))?;
    // Where a key is missing, older versions presume that NRI is off.
    for (key, needed) in [("disable", true), ("disable_connections", false)] {
        match nri.get(key).map(Item::as_bool) {
            Some(Some(false)) => {}
            None if !needed => {}
            Some(None) => bail!("{path}.{key} is neither true nor false"),
            present => {
                let before = if present.is_some() { "true" } else { "not set" };
                set(nri, key, false.into());
                changes.push(format!("{path}.{key}: {before} -> false"));
            }
        }
    }
    Ok(changes)
}

fn add_base_spec(config: &mut DocumentMut, version: i64, spec: &str) -> Result<Vec<String>> {
    let cri = if version == 2 { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" };
    let path = format!("plugins.\"{cri}\".containerd");
    let missing = || {
        format!(
            "there is no runtime of type {RUNC} under {path}.runtimes; add it as `containerd config default` has it"
        )
    };
    let containerd = ["plugins", cri, "containerd"]
        .iter()
        .try_fold(config.as_item_mut(), |item, key| item.as_table_like_mut()?.get_mut(key));
    let containerd = containerd.and_then(Item::as_table_like_mut).with_context(missing)?;
    let mut found = 0;
    let mut changes = Vec::new();
    if let Some(default) = containerd.get_mut("default_runtime") {
        found += patch_runtime(default, &format!("{path}.default_runtime"), spec, &mut changes);
    }
    if let Some(runtimes) = containerd.get_mut("runtimes").and_then(Item::as_table_like_mut) {
        for (name, runtime) in runtimes.iter_mut() {
            found += patch_runtime(runtime, &format!("{path}.runtimes.{name}"), spec, &mut changes);
        }
    }
    if found == 0 {
        bail!(missing());
    }
    Ok(changes)
}

/// How many runc runtimes this is: 0 or 1.
fn patch_runtime(runtime: &mut Item, path: &str, spec: &str, changes: &mut Vec<String>) -> usize {
    let Some(runtime) = runtime.as_table_like_mut() else { return 0 };
    if runtime.get("runtime_type").and_then(Item::as_str) != Some(RUNC) {
        return 0;
    }
    match runtime.get("base_runtime_spec").and_then(Item::as_str) {
        None | Some("") => {
            set(runtime, "base_runtime_spec", spec.into());
            changes.push(format!("{path}.base_runtime_spec: \"{spec}\""));
        }
        Some(present) if present == spec => {}
        Some(present) => {
            tracing::warn!("{path}.base_runtime_spec is \"{present}\" already: add the hooks to that one");
        }
    }
    1
}

/// Sets a value; what stands around the old one, such as a comment, stays.
fn set(table: &mut dyn TableLike, key: &str, mut new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(key, value(new));
        }
    }
}

fn section<const N: usize>(keys: [(&str, Value); N]) -> Item {
    let inline: InlineTable = keys.into_iter().collect();
    inline.into_table().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files { config_file: PathBuf::new(), output: None }
    }

    fn nri(text: &str) -> Result<(String, Vec<String>)> {
        apply(&Patch::EnableNri(files()), text)
    }

    fn hook(text: &str) -> Result<(String, Vec<String>)> {
        apply(&Patch::AddOciHook { files: files(), runtime_spec: "/b.json".to_owned() }, text)
    }

    #[test]
    fn nri_is_switched_on_where_it_is_off_and_nothing_else_changes() {
        let before = r#"# ours
version = 2

[plugins."io.containerd.nri.v1.nri"]
  # why not
  disable = true # for now
  disable_connections = false
"#;
        let (after, changes) = nri(before).unwrap();
        assert_eq!(after, before.replace("disable = true", "disable = false"));
        assert_eq!(changes, [r#"plugins."io.containerd.nri.v1.nri".disable: true -> false"#]);
        assert_eq!(nri(&after).unwrap(), (after, vec![]), "nothing is left to do");
    }

    #[test]
    fn a_missing_section_is_added_at_the_end() {
        for before in ["version = 3\n", "version = 2\n[plugins]\n  [plugins.x]\n    a = 1\n"] {
            let (after, changes) = nri(before).unwrap();
            assert!(after.starts_with(before), "{after}");
            assert!(after.contains("[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = false\n"), "{after}");
            assert!(after.contains("socket_path = \"/var/run/nri/nri.sock\""), "{after}");
            assert_eq!(changes.len(), 1);
            assert_eq!(nri(&after).unwrap(), (after, vec![]));
        }
    }

    #[test]
    fn plugins_that_may_not_connect_may_from_now_on() {
        let before = "version = 3\n[plugins.'io.containerd.nri.v1.nri']\n  disable_connections = true\n";
        let (after, changes) = nri(before).unwrap();
        assert!(
            after.contains("disable_connections = false") && after.contains("disable = false"),
            "{after}"
        );
        assert_eq!(changes.len(), 2);
        assert!(changes[0].contains("disable: not set -> false"), "{changes:?}");
    }

    #[test]
    fn runc_runtimes_get_the_base_specification_in_both_versions() {
        for (version, cri) in [(2, "io.containerd.grpc.v1.cri"), (3, "io.containerd.cri.v1.runtime")] {
            let before = format!(
                "version = {version}\n\
                 [plugins.\"{cri}\".containerd.runtimes.runc] # the usual one\n  runtime_type = \"{RUNC}\"\n\
                 [plugins.\"{cri}\".containerd.runtimes.empty]\n  runtime_type = \"{RUNC}\"\n  base_runtime_spec = \"\"\n\
                 [plugins.\"{cri}\".containerd.runtimes.own]\n  runtime_type = \"{RUNC}\"\n  base_runtime_spec = \"/own.json\"\n\
                 [plugins.\"{cri}\".containerd.runtimes.kata]\n  runtime_type = \"io.containerd.kata.v2\"\n"
            );
            let (after, changes) = hook(&before).unwrap();
            assert_eq!(changes.len(), 2, "{changes:?}");
            assert_eq!(after.matches("base_runtime_spec = \"/b.json\"").count(), 2, "{after}");
            assert!(after.contains("/own.json") && after.contains("# the usual one"), "{after}");
            assert_eq!(hook(&after).unwrap(), (after, vec![]));
        }
    }

    #[test]
    fn what_cannot_be_done_is_told_with_the_remedy() {
        let cases = [
            ("version = ", "not TOML"),
            ("", "version 1"),
            ("version = 4\n", "version 4"),
            ("version = 'x'\n", "no number"),
            ("version = 2\nplugins = 1\n", "plugins is no table"),
            (
                "version = 2\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = 'x'\n",
                "neither true nor false",
            ),
        ];
        for (text, word) in cases {
            let error = format!("{:#}", nri(text).unwrap_err());
            assert!(error.contains(word), "{text:?}: {error}");
        }
        let error = hook("version = 3\n").unwrap_err().to_string();
        assert!(error.contains("containerd config default"), "{error}");
    }

    #[test]
    fn lines_end_as_before() {
        let before = "version = 3\r\n[plugins.'io.containerd.nri.v1.nri']\r\ndisable = true\r\n# end\r\n";
        assert_eq!(nri(before).unwrap().0, before.replace("true", "false"));
    }
}
