//! Work that is to leave the processors to clients: long, on a thread of its own, which the scheduler lets wait for others.
//!
//! Invariant: only the threads of the work yield; what they wait for is done by threads that do not. Not here: how much is moved in
//! a second (`pace.rs`).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use stator_archive::{Hands, Work};
use stator_cluster::stand_back;
use tokio::sync::oneshot;

/// How many chunks of a backup are sealed and put at once. While one waits for the disk, or for a store far away, others are
/// sealed.
const HELPERS: usize = 4;

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

/// Threads that stand back and put the chunks of one backup. They end when it has.
#[derive(Debug)]
pub(crate) struct Helpers {
    work: Sender<Work>,
}

impl Helpers {
    /// As many as can be had.
    ///
    /// # Errors
    /// When no thread can be had at all.
    pub(crate) fn begin() -> io::Result<Arc<dyn Hands>> {
        let (work, received) = channel();
        let received = Arc::new(Mutex::new(received));
        let thread = |number: usize| {
            let received = Arc::clone(&received);
            let builder = std::thread::Builder::new().name(format!("backup-{number}"));
            builder.spawn(move || help(&received))
        };
        thread(0)?;
        for number in 1..HELPERS {
            if thread(number).is_err() {
                break;
            }
        }
        Ok(Arc::new(Self { work }))
    }
}

impl Hands for Helpers {
    fn take(&self, work: Work) {
        // The threads take work for as long as there is this sender.
        drop(self.work.send(work));
    }

    fn many(&self) -> usize {
        HELPERS
    }
}

fn help(work: &Mutex<Receiver<Work>>) {
    stand_back();
    loop {
        let next = work.lock().recv();
        let Ok(work) = next else { return };
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_stand_back_do_all_work_at_once_and_end() {
        let helpers = Helpers::begin().unwrap();
        let all_are_there = Arc::new(std::sync::Barrier::new(HELPERS));
        let (done, is_done) = channel();
        for _ in 0..HELPERS {
            let (all_are_there, done) = (Arc::clone(&all_are_there), done.clone());
            helpers.take(Box::new(move || {
                all_are_there.wait();
                done.send(rustix::process::getpriority_process(None).unwrap())
                    .unwrap();
            }));
        }
        drop((done, helpers));
        let priorities: Vec<_> = is_done.iter().collect();
        assert_eq!(priorities.len(), HELPERS);
        assert!(priorities.iter().all(|priority| *priority >= 10));
    }

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
