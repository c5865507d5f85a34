//! The Unix socket's file: made with its permissions, taken over from a server that is gone, removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Config;

/// Why the Unix socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("unixsocket: {path}: {reason}")]
pub struct SocketFileError {
    path: String,
    reason: String,
}

/// The file of a socket that is listened on. Dropping it removes the file, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
}

/// Listens on the path that the settings name.
pub(crate) fn listen(config: &Config) -> Result<(UnixListener, SocketFile), SocketFileError> {
    let path = Path::new(&config.unixsocket);
    let wrong = |reason: String| SocketFileError { path: config.unixsocket.clone(), reason };
    let failed = |error: io::Error| wrong(error.to_string());
    let address = SockAddr::unix(path).map_err(failed)?;
    clear(path, &address).map_err(wrong)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.bind(&address).map_err(failed)?;
    let file = SocketFile::of(path).map_err(failed)?;
    if config.unixsocketperm != 0 {
        // Before anybody can connect: that begins with the next line.
        let mode = fs::Permissions::from_mode(config.unixsocketperm as u32);
        fs::set_permissions(path, mode).map_err(failed)?;
    }
    socket.listen(config.tcp_backlog as i32).map_err(failed)?;
    Ok((socket.into(), file))
}

/// Removes what a server left behind that is gone. The error says why the path cannot be used.
fn clear(path: &Path, address: &SockAddr) -> Result<(), String> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| error.to_string())?,
    };
    if !metadata.file_type().is_socket() {
        return Err("there is a file of this name that is no socket".to_owned());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|error| error.to_string())?;
    // A server whose queue is full would keep the call waiting.
    probe.set_nonblocking(true).map_err(|error| error.to_string())?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| error.to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.to_string()),
        _ => Err("another server listens on it".to_owned()),
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // If it cannot be removed, the next start replaces it.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
