//! What a node says about itself, and how it spreads: the newest wins.
//!
//! Invariant: a state is passed on only if it is newer than all that were seen of its node, so that every state stops
//! spreading by itself. Not here: how often a node speaks (`core`).

use std::collections::BTreeMap;

use foca::{BroadcastHandler, Invalidates};

use super::error::MessageError;
use super::id::MemberId;
use super::wire::{Reader, put_text, put_varint};
use crate::world::NodeId;

/// The longest text of [`NodeState::software`], in bytes. A longer one is cut.
pub const SOFTWARE_BYTES_MAX: usize = 64;
/// The longest text of [`NodeState::zone`] and of [`NodeState::rack`], in bytes. A longer one is cut, so that whoever
/// reads a configuration refuses it before.
pub const PLACE_BYTES_MAX: usize = 64;

/// The longest state as bytes: eleven numbers of 64 bits, two of 32, two bits and three texts.
#[cfg(test)]
pub(super) const STATE_BYTES_MAX: usize =
    11 * 10 + 2 * 5 + 2 + (1 + SOFTWARE_BYTES_MAX) + 2 * (1 + PLACE_BYTES_MAX);

/// What a node says about itself. All of it may be a few seconds old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Counts what the process has said so far. Set by gossip; what a caller writes here is not looked at.
    pub version: u64,
    /// Load: requests served per second.
    pub requests_per_second: u64,
    /// Bytes of data on its disk.
    pub data_bytes: u64,
    /// Bytes that are free on its disk.
    pub free_bytes: u64,
    /// How many token ranges it leads.
    pub leaders: u64,
    /// How many token ranges it has a replica of.
    pub replicas: u64,
    /// When it was started, in milliseconds since the Unix epoch, by its own clock.
    pub started_at_ms: u64,
    /// The version of its software, such as `0.1.0`.
    pub software: String,
    /// The epoch of the latest layout that it knows.
    pub layout_epoch: u64,
    /// How many operations wait in its hints for nodes that are away.
    pub hints_waiting: u64,
    /// What it shares with other nodes so that they may all fail together, such as a data centre.
    pub zone: String,
    /// What it shares with other nodes of its zone, such as a rack of a data centre.
    pub rack: String,
    /// How much of the data it should hold, beside the capacities of the others.
    pub capacity: u32,
    /// Whether it has lost its data and holds no replicas until it gets new ones.
    pub rejoining: bool,
    /// Which formats its program reads, by their generation ([`FORMATS`](crate::FORMATS)); 0 if it does not say so.
    pub formats: u32,
    /// Whether it was told to stop, so that nothing is to be handed over to it. Spread at once.
    pub stopping: bool,
}

impl NodeState {
    /// Says something else from now on. Whether others have to hear of it at once.
    pub(super) fn replace(&mut self, state: Self) -> bool {
        let is_urgent = state.stopping && !self.stopping;
        *self = Self {
            version: self.version,
            ..state
        };
        is_urgent
    }

    /// What was said at a time, as it counts for a start of the node: that an earlier one has stopped says nothing of it.
    pub(super) fn of_start(&self, (said_in, _): Stamp, incarnation: u64) -> Self {
        Self {
            stopping: self.stopping && said_in >= incarnation,
            ..self.clone()
        }
    }
}

/// When a state was said: the incarnation of the process, and the version within it.
pub(super) type Stamp = (u64, u64);

/// A state as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateItem {
    pub(super) node: NodeId,
    pub(super) incarnation: u64,
    pub(super) state: NodeState,
}

impl StateItem {
    pub(super) fn stamp(&self) -> Stamp {
        (self.incarnation, self.state.version)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let state = &self.state;
        let mut bytes = Vec::new();
        for number in [
            self.node.0,
            self.incarnation,
            state.version,
            state.requests_per_second,
            state.data_bytes,
            state.free_bytes,
            state.leaders,
            state.replicas,
            state.started_at_ms,
            state.layout_epoch,
            state.hints_waiting,
        ] {
            put_varint(&mut bytes, number);
        }
        put_text(&mut bytes, cut(&state.software, SOFTWARE_BYTES_MAX));
        put_text(&mut bytes, cut(&state.zone, PLACE_BYTES_MAX));
        put_text(&mut bytes, cut(&state.rack, PLACE_BYTES_MAX));
        put_varint(&mut bytes, state.capacity.into());
        put_varint(&mut bytes, state.rejoining.into());
        put_varint(&mut bytes, state.formats.into());
        if state.stopping {
            put_varint(&mut bytes, 1);
        }
        bytes
    }

