//! What kinds of questions are called, in traces.

use super::Ask;

impl Ask {
    /// Its kind.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Write(_) => "Write",
            Self::Read(_) => "Read",
            Self::Page(_) => "Page",
            Self::ReadIndex(_) => "ReadIndex",
            Self::WhoAmI(_) => "WhoAmI",
            Self::Tally(_) => "Tally",
            Self::ReadAt(_) => "ReadAt",
            Self::Repair(_) => "Repair",
            Self::Metadata(_) => "Metadata",
            Self::Accept(_) => "Accept",
            Self::Require(_) => "Require",
            Self::Fill(_) => "Fill",
            Self::Taken(_) => "Taken",
            Self::Transact(_) => "Transact",
            Self::Prepare(_) => "Prepare",
            Self::EndPart(_) => "EndPart",
            Self::See(_) => "See",
            Self::Ledger(_) => "Ledger",
            Self::Host(_) => "Host",
            Self::Discard(_) => "Discard",
            Self::Inventory(_) => "Inventory",
            Self::GroupStatus(_) => "GroupStatus",
            Self::ChangeMembers(_) => "ChangeMembers",
            Self::HandOver(_) => "HandOver",
            Self::Snapshot(_) => "Snapshot",
            Self::SnapshotPage(_) => "SnapshotPage",
            Self::SnapshotEnd(_) => "SnapshotEnd",
            Self::Join(_) => "Join",
            Self::Hold(_) => "Hold",
            Self::Cut(_) => "Cut",
            Self::Lift(_) => "Lift",
            Self::CutPage(_) => "CutPage",
            Self::KeepCut(_) => "KeepCut",
            Self::EndCut(_) => "EndCut",
            Self::Close(_) => "Close",
            Self::Digests(_) => "Digests",
            Self::Pieces(_) => "Pieces",
            Self::Suspect(_) => "Suspect",
            Self::Trust(_) => "Trust",
            Self::Heal(_) => "Heal",
            Self::WantScrub(_) => "WantScrub",
            Self::WantAllScrubs(_) => "WantAllScrubs",
            Self::ScrubProgress(_) => "ScrubProgress",
            Self::Clock(_) => "Clock",
        }
    }
}
