//! Messages come back as they were written, and no bytes do harm.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::super::state::{NodeState, STATE_BYTES_MAX};
use super::*;

fn ids() -> impl Strategy<Value = MemberId> {
    (any::<u64>(), 1u64.., any::<u32>(), any::<u32>(), "[!-~]{1,255}").prop_map(
        |(node, incarnation, process, renewal, address)| MemberId {
            node: NodeId(node),
            incarnation,
            process,
            renewal,
            address: address.into(),
        },
    )
}

fn kinds() -> impl Strategy<Value = foca::Message<MemberId>> {
    let number = any::<u8>();
    prop_oneof![
        number.prop_map(foca::Message::Ping),
        number.prop_map(foca::Message::Ack),
        (ids(), number).prop_map(|(target, probe_number)| foca::Message::PingReq { target, probe_number }),
        (ids(), number)
            .prop_map(|(origin, probe_number)| foca::Message::IndirectPing { origin, probe_number }),
        (ids(), number)
            .prop_map(|(target, probe_number)| foca::Message::IndirectAck { target, probe_number }),
        (ids(), number)
            .prop_map(|(origin, probe_number)| foca::Message::ForwardedAck { origin, probe_number }),
        Just(foca::Message::Announce),
        Just(foca::Message::Feed),
        Just(foca::Message::Gossip),
        Just(foca::Message::Broadcast),
        Just(foca::Message::TurnUndead),
    ]
}

fn headers() -> impl Strategy<Value = Header<MemberId>> {
    (ids(), any::<u16>(), ids(), kinds()).prop_map(|(src, src_incarnation, dst, message)| Header {
        src,
        src_incarnation,
        dst,
        message,
    })
}

fn members() -> impl Strategy<Value = foca::Member<MemberId>> {
    let states = prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Down)];
    (ids(), any::<u16>(), states)
        .prop_map(|(id, refutations, state)| foca::Member::new(id, refutations, state))
}

fn item(version: u64) -> Vec<u8> {
    StateItem {
        node: NodeId(4),
        incarnation: 2,
        state: NodeState {
            version,
            software: "0.1.0".into(),
            zone: "z".into(),
            rack: "r1".into(),
            capacity: 200,
            formats: 1,
            ..NodeState::default()
        },
    }
    .encode()
}

/// A message with one member and one state.
fn gossip() -> Vec<u8> {
    let id = |node| MemberId {
        node: NodeId(node),
        incarnation: 300,
        process: 0x0102_0304,
        renewal: 1,
        address: "a:1".into(),
    };
    let mut bytes = Vec::new();
    let header = Header {
        src: id(1),
        src_incarnation: 7,
        dst: id(2),
        message: foca::Message::Ping(9),
    };
    put_header(&mut bytes, &header);
    bytes.extend_from_slice(&1u16.to_be_bytes());
    put_member(&mut bytes, &foca::Member::new(id(3), 5, State::Suspect));
    let item = item(1);
    bytes.extend_from_slice(&u16::try_from(item.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&item);
    bytes
}

#[test]
fn the_bytes_are_those_of_the_document() {
    let expected = [
        &[1u8, 0][..],
        &[1, 0xac, 2, 1, 2, 3, 4, 1, 3],
        b"a:1",
        &[0, 7],
        &[2, 0xac, 2, 1, 2, 3, 4, 1, 3],
        b"a:1",
        &[9],
        &[0, 1, 1, 0, 5],
        &[3, 0xac, 2, 1, 2, 3, 4, 1, 3],
        b"a:1",
        &[0, 26, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5],
        b"0.1.0",
        &[1],
        b"z",
        &[2],
        b"r1",
        &[0xc8, 1, 0, 1],
    ]
    .concat();
    assert_eq!(gossip(), expected);
}

#[test]
fn a_message_is_read_whole() {
    let bytes = gossip();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.members.len(), 1);
    assert_eq!(message.states.len(), 1);
    assert_eq!(message.encode(), bytes);
}

