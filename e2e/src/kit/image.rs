//! Container images from local files, without a registry.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// An image of one layer, to be written as the archive that `docker save` writes.
pub struct Image {
    name: String,
    files: Vec<(String, PathBuf)>,
    entrypoint: Vec<String>,
}

impl Image {
    /// An empty image with its full name: `localhost/actor:e2e`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), files: Vec::new(), entrypoint: Vec::new() }
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts an executable into it.
    #[must_use]
    pub fn program(mut self, path: impl Into<String>, source: impl Into<PathBuf>) -> Self {
        self.files.push((path.into(), source.into()));
        self
    }

    /// What runs when a container does not say.
    #[must_use]
    pub fn entrypoint<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.entrypoint = words.map(str::to_owned).into();
        self
    }

    /// Writes the archive.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let mut layer = tar::Builder::new(Vec::new());
        for (path, source) in &self.files {
            let content = fs::read(source).with_context(|| format!("read {}", source.display()))?;
            append(&mut layer, path.trim_start_matches('/'), &content, 0o755)?;
        }
        let layer = layer.into_inner()?;
        let config = serde_json::to_vec(&json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
        }))?;
        let config_name = format!("{}.json", sha256(&config));
        let manifest = serde_json::to_vec(&json!([
            { "Config": config_name, "RepoTags": [self.name], "Layers": ["layer.tar"] }
        ]))?;
        let file = File::create(archive).with_context(|| format!("create {}", archive.display()))?;
        let mut image = tar::Builder::new(file);
        append(&mut image, &config_name, &config, 0o644)?;
        append(&mut image, "layer.tar", &layer, 0o644)?;
        append(&mut image, "manifest.json", &manifest, 0o644)?;
        image.finish().context("write an image")
    }
}

fn append(
    archive: &mut tar::Builder<impl std::io::Write>,
    path: &str,
    content: &[u8],
    mode: u32,
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len().try_into()?);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content).with_context(|| format!("archive {path}"))
}

fn sha256(content: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
