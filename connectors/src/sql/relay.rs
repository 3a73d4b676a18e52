//! A socket between the driver and an address that the address guard allowed.
//!
//! The driver connects and verifies the server's certificate by one and the same name, so it cannot be
//! told "this name, at that address". It can be told of a local socket beside a name, though: so the
//! connection to the address is made here, and the driver reaches it through a socket in a folder that
//! only this process can enter, and that is gone once the driver is connected.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinHandle;

/// A relay that waits for its one connection.
pub(super) struct Relay {
    folder: TempDir,
    socket: PathBuf,
    tunnel: Tunnel,
}

/// What carries the bytes; it ends when this is dropped.
pub(super) struct Tunnel(JoinHandle<()>);

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Relay {
    /// A relay to a connection, at a socket of that name.
    pub(super) fn to(mut far: TcpStream, name: &str) -> io::Result<Self> {
        // Of mode 0700 (tempfile, `TempDir`, "Permissions").
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join(name);
        let listener = UnixListener::bind(&socket)?;
        let task = tokio::spawn(async move {
            let Ok((mut near, _)) = listener.accept().await else { return };
            drop(listener);
            copy_bidirectional(&mut near, &mut far).await.ok();
        });
        Ok(Self { folder, socket, tunnel: Tunnel(task) })
    }

    /// The folder of the socket.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The driver is connected: only the tunnel is kept.
    pub(super) fn connected(self) -> Tunnel {
        self.tunnel
    }
}