    /// Later versions may say more behind what this one knows.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let node = NodeId(reader.varint()?);
        let incarnation = reader.varint()?;
        let state = NodeState {
            version: reader.varint()?,
            requests_per_second: reader.varint()?,
            data_bytes: reader.varint()?,
            free_bytes: reader.varint()?,
            leaders: reader.varint()?,
            replicas: reader.varint()?,
            started_at_ms: reader.varint()?,
            layout_epoch: reader.varint()?,
            hints_waiting: reader.varint()?,
            software: short_text(
                &mut reader,
                SOFTWARE_BYTES_MAX,
                "a software version that is too long",
            )?,
            zone: short_text(&mut reader, PLACE_BYTES_MAX, "a zone that is too long")?,
            rack: short_text(&mut reader, PLACE_BYTES_MAX, "a rack that is too long")?,
            capacity: u32::try_from(reader.varint()?).map_err(|_| MessageError::Malformed {
                cause: "a capacity of more than 32 bits",
            })?,
            rejoining: reader.varint()? != 0,
            // Programs of the first generation end here.
            formats: if reader.is_empty() {
                0
            } else {
                u32::try_from(reader.varint()?).unwrap_or(u32::MAX)
            },
            // Only those that are stopping go on.
            stopping: !reader.is_empty() && reader.varint()? == 1,
        };
        Ok(Self {
            node,
            incarnation,
            state,
        })
    }
}

/// Reads a text of at most `bytes_max` bytes; `cause` says what is wrong with a longer one.
fn short_text(
    reader: &mut Reader<'_>,
    bytes_max: usize,
    cause: &'static str,
) -> Result<String, MessageError> {
    let text = reader.text()?;
    if text.len() > bytes_max {
        return Err(MessageError::Malformed { cause });
    }
    Ok(text.to_owned())
}

/// The longest beginning of a text that has at most `bytes_max` bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.char_indices()
        .map(|(start, character)| start + character.len_utf8())
        .take_while(|end| *end <= bytes_max)
        .last()
        .and_then(|end| text.get(..end))
        .unwrap_or("")
}

/// What is waiting to be passed on: at most one state of each node.
#[derive(Debug)]
pub(super) struct StateKey(NodeId);

impl Invalidates for StateKey {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Decides for `foca` which states are news.
#[derive(Debug, Default)]
pub(super) struct Novelty {
    newest: BTreeMap<NodeId, Stamp>,
}

impl BroadcastHandler<MemberId> for Novelty {
    type Key = StateKey;
    type Error = MessageError;