#[test]
fn a_message_without_some_members_is_written_anew() {
    let bytes = gossip();
    let mut message = Message::parse(&bytes).unwrap();
    message.members.clear();
    let fewer = message.encode();
    let message = Message::parse(&fewer).unwrap();
    assert_eq!((message.members.len(), message.states.len()), (0, 1));
}

#[test]
fn a_message_that_is_cut_is_refused() {
    let bytes = gossip();
    for length in 0..bytes.len() {
        let parsed = Message::parse(&bytes[..length]);
        // The end of each part that may be the last one.
        let state_bytes = item(1).len() + 2;
        if length == bytes.len() - state_bytes || length == bytes.len() - state_bytes - 17 {
            assert!(parsed.is_ok(), "{length} bytes");
        } else {
            assert!(parsed.is_err(), "{length} bytes");
        }
    }
}

#[test]
fn an_unknown_version_is_named() {
    let mut bytes = gossip();
    bytes[0] = 2;
    assert_eq!(
        Message::parse(&bytes).unwrap_err(),
        MessageError::UnknownVersion { found: 2, known: 1 }
    );
}

#[test]
fn a_message_beyond_the_limit_is_refused() {
    let mut bytes = gossip();
    while bytes.len() <= MESSAGE_BYTES_MAX {
        let item = item(1);
        bytes.extend_from_slice(&u16::try_from(item.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&item);
    }
    assert_eq!(
        Message::parse(&bytes).unwrap_err(),
        MessageError::Malformed {
            cause: "it is too long"
        }
    );
}

#[test]
fn numbers_have_one_form() {
    for bytes in [&[0x80, 0][..], &[0xff; 10], &[0xff; 11], &[0x80; 9], &[]] {
        assert!(Reader::new(bytes).varint().is_err(), "{bytes:?}");
    }
    let mut bytes = Vec::new();
    put_varint(&mut bytes, u64::MAX);
    assert_eq!(bytes.len(), 10);
}

proptest! {
    #[test]
    fn a_number_comes_back(number in any::<u64>()) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        prop_assert_eq!(Reader::new(&bytes).varint().unwrap(), number);
    }

    #[test]
    fn a_header_comes_back_and_fits_with_a_state(header in headers()) {
        let mut bytes = Vec::new();
        put_header(&mut bytes, &header);
        prop_assert!(bytes.len() + 2 + 2 + STATE_BYTES_MAX <= MESSAGE_BYTES_MAX, "{} bytes", bytes.len());
        let mut wire = Wire::default();
        let mut written = Vec::new();
        wire.encode_header(&header, &mut written).unwrap();
        prop_assert_eq!(&written, &bytes);
        bytes.extend_from_slice(b"rest");
        let mut rest = &bytes[..];
        prop_assert_eq!(wire.decode_header(&mut rest).unwrap(), header);
        prop_assert_eq!(rest, b"rest");
    }

    #[test]
    fn a_member_comes_back(member in members(), room in 0usize..600) {
        let mut wire = Wire::default();
        let mut bytes = Vec::new();
        wire.encode_member(&member, &mut bytes).unwrap();
        let mut rest = &bytes[..];
        prop_assert_eq!(&wire.decode_member(&mut rest).unwrap(), &member);
        prop_assert!(rest.is_empty());
        let mut small = Vec::new().limit(room);
        let fits = wire.encode_member(&member, &mut small).is_ok();
        prop_assert_eq!(fits, room >= bytes.len());
        prop_assert!(fits || small.into_inner().is_empty());
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        Message::parse(&bytes).ok();
    }

    #[test]
    fn no_change_of_a_message_makes_reading_panic(place in 0usize..70, byte in any::<u8>(), length in 0usize..80) {
        let mut bytes = gossip();
        let place = place % bytes.len();
        bytes[place] = byte;
        bytes.truncate(length);
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert!(Message::parse(&message.encode()).is_ok());
        }
    }
}
