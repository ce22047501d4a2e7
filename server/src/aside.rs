//! Work that is to leave the processors to clients: long, on a thread of its own, which the scheduler lets wait for others.
//!
//! Invariant: only the thread of the work yields; what it waits for is done by threads that do not. Not here: how much is moved in
//! a second (`pace.rs`).

use std::io;

use stator_cluster::stand_back;
use tokio::sync::oneshot;

/// Begins some work on a thread of its own, which stands back behind those that serve clients, and waits for it when that is
/// asked for.
///
/// # Errors
/// When no thread can be had, or the work has panicked.
pub(crate) fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    let (done, is_done) = oneshot::channel();
    let begun = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        stand_back();
        // Nobody may be waiting any more.
        drop(done.send(work()));
    });
    async move {
        begun?;
        is_done
            .await
            .map_err(|_| io::Error::other("work beside clients has panicked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_thread_stands_back_and_its_caller_does_not() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(aside("test", priority).await.unwrap(), before.max(10));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let panics = || {
            let none: Option<u8> = std::hint::black_box(None);
            none.unwrap()
        };
        assert!(aside("test", panics).await.is_err());
    }
}
