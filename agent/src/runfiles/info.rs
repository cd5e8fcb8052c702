//! The info file.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunFileError;

/// What the info file tells: settings as texts, empty where not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InfoFile {
    /// The export file.
    pub export_fname: String,
    /// Where BTF files are searched.
    pub lib_dir: String,
    /// The BTF file in use.
    pub btf_fname: String,
    /// Where the gRPC server listens.
    pub server_address: String,
    /// Where the metrics server listens.
    pub metrics_address: String,
    /// Where the gops agent listens.
    pub gops_address: String,
    /// The directory of pinned BPF objects.
    pub map_dir: String,
    /// The `bpftool` program.
    pub bpftool_path: String,
    /// The `gops` program.
    pub gops_path: String,
    /// The longest message that the server accepts, in bytes.
    pub max_recv_size: u64,
    /// The pid of the agent, as in the pid file.
    pub pid: u32,
}

impl InfoFile {
    /// What the settings say. Addresses and paths found out later are to be filled in.
    pub fn from_config(config: &crate::config::Config, pid: u32) -> Self {
        let address = |address: &Option<crate::listen::Address>| {
            address.as_ref().map(ToString::to_string).unwrap_or_default()
        };
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        Self {
            export_fname: path(&config.export_filename),
            lib_dir: config.bpf_lib.display().to_string(),
            btf_fname: path(&config.btf),
            server_address: address(&config.server_address),
            metrics_address: address(&config.metrics_server),
            gops_address: address(&config.gops_address),
            map_dir: format!("/sys/fs/bpf/{}", config.bpf_dir),
            bpftool_path: find_program("bpftool", std::env::var_os("PATH").as_deref()),
            gops_path: find_program("gops", std::env::var_os("PATH").as_deref()),
            max_recv_size: 4 << 20,
            pid,
        }
    }

    /// Writes the file; a reader finds the old content or the new one, never a part.
    pub fn write(&self, path: &Path) -> Result<(), RunFileError> {
        self.replace(path).map_err(|error| RunFileError::Io { path: path.to_owned(), error })
    }

    fn replace(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::Builder::new().prefix(".tetragon-info").tempfile_in(directory)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        // As existing readers know it, readable for all.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o744))?;
        file.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    }
}

/// The path of a program in a list of directories such as `PATH`; empty if there is none.
pub fn find_program(name: &str, search: Option<&OsStr>) -> String {
    std::env::split_paths(search.unwrap_or_default())
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| {
            fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
        .map(|path| path.display().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tetragon-info.json");
        fs::write(&path, "x".repeat(10_000)).unwrap();
        let info = InfoFile {
            btf_fname: "/sys/kernel/btf/vmlinux".to_owned(),
            ..InfoFile::from_config(&Config::default(), 7)
        };
        info.write(&path).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["server_address"], "localhost:54321");
        assert_eq!(json["pid"], 7);
        assert_eq!(json["map_dir"], "/sys/fs/bpf/tetragon");
        assert_eq!(json["export_fname"], "");
        let known = [
            "export_fname",
            "lib_dir",
            "btf_fname",
            "server_address",
            "metrics_address",
            "gops_address",
            "map_dir",
            "bpftool_path",
            "gops_path",
            "max_recv_size",
            "pid",
        ];
        assert!(known.iter().all(|key| json.get(key).is_some()));
        assert_eq!(serde_json::from_value::<InfoFile>(json).unwrap(), info);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o744);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let error = InfoFile::default().write(Path::new("/no/such/dir/info.json")).unwrap_err();
        assert!(error.to_string().contains("/no/such/dir/info.json"));
    }

    #[test]
    fn programs_are_found_only_where_they_can_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool");
        fs::write(&path, "").unwrap();
        let search = std::env::join_paths([Path::new("relative"), Path::new("/none"), dir.path()]).unwrap();
        assert_eq!(find_program("tool", Some(&search)), "");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_program("tool", Some(&search)), path.display().to_string());
        assert_eq!(find_program("tool", None), "");
    }
}
