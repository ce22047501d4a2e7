//! What a leader's message proves about a log whose beginning is known to be committed.
//!
//! The `raft` crate answers an append that begins before what is committed here with "I have everything up to there": what
//! is committed is in every later leader's log. That does not hold when a power cut has taken the ends of the other logs,
//! which durability `interval` permits: then a majority may have lost entries that this replica holds, and written others in
//! their place. Invariant: this replica claims to have an entry of the leader only if the message shows that both have the
//! same there; by the log matching property that holds for all entries before it (Ongaro and Ousterhout, "In Search of an
//! Understandable Consensus Algorithm", 5.3). Pure.

use raft::eraftpb::Message;

/// See the head of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The message can be taken; what it repeats of the committed entries is left out of it.
    Take,
    /// Both logs are the same up to this entry, which is before the last one that is committed here. More is not shown.
    SameUpTo(u64),
    /// The leader has another entry here, where ours is committed.
    Differs(u64),
}

/// Looks at an append of the current leader, or of a newer one. `term_of` gives the terms of this log's entries, and `None`
/// for those that every member was known to have and that are gone.
pub(super) fn examine(message: &mut Message, committed: u64, term_of: impl Fn(u64) -> Option<u64>) -> Proof {
    if message.index > committed {
        return Proof::Take;
    }
    let differs = |index: u64, term: u64| index <= committed && term_of(index).is_some_and(|own| own != term);
    if differs(message.index, message.log_term) {
        return Proof::Differs(message.index);
    }
    let mut entries = message.entries.iter();
    if let Some(entry) = entries.find(|entry| differs(entry.index, entry.term)) {
        return Proof::Differs(entry.index);
    }
    let last = message.entries.last().map_or(message.index, |entry| entry.index);
    if last < committed {
        return Proof::SameUpTo(last);
    }
    if let Some(term) = term_of(committed).filter(|_| message.index < committed) {
        let repeated = message
            .entries
            .iter()
            .take_while(|entry| entry.index <= committed);
        let repeated = repeated.count();
        let rest = message.take_entries().into_iter().skip(repeated).collect();
        message.set_entries(rest);
        message.index = committed;
        message.log_term = term;
    }
    Proof::Take
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    /// An append behind an entry of a term, with entries of these terms.
    fn append(index: u64, log_term: u64, terms: &[u64]) -> Message {
        let entry = |(term, index): (&u64, u64)| {
            let mut entry = Entry::default();
            entry.set_index(index);
            entry.set_term(*term);
            entry
        };
        let mut message = Message {
            index,
            log_term,
            ..Message::default()
        };
        message.set_entries(terms.iter().zip(index + 1..).map(entry).collect());
        message
    }

    /// Entries 1 to 4 of term 1, 5 and 6 of term 2; the first one is gone.
    fn term_of(index: u64) -> Option<u64> {
        match index {
            2..=4 => Some(1),
            5 | 6 => Some(2),
            _ => None,
        }
    }

    #[test]
    fn what_is_repeated_is_left_out_and_the_rest_goes_on_from_there() {
        let mut message = append(3, 1, &[1, 2, 2, 3]);
        assert_eq!(examine(&mut message, 5, term_of), Proof::Take);
        assert_eq!(message, append(5, 2, &[2, 3]));
        let mut behind = append(6, 2, &[3]);
        assert_eq!(examine(&mut behind, 5, term_of), Proof::Take);
        assert_eq!(behind, append(6, 2, &[3]));
        let mut exact = append(5, 2, &[]);
        assert_eq!(examine(&mut exact, 5, term_of), Proof::Take);
    }

    #[test]
    fn no_more_is_claimed_than_was_shown() {
        assert_eq!(examine(&mut append(3, 1, &[]), 5, term_of), Proof::SameUpTo(3));
        assert_eq!(examine(&mut append(1, 1, &[1]), 5, term_of), Proof::SameUpTo(2));
    }

    #[test]
    fn another_entry_where_ours_is_committed_is_found() {
        assert_eq!(examine(&mut append(5, 3, &[]), 5, term_of), Proof::Differs(5));
        assert_eq!(examine(&mut append(3, 1, &[1, 3]), 5, term_of), Proof::Differs(5));
        // What is not committed here is overruled as always.
        assert_eq!(examine(&mut append(5, 2, &[3]), 5, term_of), Proof::Take);
    }
}
