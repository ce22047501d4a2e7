//! The bytes of a layout (`docs/format/layout.md`): a protobuf message behind a version byte.
//!
//! Invariant: reading never panics, whatever the bytes are, and what was read passes [`Layout::validate`]. Fields that an
//! older program does not know are skipped, so that programs of neighbouring versions can share a cluster. Field numbers
//! are never reused.

use std::num::{NonZeroU8, NonZeroU32};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

use super::error::LayoutError;
use super::layout::{Layout, NodeDescription, RangeReplicas, Replica};
use super::token::RangeBits;
use crate::world::NodeId;

/// First byte of a layout.
const FORMAT_VERSION: u8 = 1;

#[derive(Clone, PartialEq, Message)]
struct LayoutRecord {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint32, tag = "2")]
    bits: u32,
    #[prost(uint32, tag = "3")]
    replication: u32,
    #[prost(message, repeated, tag = "4")]
    nodes: Vec<NodeRecord>,
    #[prost(message, repeated, tag = "5")]
    ranges: Vec<RangeRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(string, tag = "3")]
    zone: String,
    #[prost(string, tag = "4")]
    rack: String,
    #[prost(uint32, tag = "5")]
    capacity: u32,
    #[prost(uint64, tag = "6")]
    incarnation: u64,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRecord {
    #[prost(uint64, repeated, tag = "1")]
    nodes: Vec<u64>,
    #[prost(uint64, repeated, tag = "2")]
    replica_ids: Vec<u64>,
    #[prost(uint64, tag = "3")]
    next_replica_id: u64,
}

impl Layout {
    /// The bytes to be stored or sent.
    pub fn to_bytes(&self) -> Bytes {
        let record = LayoutRecord {
            epoch: self.epoch,
            bits: u32::from(self.bits.get()),
            replication: u32::from(self.replication.get()),
            nodes: self
                .nodes
                .iter()
                .map(|(id, node)| NodeRecord::of(*id, node))
                .collect(),
            ranges: self.ranges.iter().map(RangeRecord::of).collect(),
        };
        let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put_slice(&record.encode_to_vec());
        bytes.freeze()
    }

    /// Reads bytes that [`Layout::to_bytes`] has made.
    ///
    /// # Errors
    /// [`LayoutError::UnknownVersion`] for bytes of another version, [`LayoutError::Malformed`] for damaged ones,
    /// [`LayoutError::Invalid`] when they say what cannot be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        let record = match bytes {
            [FORMAT_VERSION, record @ ..] => {
                LayoutRecord::decode(record).map_err(|error| malformed(error.to_string()))?
            }
            [found, ..] => {
                return Err(LayoutError::UnknownVersion {
                    found: *found,
                    known: FORMAT_VERSION,
                });
            }
            [] => return Err(malformed("there are none".to_owned())),
        };
        let bits = u8::try_from(record.bits)
            .ok()
            .and_then(RangeBits::new)
            .ok_or_else(|| malformed(format!("a range of {} bits", record.bits)))?;
        let replication = u8::try_from(record.replication)
            .ok()
            .and_then(NonZeroU8::new)
            .ok_or_else(|| malformed(format!("{} replicas wanted", record.replication)))?;
        let mut layout = Self {
            epoch: record.epoch,
            bits,
            replication,
            ranges: Vec::with_capacity(record.ranges.len()),
            nodes: std::collections::BTreeMap::new(),
        };
        for range in record.ranges {
            layout.ranges.push(range.read()?);
        }
        for node in record.nodes {
            let (id, description) = node.read()?;
            if layout.nodes.insert(id, description).is_some() {
                return Err(malformed(format!("node {id} is there twice")));
            }
        }
        layout.validate()?;
        Ok(layout)
    }
}

impl NodeRecord {
    fn of(id: NodeId, node: &NodeDescription) -> Self {
        Self {
            id: id.0,
            address: node.address.clone(),
            zone: node.zone.clone(),
            rack: node.rack.clone(),
            capacity: node.capacity.get(),
            incarnation: node.incarnation,
        }
    }

    fn read(self) -> Result<(NodeId, NodeDescription), LayoutError> {
        let capacity = NonZeroU32::new(self.capacity)
            .ok_or_else(|| malformed(format!("node {} without capacity", self.id)))?;
        let description = NodeDescription {
            address: self.address,
            zone: self.zone,
            rack: self.rack,
            capacity,
            incarnation: self.incarnation,
        };
        Ok((NodeId(self.id), description))
    }
}

impl RangeRecord {
    fn of(range: &RangeReplicas) -> Self {
        Self {
            nodes: range.replicas.iter().map(|replica| replica.node.0).collect(),
            replica_ids: range.replicas.iter().map(|replica| replica.id).collect(),
            next_replica_id: range.next_id,
        }
    }

    fn read(self) -> Result<RangeReplicas, LayoutError> {
        if self.nodes.len() != self.replica_ids.len() {
            return Err(malformed(format!(
                "a range with {} nodes and {} replica ids",
                self.nodes.len(),
                self.replica_ids.len()
            )));
        }
        let replicas = self.nodes.into_iter().zip(self.replica_ids);
        Ok(RangeReplicas {
            replicas: replicas
                .map(|(node, id)| Replica {
                    node: NodeId(node),
                    id,
                })
                .collect(),
            next_id: self.next_replica_id,
        })
    }
}

