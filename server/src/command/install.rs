//! Setting or removing one cell of metadata, whatever is there.

use bytes::Bytes;
use stator_cluster::{Applier, Cell, Verdict};

use super::codec::put_bytes;
use super::{FORMAT_VERSION, kind};

/// The command: the cell becomes these bytes, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Install(pub(crate) Option<Bytes>);

impl Applier for Install {
    type Answer = ();

    fn decide(&self, _: Option<&Cell>) -> Verdict<()> {
        match &self.0 {
            Some(cell) => Verdict::Put {
                cell: cell.clone(),
                answer: (),
            },
            None => Verdict::Delete { answer: () },
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        if let Some(cell) = &self.0 {
            into.extend_from_slice(&[FORMAT_VERSION, kind::INSTALL]);
            put_bytes(into, cell);
        } else {
            into.extend_from_slice(&[FORMAT_VERSION, kind::UNINSTALL]);
        }
    }
}
