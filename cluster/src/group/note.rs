//! The note of requests: what a replica keeps of its memory of requests when the entries that they came with go.
//!
//! A group with few entries forgets a request only after many more, and would keep the segments of the node's log that
//! these lie in for as long. When the engine says so ([`stator_storage::Engine::holds_log`]), the memory is written anew in
//! one piece, with the answers, into a stream of its own, in the batch that cuts the log ([`super::log`]). Invariant: the
//! note and the entries behind the one that it was made at are the memory, whether they are read by a start or not; no lock
//! is held while answers are read. Not here: what is remembered (`invocations.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};

use super::effect::Record;
use super::invocations::RequestHash;
use super::journal::JournalReader;
use super::replica::Replica;

/// First byte of a note.
const NOTE_VERSION: u8 = 1;

/// Bytes in front of the requests: version, entry, time, passed time, whether there is a time of the last entry and what it
/// is, how many.
const HEADER_BYTES: usize = 1 + 3 * 8 + 1 + 8 + 4;

/// Bytes of a request in front of its answer: hash, entry, when, bytes, length of the answer.
const REQUEST_BYTES: usize = 16 + 3 * 8 + 4;

/// A request of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) request: RequestHash,
    pub(crate) index: u64,
    /// By the time that has passed, as [`Note::passed_ms`].
    pub(crate) at_ms: u64,
    /// Of its entry.
    pub(crate) bytes: u64,
    /// `None` while it is only where it was before.
    pub(crate) answer: Option<Bytes>,
}

/// See the head of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The entry that was the last one applied.
    pub(crate) upto: u64,
    /// The time of the last entry that was proposed or applied.
    pub(crate) at_ms: u64,
    /// How much time had passed, by the memory's own count.
    pub(crate) passed_ms: u64,
    /// The time of the last entry that was counted.
    pub(crate) last_at_ms: Option<u64>,
    /// In the order of their entries.
    pub(crate) requests: Vec<Noted>,
}

impl Note {
    /// The bytes of it, of which [`Note::decode`] makes the same.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let answers = self.requests.iter().filter_map(|noted| noted.answer.as_ref());
        let answers: usize = answers.map(Bytes::len).sum();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + REQUEST_BYTES * self.requests.len() + answers);
        bytes.put_u8(NOTE_VERSION);
        for number in [self.upto, self.at_ms, self.passed_ms] {
            bytes.put_u64_le(number);
        }
        bytes.put_u8(u8::from(self.last_at_ms.is_some()));
        bytes.put_u64_le(self.last_at_ms.unwrap_or_default());
        bytes.put_u32_le(u32::try_from(self.requests.len()).unwrap_or(u32::MAX));
        for noted in &self.requests {
            bytes.put_u128_le(noted.request.number());
            for number in [noted.index, noted.at_ms, noted.bytes] {
                bytes.put_u64_le(number);
            }
            let answer = noted.answer.as_deref().unwrap_or_default();
            bytes.put_u32_le(u32::try_from(answer.len()).unwrap_or(u32::MAX));
            bytes.put_slice(answer);
        }
        bytes
    }

    /// `None` for what [`Note::encode`] has not made.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || bytes.get_u8() != NOTE_VERSION {
            return None;
        }
        let mut note = Self {
            upto: bytes.get_u64_le(),
            at_ms: bytes.get_u64_le(),
            passed_ms: bytes.get_u64_le(),
            ..Self::default()
        };
        let has_last = bytes.get_u8() != 0;
        note.last_at_ms = Some(bytes.get_u64_le()).filter(|_| has_last);
        for _ in 0..bytes.get_u32_le() {
            if bytes.len() < REQUEST_BYTES {
                return None;
            }
            let request = RequestHash::from_number(bytes.get_u128_le());
            let (index, at_ms, length) = (bytes.get_u64_le(), bytes.get_u64_le(), bytes.get_u64_le());
            let answer = usize::try_from(bytes.get_u32_le()).ok()?;
            if answer > bytes.len() {
                return None;
            }
            note.requests.push(Noted {
                request,
                index,
                at_ms,
                bytes: length,
                answer: Some(bytes.split_to(answer)),
            });
        }
        bytes.is_empty().then_some(note)
    }

    /// The answer of the request with which an entry has taken effect.
    fn answer(&self, index: u64) -> Option<&Bytes> {
        let at = self
            .requests
            .binary_search_by_key(&index, |noted| noted.index)
            .ok()?;
        self.requests.get(at)?.answer.as_ref()
    }

    /// Reads the answers that are missing; `false` if one is not there any more, or not yet.
    pub(super) fn complete(&mut self, reader: &JournalReader) -> Result<bool, String> {
        let missing: Vec<u64> = (self.requests.iter())
            .filter(|noted| noted.answer.is_none())
            .map(|noted| noted.index)
            .collect();
        if missing.is_empty() {
            return Ok(true);
        }
        // The note first: what leaves it meanwhile is in none of the two, what comes into it is in both.
        let before = reader.note().map_err(|error| error.to_string())?;
        let mut found = HashMap::with_capacity(missing.len());
        for index in missing {
            let noted = before.as_ref().and_then(|note| note.answer(index)).cloned();
            let answer = match noted {
                Some(answer) => Some(answer),
                None => in_log(reader, index)?,
            };
            let Some(answer) = answer else { return Ok(false) };
            found.insert(index, answer);
        }
        for noted in self.requests.iter_mut().filter(|noted| noted.answer.is_none()) {
            noted.answer = found.get(&noted.index).cloned();
        }
        Ok(true)
    }
}