fn malformed(cause: String) -> LayoutError {
    LayoutError::Malformed { cause }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::ring::place;

    fn layouts() -> impl Strategy<Value = Layout> {
        let description = ("[a-z]{1,8}:[0-9]{4}", "z[0-3]", "r[0-3]", 1_u32..9, any::<u64>());
        let nodes = proptest::collection::btree_map(any::<u64>(), description, 1..9);
        (1_u8..6, 1_u8..5, nodes).prop_map(|(bits, replication, nodes)| {
            let replication = NonZeroU8::new(replication).unwrap();
            let nodes = nodes
                .into_iter()
                .map(|(id, (address, zone, rack, capacity, incarnation))| {
                    let description = NodeDescription {
                        address,
                        zone,
                        rack,
                        capacity: NonZeroU32::new(capacity).unwrap(),
                        incarnation,
                    };
                    (NodeId(id), description)
                })
                .collect::<BTreeMap<_, _>>();
            let empty = Layout::empty(RangeBits::new(bits).unwrap(), replication);
            place(&empty, &nodes, replication).unwrap()
        })
    }

    fn one_node() -> LayoutRecord {
        LayoutRecord {
            epoch: 7,
            bits: 1,
            replication: 3,
            nodes: vec![NodeRecord {
                id: 5,
                address: "a:1".into(),
                zone: "z".into(),
                rack: "r".into(),
                capacity: 2,
                incarnation: 4,
            }],
            ranges: vec![
                RangeRecord {
                    nodes: vec![5],
                    replica_ids: vec![1],
                    next_replica_id: 2,
                };
                2
            ],
        }
    }

    fn refusal(change: impl FnOnce(&mut LayoutRecord)) -> String {
        let mut record = one_node();
        change(&mut record);
        let bytes = [&[FORMAT_VERSION], record.encode_to_vec().as_slice()].concat();
        Layout::from_bytes(&bytes).unwrap_err().to_string()
    }

    /// The bytes of the example in `docs/format/layout.md`: a change of the format shows here.
    #[test]
    fn the_bytes_are_those_of_the_document() {
        let bytes = [
            0x01, // version
            0x08, 7, 0x10, 1, 0x18, 3, // epoch, bits, replication
            0x22, 17, 0x08, 5, 0x12, 3, b'a', b':', b'1', 0x1A, 1, b'z', 0x22, 1, b'r', 0x28, 2, 0x30, 4,
            0x2A, 8, 0x0A, 1, 5, 0x12, 1, 1, 0x18, 2, // range 0
            0x2A, 8, 0x0A, 1, 5, 0x12, 1, 1, 0x18, 2, // range 1
        ];
        let layout = Layout::from_bytes(&bytes).unwrap();
        assert_eq!(layout.epoch(), 7);
        assert_eq!(layout.nodes().len(), 1);
        assert_eq!(&layout.to_bytes()[..], &bytes);
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let refusal = Layout::from_bytes(&[9, 0]).unwrap_err();
        assert_eq!(
            refusal,
            LayoutError::UnknownVersion {
                found: 9,
                known: FORMAT_VERSION
            }
        );
        assert!(matches!(
            Layout::from_bytes(&[]),
            Err(LayoutError::Malformed { .. })
        ));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (said, cause) in [
            (refusal(|record| record.bits = 0), "a range of 0 bits"),
            (refusal(|record| record.bits = 1 << 20), "a range of 1048576 bits"),
            (refusal(|record| record.bits = 2), "2 bits make 4 ranges, not 2"),
            (refusal(|record| record.replication = 0), "0 replicas wanted"),
            (refusal(|record| record.replication = 256), "256 replicas wanted"),
            (
                refusal(|record| record.nodes[0].capacity = 0),
                "node 5 without capacity",
            ),
            (
                refusal(|record| record.nodes.push(record.nodes[0].clone())),
                "node 5 is there twice",
            ),
            (
                refusal(|record| record.ranges[1].nodes[0] = 6),
                "node 6, which is not in the layout",
            ),
            (
                refusal(|record| record.ranges[1].nodes.push(6)),
                "2 nodes and 1 replica ids",
            ),
        ] {
            assert!(said.contains(cause), "{said}: {cause}");
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped() {
        let mut bytes = [&[FORMAT_VERSION], one_node().encode_to_vec().as_slice()].concat();
        let before = Layout::from_bytes(&bytes).unwrap();
        bytes.extend([0xFA, 0x01, 2, 1, 2]);
        assert_eq!(Layout::from_bytes(&bytes), Ok(before));
    }

    proptest! {
        #[test]
        fn a_layout_is_read_as_it_was_written(layout in layouts()) {
            prop_assert_eq!(Layout::from_bytes(&layout.to_bytes()), Ok(layout));
        }

        #[test]
        fn bytes_that_are_cut_are_refused(layout in layouts()) {
            let bytes = layout.to_bytes();
            for length in 0..bytes.len() {
                prop_assert!(Layout::from_bytes(&bytes[..length]).is_err(), "{} of {}", length, bytes.len());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Layout::from_bytes(&bytes).is_err());
            if let Some(version) = bytes.first_mut() {
                *version = FORMAT_VERSION;
            }
            prop_assert!(Layout::from_bytes(&bytes).is_err());
        }

        #[test]
        fn a_changed_byte_is_refused_or_makes_another_valid_layout(
            layout in layouts(),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = layout.to_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Layout::from_bytes(&bytes) {
                prop_assert_eq!(read.validate(), Ok(()));
            }
        }
    }
}