    fn receive_item(
        &mut self,
        data: &[u8],
        _sender: Option<&MemberId>,
    ) -> Result<Option<StateKey>, MessageError> {
        let item = StateItem::decode(data)?;
        let newest = self.newest.entry(item.node).or_default();
        if item.stamp() <= *newest {
            return Ok(None);
        }
        *newest = item.stamp();
        Ok(Some(StateKey(item.node)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn item(incarnation: u64, version: u64) -> StateItem {
        StateItem {
            node: NodeId(3),
            incarnation,
            state: NodeState {
                version,
                software: "0.1.0".into(),
                formats: 7,
                ..NodeState::default()
            },
        }
    }

    #[test]
    fn only_what_is_newer_is_news() {
        let mut novelty = Novelty::default();
        let mut is_news = |incarnation, version| {
            novelty
                .receive_item(&item(incarnation, version).encode(), None)
                .unwrap()
                .is_some()
        };
        assert!(is_news(1, 5));
        assert!(!is_news(1, 5));
        assert!(!is_news(1, 4));
        assert!(is_news(2, 1), "a later start counts anew");
        assert!(!is_news(1, 6));
    }

    #[test]
    fn that_a_node_stops_is_urgent_and_counts_for_the_start_that_has_said_it() {
        let stopping = NodeState {
            layout_epoch: 7,
            stopping: true,
            ..NodeState::default()
        };
        let mut own = NodeState {
            version: 4,
            ..NodeState::default()
        };
        assert!(own.replace(stopping.clone()));
        assert_eq!((own.version, own.layout_epoch, own.stopping), (4, 7, true));
        assert!(!own.replace(stopping), "it is known");
        assert!(own.of_start((2, 4), 2).stopping);
        let next = own.of_start((2, 4), 3);
        assert_eq!((next.layout_epoch, next.stopping), (7, false));
    }

    #[test]
    fn a_program_that_says_no_generation_of_formats_has_the_first_one() {
        let mut bytes = item(1, 2).encode();
        assert_eq!(bytes.pop(), Some(7));
        let mut first = item(1, 2);
        first.state.formats = 0;
        assert_eq!(StateItem::decode(&bytes).unwrap(), first);
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let mut bytes = item(1, 2).encode();
        bytes.extend_from_slice(b"more");
        assert_eq!(StateItem::decode(&bytes).unwrap(), item(1, 2));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut long = item(1, 1);
        let text = |bytes_max: usize| format!("{}ü", "x".repeat(bytes_max - 1));
        long.state.software = text(SOFTWARE_BYTES_MAX);
        long.state.zone = text(PLACE_BYTES_MAX);
        long.state.rack = text(PLACE_BYTES_MAX);
        let sent = StateItem::decode(&long.encode()).unwrap();
        assert_eq!(sent.state.software, "x".repeat(SOFTWARE_BYTES_MAX - 1));
        assert_eq!(sent.state.zone, "x".repeat(PLACE_BYTES_MAX - 1));
        assert_eq!(sent.state.rack, "x".repeat(PLACE_BYTES_MAX - 1));
    }

    #[test]
    fn texts_and_numbers_beyond_their_limit_are_refused() {
        // Eleven numbers, then software, zone, rack, capacity, whether it rejoins.
        let bytes = |lengths: [usize; 3], capacity: u64| {
            let mut bytes = vec![1; 11];
            for length in lengths {
                put_text(&mut bytes, &"x".repeat(length));
            }
            put_varint(&mut bytes, capacity);
            bytes.push(0);
            bytes
        };
        let limits = [SOFTWARE_BYTES_MAX, PLACE_BYTES_MAX, PLACE_BYTES_MAX];
        assert!(StateItem::decode(&bytes(limits, u32::MAX.into())).is_ok());
        assert!(StateItem::decode(&bytes(limits, 1 << 32)).is_err());
        for text in 0..3 {
            let mut lengths = limits;
            lengths[text] += 1;
            assert!(StateItem::decode(&bytes(lengths, 1)).is_err(), "text {text}");
        }
    }

    #[test]
    fn the_longest_state_has_as_many_bytes_as_messages_have_room_for() {
        let longest = StateItem {
            node: NodeId(u64::MAX),
            incarnation: u64::MAX,
            state: NodeState {
                version: u64::MAX,
                requests_per_second: u64::MAX,
                data_bytes: u64::MAX,
                free_bytes: u64::MAX,
                leaders: u64::MAX,
                replicas: u64::MAX,
                started_at_ms: u64::MAX,
                software: "x".repeat(1000),
                layout_epoch: u64::MAX,
                hints_waiting: u64::MAX,
                zone: "x".repeat(1000),
                rack: "x".repeat(1000),
                capacity: u32::MAX,
                rejoining: true,
                formats: u32::MAX,
                stopping: true,
            },
        };
        assert_eq!(longest.encode().len(), STATE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn a_state_comes_back(
            numbers in any::<[u64; 11]>(),
            software in "[ -~]{0,64}",
            (zone, rack) in ("[ -~]{0,64}", "[a-zü]{0,32}"),
            (capacity, formats) in any::<(u32, u32)>(),
            (rejoining, stopping) in any::<(bool, bool)>(),
        ) {
            let [node, incarnation, version, requests_per_second, data_bytes, free_bytes, leaders, replicas,
                started_at_ms, layout_epoch, hints_waiting] = numbers;
            let item = StateItem {
                node: NodeId(node),
                incarnation,
                state: NodeState {
                    version, requests_per_second, data_bytes, free_bytes, leaders, replicas, started_at_ms,
                    software, layout_epoch, hints_waiting, zone, rack, capacity, rejoining, formats,
                    stopping,
                },
            };
            let bytes = item.encode();
            prop_assert_eq!(StateItem::decode(&bytes).unwrap(), item);
            prop_assert!(bytes.len() <= STATE_BYTES_MAX);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            StateItem::decode(&bytes).ok();
        }
    }
}