/// The answer that the log has in an entry.
fn in_log(reader: &JournalReader, index: u64) -> Result<Option<Bytes>, String> {
    if !reader.extent().contains(&index) {
        return Ok(None);
    }
    let entry = match reader.entry(index) {
        Ok(entry) => entry,
        // It was cut between the two looks.
        Err(_) if !reader.extent().contains(&index) => None,
        Err(error) => return Err(error.to_string()),
    };
    let record = entry.and_then(|entry| Record::decode(entry.data).ok());
    Ok(match record {
        Some(Record::Effect(effect)) => Some(effect.answer),
        Some(Record::Answered(answered)) => Some(answered.answer),
        _ => None,
    })
}

impl Replica {
    /// The answer of a request that has taken effect with an entry: in the log, or in the note if the entry has gone.
    pub(super) fn answer_of(&self, index: u64) -> Result<Option<Bytes>, String> {
        let reader = self.log.lock().reader();
        if let Some(answer) = in_log(&reader, index)? {
            return Ok(Some(answer));
        }
        let note = reader.note().map_err(|error| error.to_string())?;
        Ok(note.and_then(|note| note.answer(index).cloned()))
    }

    /// Makes a note of all requests that are remembered and cuts the log for it.
    pub(super) fn note_requests(self: &Arc<Self>) {
        let mut note = {
            let state = self.state.lock();
            state.invocations.note(state.applied, state.last_at_ms)
        };
        let reader = self.log.lock().reader();
        let outcome = note.complete(&reader);
        let mut state = self.state.lock();
        self.log.lock().noted();
        if self.is_retired() {
            // What is in the log now may be of the replica that takes its place.
            return;
        }
        match outcome {
            Ok(true) => {
                self.cut_behind_note(&mut state, note);
                self.advance(state);
                self.host.outbox.flush();
            }
            // The next look begins anew.
            Ok(false) => tracing::debug!(group = self.group, "answers of requests are not there any more"),
            Err(cause) => tracing::warn!(group = self.group, cause, "requests cannot be noted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn note(requests: &[(u64, Vec<u8>)]) -> Note {
        let noted = |(number, answer): &(u64, Vec<u8>)| Noted {
            request: RequestHash::from_number(u128::from(*number) << 70),
            index: *number,
            at_ms: number / 2,
            bytes: 100,
            answer: Some(Bytes::copy_from_slice(answer)),
        };
        Note {
            upto: 9,
            at_ms: 8,
            passed_ms: 7,
            last_at_ms: requests.first().map(|(number, _)| *number),
            requests: requests.iter().map(noted).collect(),
        }
    }

    proptest! {
        #[test]
        fn a_note_comes_back_as_it_was(requests in vec((0_u64..100, vec(0_u8..5, 0..20)), 0..10)) {
            let note = note(&requests);
            let bytes = note.encode();
            prop_assert_eq!(Note::decode(bytes.clone().into()), Some(note));
            for end in 0..bytes.len() {
                prop_assert_eq!(Note::decode(Bytes::copy_from_slice(&bytes[..end])), None);
            }
        }

        #[test]
        fn arbitrary_notes_never_panic(bytes in vec(0_u8..3, 0..120)) {
            Note::decode(bytes.into());
        }
    }

    #[test]
    fn an_answer_is_found_by_its_entry() {
        let note = note(&[(2, vec![1]), (5, vec![2, 3])]);
        assert_eq!(note.answer(5).unwrap().as_ref(), [2, 3]);
        assert_eq!(note.answer(3), None);
    }
}
