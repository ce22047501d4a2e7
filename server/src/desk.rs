//! The jobs that fall to the node which leads the metadata: each is begun once, a few go on at a time, those that fail are begun
//! again and given up in the end.
//!
//! Invariant: of one name one job is under way on a node. What two nodes that believe to lead do at once, and what a node leaves
//! undone that dies, is the business of the jobs: everything may be begun again, by another node, at any point. Not here: which
//! jobs there are and how they are done (`archivist.rs`, `transfer/porter.rs`).

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::Cluster;

/// How long to wait for a change before it is looked what time it is, and whether what is left can be begun.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked for something to do when nothing has changed, neither in the metadata nor at the desk: what is kept for a
/// time becomes old. A look reads all that is known of jobs, those of months ago included.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);
/// How long to wait after something has failed.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// A job that fails again and again rests twice as long after each failure, but not longer than so many pauses.
const PAUSES_MAX: u32 = 8;
/// So many jobs of a desk are under way at a time.
const JOBS_MAX: usize = 4;
/// One that has failed so often without getting further is given up.
const TRIES: u32 = 20;

/// What was done at a desk since the node was started.
#[derive(Debug, Default)]
pub(crate) struct JobCounters {
    /// Those that the node is busy with.
    pub(crate) under_way: AtomicU64,
    /// Those that ended, and tries that were not completed.
    pub(crate) completed: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// What to expect of another try of a job that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It may succeed, however often it takes.
    Good,
    /// It may succeed, and if it does not for a while, nothing is to be hoped.
    Fair,
    /// None.
    Hopeless,
}

/// What is known of jobs by their names. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Papers>>);

#[derive(Debug, Default)]
struct Papers {
    under_way: HashSet<String>,
    /// Jobs that have failed and are not begun again yet. They are in nobody's way.
    resting: HashSet<String>,
    /// How often something has failed since it last got further.
    failures: BTreeMap<String, Failures>,
    /// Whether a job was turned away that waits for one that is under way.
    has_turned_away: bool,
    /// Whether a job may be begun now that could not when it was last looked for some.
    has_room: bool,
}

impl Papers {
    /// One less is under way: who was turned away may come again.
    fn make_room(&mut self, name: &str) {
        self.under_way.remove(name);
        self.has_room |= std::mem::take(&mut self.has_turned_away);
    }
}

#[derive(Debug, Default)]
struct Failures {
    /// Those after which it may be given up.
    counted: u32,
    /// All of them.
    all: u32,
}

impl Desk {
    /// Takes a job, unless it is under way or there are enough.
    fn take(&self, name: &str) -> bool {
        let mut papers = self.0.lock();
        if papers.resting.contains(name) {
            return false;
        }
        let is_taken = papers.under_way.len() < JOBS_MAX && papers.under_way.insert(name.to_owned());
        papers.has_turned_away |= !is_taken;
        is_taken
    }

    /// Whether a job may be begun that was left before; told once.
    fn has_room(&self) -> bool {
        std::mem::take(&mut self.0.lock().has_room)
    }

    /// Puts a job away that has failed, and makes room for others; gives how long it rests.
    fn let_rest(&self, name: &str) -> Duration {
        let mut papers = self.0.lock();
        papers.make_room(name);
        papers.resting.insert(name.to_owned());
        let failures = papers.failures.entry(name.to_owned()).or_default();
        failures.all = failures.all.saturating_add(1);
        PAUSE * 2_u32.saturating_pow(failures.all - 1).min(PAUSES_MAX)
    }

    fn has_rested(&self, name: &str) {
        let mut papers = self.0.lock();
        papers.resting.remove(name);
        papers.has_room = true;
    }

    fn put_away(&self, name: &str) {
        self.0.lock().make_room(name);
    }

    /// Counts a failure. `true` when it was the last one that is borne.
    fn has_failed(&self, name: &str) -> bool {
        let mut papers = self.0.lock();
        let failures = papers.failures.entry(name.to_owned()).or_default();
        failures.counted += 1;
        failures.counted >= TRIES
    }

    /// Forgets what has failed: the job gets further, or is over.
    pub(crate) fn gets_further(&self, name: &str) {
        self.0.lock().failures.remove(name);
    }
}

