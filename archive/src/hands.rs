//! Who seals and puts chunks: whoever writes the cells, or others meanwhile; and how long they hold a processor.
//!
//! Invariant: chunks stand in a run in the order in which they were cut, whoever has put them and in whatever order; a run is
//! finished only when all of them are durable. Not here: threads, which are the owner's.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::archive::Archive;
use crate::chunk::{CHUNKS, ChunkRef};
use crate::error::Error;
use crate::seal::Kind;

/// After so many bytes of hashing, some 130 µs, others come first. At a quarter of it, a backup waits so often that it takes longer, and
/// clients notice no difference.
pub(crate) const STEP_BYTES: usize = 256 << 10;

/// Lets others have the processor first if they wait for it. A thread that stands back (`sched(7)`, "The nice value") still keeps a
/// processor that it has until its time slice ends, some milliseconds: longer than a client's request takes, which goes through
/// several threads and would wait that long at each.
pub(crate) fn give_way() {
    std::thread::yield_now();
}

/// A chunk's worth of hashing, compressing, encrypting, and waiting until it is durable.
pub type Work = Box<dyn FnOnce() + Send>;

/// Who does it. Work that is taken and never done fails the backup.
pub trait Hands: Send + Sync + Debug {
    /// Does the work, now or meanwhile. Must not wait until it is done unless it does it.
    fn take(&self, work: Work);

    /// How many chunks of cells may be in their hands before it is waited for one; one of fingerprints may be there beside them.
    /// Each takes about twice its bytes of memory, as it is and as it is sealed.
    fn many(&self) -> usize;
}

/// Nobody but whoever writes.
#[derive(Debug)]
pub(crate) struct Own;

impl Hands for Own {
    fn take(&self, work: Work) {
        work();
    }

    fn many(&self) -> usize {
        1
    }
}

/// Others, who are given one chunk at a time.
#[derive(Debug)]
pub(crate) struct OneByOne(pub(crate) Arc<dyn Hands>);

impl Hands for OneByOne {
    fn take(&self, work: Work) {
        self.0.take(work);
    }

    fn many(&self) -> usize {
        1
    }
}

/// A chunk as it has become, the bytes that were written for it, and its buffer, to be filled anew.
type Put = (Result<(ChunkRef, u64), Error>, Vec<u8>);

/// The chunks that are in somebody's hands, in their order.
#[derive(Debug)]
pub(crate) struct InHands {
    hands: Arc<dyn Hands>,
    chunks: VecDeque<Receiver<Put>>,
}

impl InHands {
    pub(crate) fn new(hands: &Arc<dyn Hands>) -> Self {
        Self {
            hands: Arc::clone(hands),
            chunks: VecDeque::new(),
        }
    }

    pub(crate) fn give_to(&mut self, hands: &Arc<dyn Hands>) {
        self.hands = Arc::clone(hands);
    }

    /// Whether one must have come back before there may be another one.
    pub(crate) fn are_full(&self) -> bool {
        self.chunks.len() >= self.hands.many().max(1)
    }

    /// Gives away what is to be a chunk.
    pub(crate) fn give(
        &mut self,
        archive: &Archive,
        how: (Kind, bool),
        contents: Vec<u8>,
        about: (u64, Vec<u8>),
    ) {
        let (done, is_done) = sync_channel(1);
        let archive = archive.clone();
        self.hands.take(Box::new(move || {
            let put = ChunkRef::put(&archive, how, &contents, about);
            // Nobody waits for it if the backup has failed meanwhile.
            drop(done.send((put, contents)));
        }));
        self.chunks.push_back(is_done);
    }

    /// Waits for the first one that was given away; `None` if there is none.
    pub(crate) fn wait(&mut self) -> Option<Put> {
        let chunk = self.chunks.pop_front()?;
        let lost = |_| {
            let source = io::Error::other("whoever was to put it has ended");
            let name = CHUNKS.to_owned();
            (Err(Error::Store { name, source }), Vec::new())
        };
        Some(chunk.recv().unwrap_or_else(lost))
    }
}
