//! How a platform, or a person, asks a server to end.

use stanch_core::{Error, Kind, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Done once SIGTERM or SIGINT has come. From here on neither ends the process by itself.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn asked() -> Result<impl Future<Output = ()> + Send + 'static> {
    let deaf = |error| Error::new(Kind::Internal, "signal", "SIGTERM cannot be waited for").because(error);
    let mut term = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut int = signal(SignalKind::interrupt()).map_err(deaf)?;
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    })
}
