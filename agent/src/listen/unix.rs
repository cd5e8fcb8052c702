//! Unix sockets, which appear under their name only when they are ready and private.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::{Address, ListenError};

/// The file of a socket; removed on drop, unless another socket has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            // Nobody is left to tell, and a stale socket does no harm: the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn bind(
    address: &Address,
    path: &Path,
    option: &'static str,
) -> Result<(UnixListener, SocketFile), ListenError> {
    let failed = |error: io::Error| ListenError::Io { option, address: address.clone(), error };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { option, path: path.to_owned() });
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(ListenError::InUse { option, address: address.clone() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }

    // In a directory that only we can enter, so that nobody connects before the permissions are right.
    let parent = path.parent().unwrap_or(Path::new("/"));
    let private = tempfile::Builder::new()
        .prefix(".t")
        .rand_bytes(4)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(failed)?;
    let fresh = private.path().join("s");
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    let found = fs::symlink_metadata(&fresh).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), device: found.dev(), inode: found.ino() };
    Ok((listener, file))
}
