//! A line on standard error that says that something still runs, for a person only.

use std::{pin::pin, time::Duration};

use crate::out::{Out, plain};

/// What is done sooner needs no line.
const FIRST: Duration = Duration::from_secs(1);

/// Waits for the work and shows how long it takes.
pub(super) async fn show<T>(out: &mut Out, doing: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut seconds = 0_u64;
    loop {
        if let Ok(done) = tokio::time::timeout(FIRST, work.as_mut()).await {
            if out.live && seconds > 0 {
                out.note("\r\u{1b}[K");
            }
            return done;
        }
        seconds += FIRST.as_secs();
        if out.live {
            out.note(&format!("\r\u{1b}[K{} … {seconds} s", plain(doing)));
        }
    }
}