/// Who does jobs. Clones do the same ones.
pub(crate) trait Worker: Clone + Send + Sync + 'static {
    /// What a job is, for the log.
    const JOB: &'static str;
    type Job: Send + Sync + 'static;
    type Error: Display + Send;

    /// The cluster whose metadata has to be led.
    fn cluster(&self) -> &Cluster;
    /// The desk of its node.
    fn desk(&self) -> &Desk;
    /// Counts what is done.
    fn counters(&self) -> &JobCounters;
    /// What tells a job from others that are to be done at the same time.
    fn name(job: &Self::Job) -> String;
    /// What to expect of another try.
    fn outlook(job: &Self::Job, error: &Self::Error) -> Outlook;

    /// What is done once the node begins to lead, until it succeeds.
    fn prepare(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;
    /// What is done beside the jobs, about once a second: what costs something is for [`Worker::jobs`].
    fn keep_house(&self) -> impl Future<Output = ()> + Send;
    /// All that is left to do.
    fn jobs(&self) -> impl Future<Output = Result<Vec<Self::Job>, Self::Error>> + Send;
    /// Carries out a job to its end.
    fn carry_out(&self, job: &Self::Job) -> impl Future<Output = Result<(), Self::Error>> + Send;
    /// Gives up a job that has failed like this.
    fn give_up(
        &self,
        job: &Self::Job,
        error: Self::Error,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// When it is looked for something to do. Pure.
#[derive(Debug, Default)]
struct Looks {
    /// Until when nothing more is to be done than what was found, unless something changes.
    idle_until: Option<Duration>,
}

impl Looks {
    /// Whether it is time. `has_changed` says whether something has since the last look, in the metadata or at the desk.
    fn are_due(&self, has_changed: bool, now: Duration) -> bool {
        has_changed || self.idle_until.is_none_or(|until| until <= now)
    }

    /// A look that began `now` has found what there is. What is left rests, or waits for others: the desk says when that is over.
    fn have_found(&mut self, now: Duration) {
        self.idle_until = Some(now + LOOK_ANYWAY);
    }

    /// Nothing is known of what there is to do.
    fn know_nothing(&mut self) {
        self.idle_until = None;
    }
}

/// Looks for something to do, for as long as the process runs.
pub(crate) async fn run<W: Worker>(worker: W) {
    let mut changes = worker.cluster().metadata_changes();
    let (mut is_prepared, mut looks) = (false, Looks::default());
    loop {
        let changed = tokio::time::timeout(LOOK, changes.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
        if !worker.cluster().leads_metadata() {
            is_prepared = false;
            looks.know_nothing();
            continue;
        }
        if !is_prepared {
            match worker.prepare().await {
                Ok(()) => is_prepared = true,
                Err(error) => {
                    tracing::warn!(job = W::JOB, %error, "what was begun elsewhere is looked for later");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        let now = worker.cluster().steady_now();
        let has_room = worker.desk().has_room();
        if looks.are_due(changed.is_ok() || has_room, now) {
            look(&worker, &mut looks, now).await;
        }
        worker.keep_house().await;
    }
}

/// Begins what is left to do.
async fn look<W: Worker>(worker: &W, looks: &mut Looks, now: Duration) {
    match worker.jobs().await {
        Ok(jobs) => {
            looks.have_found(now);
            for job in jobs {
                begin(worker, job);
            }
        }
        Err(error) => {
            looks.know_nothing();
            tracing::debug!(job = W::JOB, %error, "nothing can be looked after now");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Does all that is left to do, one after the other.
#[cfg(test)]
pub(crate) async fn look_after_all<W: Worker>(worker: &W) -> Result<(), String> {
    for job in worker.jobs().await.map_err(|error| error.to_string())? {
        attempt(worker, &job).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Begins a job, unless it is under way or there are enough.
fn begin<W: Worker>(worker: &W, job: W::Job) {
    let name = W::name(&job);
    if !worker.desk().take(&name) {
        return;
    }
    let worker = worker.clone();
    tokio::spawn(async move {
        let counters = worker.counters();
        counters.under_way.fetch_add(1, Ordering::Relaxed);
        let done = attempt(&worker, &job).await;
        counters.under_way.fetch_sub(1, Ordering::Relaxed);
        let ended = if done.is_ok() {
            &counters.completed
        } else {
            &counters.failed
        };
        ended.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = done {
            tracing::warn!(job = name, %error, "{} is completed later", W::JOB);
            tokio::time::sleep(worker.desk().let_rest(&name)).await;
            worker.desk().has_rested(&name);
        } else {
            worker.desk().put_away(&name);
        }
    });
}

/// Carries out a job, or gives it up when that is hopeless.
async fn attempt<W: Worker>(worker: &W, job: &W::Job) -> Result<(), W::Error> {
    let name = W::name(job);
    let Err(error) = worker.carry_out(job).await else {
        worker.desk().gets_further(&name);
        return Ok(());
    };
    let is_over = match W::outlook(job, &error) {
        Outlook::Good => false,
        Outlook::Fair => worker.desk().has_failed(&name),
        Outlook::Hopeless => true,
    };
    if !is_over {
        return Err(error);
    }
    tracing::error!(job = name, %error, "{} is given up", W::JOB);
    worker.desk().gets_further(&name);
    worker.give_up(job, error).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_taken_once_and_a_few_at_a_time() {
        let desk = Desk::default();
        let names: Vec<String> = (0..=JOBS_MAX).map(|place| place.to_string()).collect();
        assert!(desk.take(&names[0]));
        assert!(!desk.take(&names[0]), "it is under way");
        assert!(names[1..JOBS_MAX].iter().all(|name| desk.take(name)));
        assert!(!desk.take(&names[JOBS_MAX]), "there are enough");
        desk.put_away(&names[0]);
        assert!(desk.take(&names[JOBS_MAX]));
    }

    #[test]
    fn jobs_that_fail_are_in_nobodys_way_and_rest_longer_each_time() {
        let desk = Desk::default();
        let names: Vec<String> = (0..JOBS_MAX).map(|place| place.to_string()).collect();
        for pauses in [1, 2, 4, 8, 8, 8] {
            assert!(names.iter().all(|name| desk.take(name)));
            for name in &names {
                assert_eq!(desk.let_rest(name), pauses * PAUSE);
                assert!(!desk.take(name), "it rests");
            }
            assert!(desk.take("another"));
            desk.put_away("another");
            for name in &names {
                desk.has_rested(name);
            }
        }
        desk.gets_further(&names[0]);
        assert!(desk.take(&names[0]));
        assert_eq!(desk.let_rest(&names[0]), PAUSE);
    }

    #[test]
    fn all_is_looked_at_when_something_has_changed_and_seldom_otherwise() {
        let mut looks = Looks::default();
        assert!(looks.are_due(false, Duration::ZERO), "nothing is known yet");
        looks.have_found(LOOK);
        assert!(!looks.are_due(false, 2 * LOOK), "whatever was found");
        assert!(looks.are_due(true, 2 * LOOK));
        assert!(looks.are_due(false, LOOK + LOOK_ANYWAY));
        looks.have_found(3 * LOOK);
        looks.know_nothing();
        assert!(looks.are_due(false, 4 * LOOK));
    }

    #[test]
    fn the_desk_says_when_a_job_can_be_begun_that_could_not_before() {
        let desk = Desk::default();
        let names: Vec<String> = (0..JOBS_MAX).map(|place| place.to_string()).collect();
        assert!(names.iter().all(|name| desk.take(name)));
        desk.put_away(&names[0]);
        assert!(!desk.has_room(), "nobody waits");
        assert!(desk.take(&names[0]) && !desk.take("another"));
        desk.put_away(&names[1]);
        assert!(desk.has_room());
        assert!(!desk.has_room(), "it is told once");
        assert!(
            !desk.take(&names[0]),
            "a later job of the same name waits as well"
        );
        desk.let_rest(&names[0]);
        assert!(desk.has_room());
        assert!(!desk.take(&names[0]), "it rests");
        assert!(!desk.has_room());
        desk.has_rested(&names[0]);
        assert!(desk.has_room());
        assert!(desk.take(&names[0]));
    }

    #[test]
    fn a_job_that_gets_further_is_borne_with_anew() {
        let desk = Desk::default();
        let fails = |times: u32| (0..times).any(|_| desk.has_failed("job"));
        assert!(!fails(TRIES - 1));
        desk.gets_further("job");
        assert!(!fails(TRIES - 1));
        assert!(desk.has_failed("job"));
        assert!(!desk.has_failed("other"));
    }
}
