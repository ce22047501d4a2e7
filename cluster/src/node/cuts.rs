//! The cuts that this node keeps: cells of the groups that it led, as they were at one moment.
//!
//! Invariant: a cut is read only when it is known which transactions stand in it; one that nobody has asked about for
//! [`IDLE_MAX`] goes, because each keeps files of the engine. A start keeps none. Not here: how the moment is chosen
//! (`coordinator/cut.rs`), what is in one (`group/hold.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Node;
use super::message::cut::{CutHead, CutPage, HoldOf, Lift};
use super::message::transaction::id_of;
use super::message::{Ask, Rows, Tell};
use super::serve::malformed;
use crate::group::hold::GroupCut;
use crate::group::replica::Refused;

/// One that nobody has asked about for so long is forgotten.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(300);

/// The most that a page has, in bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Cuts(Mutex<BTreeMap<u64, Kept>>);

#[derive(Debug)]
struct Kept {
    groups: BTreeMap<u32, Arc<GroupCut>>,
    /// When it was last asked about.
    asked_at: Duration,
}

impl Node {
    /// Does what is asked about cuts.
    pub(super) async fn carry_out_cut(self: &Arc<Self>, ask: Ask) -> Result<Tell, Refused> {
        match ask {
            Ask::Hold(of) => {
                self.asked(of.group)?.hold(of.cut, &of.keyspaces).await?;
                Ok(Tell::Index(0))
            }
            Ask::Cut(of) => self.serve_cut(of).await.map(Tell::Cut),
            Ask::Lift(lift) => self.serve_lift(lift).await.map(Tell::Index),
            Ask::CutPage(page) => self.serve_cut_page(page).await.map(Tell::Rows),
            Ask::KeepCut(cut) => {
                let now = self.surroundings.world.now();
                let mut cuts = self.cuts.0.lock();
                let kept = cuts.get_mut(&cut).ok_or_else(forgotten)?;
                kept.asked_at = now;
                Ok(Tell::Index(0))
            }
            Ask::EndCut(cut) => {
                self.cuts.0.lock().remove(&cut);
                Ok(Tell::Index(0))
            }
            _ => Err(malformed("the node does not know the question")),
        }
    }

    /// Forgets the cuts that nobody has asked about for long: whoever made them is gone.
    pub(super) fn forget_idle_cuts(&self) {
        let now = self.surroundings.world.now();
        let mut cuts = self.cuts.0.lock();
        cuts.retain(|_, kept| now.saturating_sub(kept.asked_at) < IDLE_MAX);
    }

    async fn serve_cut(self: &Arc<Self>, of: HoldOf) -> Result<CutHead, Refused> {
        let (cut, undecided) = self.asked(of.group)?.cut(of.cut, &of.keyspaces).await?;
        let now = self.surroundings.world.now();
        let mut cuts = self.cuts.0.lock();
        let kept = cuts.entry(of.cut).or_insert_with(|| Kept {
            groups: BTreeMap::new(),
            asked_at: now,
        });
        kept.groups.insert(of.group, Arc::new(cut));
        Ok(CutHead::new(&undecided))
    }

    /// 1 if the writes were held until now.
    async fn serve_lift(self: &Arc<Self>, lift: Lift) -> Result<u64, Refused> {
        let was_held = self.asked(lift.group)?.lift(lift.cut).await?;
        let stands = lift.stands.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
        let mut cuts = self.cuts.0.lock();
        let cut = cuts
            .get_mut(&lift.cut)
            .and_then(|kept| kept.groups.get_mut(&lift.group));
        // Nobody reads it before it is settled.
        let Some(cut) = cut.and_then(Arc::get_mut) else {
            return Ok(0);
        };
        cut.settle(&stands);
        Ok(u64::from(was_held))
    }

    /// Read on a thread that stands back: pages follow one another for as long as a table is large.
    async fn serve_cut_page(&self, page: CutPage) -> Result<Rows, Refused> {
        let cut = {
            let mut cuts = self.cuts.0.lock();
            let kept = cuts.get_mut(&page.cut).ok_or_else(forgotten)?;
            kept.asked_at = self.surroundings.world.now();
            Arc::clone(kept.groups.get(&page.group).ok_or_else(forgotten)?)
        };
        let span = self
            .span_of_group(page.group)
            .map_err(|error| Refused::NotNow(error.to_string()))?;
        let bytes_max = usize::try_from(page.bytes_max)
            .unwrap_or(usize::MAX)
            .min(PAGE_BYTES_MAX);
        let (done, is_done) = oneshot::channel();
        self.surroundings.world.aside(Box::new(move || {
            let found = cut.rows(page.keyspace, &span, page.behind.as_deref(), bytes_max);
            // Whoever asked may have left.
            drop(done.send(found));
        }));
        let found = is_done.await;
        let found = found.map_err(|_| Refused::NotNow("the page could not be read".to_owned()))??;
        let (keys, cells): (Vec<Bytes>, Vec<Bytes>) = found.rows.into_iter().unzip();
        Ok(Rows {
            keys,
            cells,
            is_last: found.is_last,
        })
    }
}

fn forgotten() -> Refused {
    Refused::NotNow("the cut is not kept any more; make another one".to_owned())
}
