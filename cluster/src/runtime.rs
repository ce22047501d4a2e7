//! The world of a running node: the kernel's clocks and generator, tokio's timers and tasks.
//!
//! Invariant: the one door of this crate to time, randomness and threads. Simulations bring a world of their own.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::runtime::Handle;

use crate::world::{Task, Work, World};

/// How far a thread for what is in no hurry stands back: it gets about a tenth of what another one gets that wants the same
/// processor (Linux, `sched(7)`, "The nice value").
const NICE: i32 = 10;

/// Has the calling thread stand back behind all others of the process.
pub fn stand_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "work beside clients does not stand back");
    }
}

/// Lets others have the processor first if they wait for it: a thread that stands back keeps one that it has until its time slice
/// ends, some milliseconds, which clients would wait.
pub(crate) fn give_way() {
    std::thread::yield_now();
}

/// A [`World`] on a tokio runtime.
#[derive(Clone, Debug)]
pub struct TokioWorld {
    runtime: Handle,
    /// To the thread for what is in no hurry, which begins with the first such work; `None` if there can be none.
    aside: Arc<OnceLock<Option<Sender<Work>>>>,
}

impl TokioWorld {
    /// A world whose tasks run on `runtime`, which must have its timer enabled.
    ///
    /// # Errors
    /// When the operating system has no randomness to give: nothing that must not be guessed could be made then.
    pub fn new(runtime: Handle) -> io::Result<Self> {
        getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let aside = Arc::default();
        Ok(Self { runtime, aside })
    }
}

/// Begins the thread for what is in no hurry. It ends when nobody can bring it work any more.
fn begin_aside() -> Option<Sender<Work>> {
    let (sender, works) = channel::<Work>();
    let begun = std::thread::Builder::new()
        .name("aside".to_owned())
        .spawn(move || {
            stand_back();
            for work in works {
                // Whoever waits for it hears that it is gone.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                if done.is_err() {
                    tracing::error!("work beside clients has panicked");
                }
            }
        });
    match begun {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(%error, "there is no thread for work beside clients, which may hold them up");
            None
        }
    }
}

/// The kernel's times are never negative for the clocks that are asked here, unless the wall clock is set before 1970,
/// which then reads as 1970.
fn since_zero(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

impl World for TokioWorld {
    fn now(&self) -> Duration {
        since_zero(clock_gettime(ClockId::Boottime))
    }

    fn unix_ms(&self) -> u64 {
        u64::try_from(since_zero(clock_gettime(ClockId::Realtime)).as_millis()).unwrap_or(u64::MAX)
    }

    fn random_u64(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|error| {
            // It has worked when this world was made, and the kernel never takes it back. Going on with numbers that
            // can be guessed would be worse than ending.
            tracing::error!(%error, "the operating system has no randomness to give; the process ends");
            std::process::abort()
        })
    }

    fn sleep(&self, duration: Duration) -> Task {
        let world = self.clone();
        Box::pin(async move {
            let end = world.now().saturating_add(duration);
            // Tokio's clock stands still while the machine is suspended, so that it may be late, but it is not early
            // by more than its own rounding.
            loop {
                let left = end.saturating_sub(world.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left).await;
            }
        })
    }

    fn spawn(&self, task: Task) {
        drop(self.runtime.spawn(task));
    }

    fn aside(&self, work: Work) {
        match self.aside.get_or_init(begin_aside) {
            Some(thread) => {
                if let Err(refused) = thread.send(work) {
                    (refused.0)();
                }
            }
            None => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_is_as_long_as_was_asked() {
        let world = TokioWorld::new(Handle::current()).unwrap();
        let before = world.now();
        world.sleep(Duration::from_millis(20)).await;
        assert!(world.now() >= before + Duration::from_millis(20));
        world.sleep(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_task_runs_beside_the_others() {
        let world = TokioWorld::new(Handle::current()).unwrap();
        let (done, wait) = tokio::sync::oneshot::channel();
        world.spawn(Box::pin(async move { done.send(7).unwrap() }));
        assert_eq!(wait.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_is_in_no_hurry_stands_back_and_survives_a_panic() {
        let world = TokioWorld::new(Handle::current()).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        for _ in 0..2 {
            let (done, wait) = tokio::sync::oneshot::channel();
            world.aside(Box::new(move || {
                done.send(rustix::process::getpriority_process(None)).unwrap();
            }));
            assert_eq!(wait.await.unwrap().unwrap(), NICE.max(own));
            world.aside(Box::new(|| assert_eq!(std::hint::black_box(1), 2, "it panics")));
        }
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }

    #[tokio::test]
    async fn clocks_go_on_and_numbers_differ() {
        let world = TokioWorld::new(Handle::current()).unwrap();
        let first = world.now();
        assert!(world.now() >= first);
        // The year 2020: a wrong unit or clock is far off.
        assert!(world.unix_ms() > 1_577_836_800_000 && world.unix_ms() < 10_000_000_000_000);
        assert_ne!(world.random_u64(), world.random_u64());
    }
}
