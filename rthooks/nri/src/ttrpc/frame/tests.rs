use super::*;
use proptest::prelude::*;

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, bool) {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for mut chunk in chunks {
        while let Some(message) = decoder.next(&mut chunk) {
            messages.push(message);
        }
        assert!(chunk.is_empty(), "all input is used up");
        assert!(decoder.data.len() <= MAX_DATA);
    }
    (messages, decoder.is_at_boundary())
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_of_the_stream_yields_the_same_messages(
        sent in prop::collection::vec(
            (any::<u32>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let bytes: Vec<u8> =
            sent.iter().flat_map(|(stream, kind, data)| encode(*stream, *kind, data).expect("short")).collect();
        let (messages, whole) = decode(cut(&bytes, &cuts));
        prop_assert!(whole);
        let got: Vec<_> = messages
            .into_iter()
            .map(|it| match it {
                Message::Whole(header, data) => (header.stream, header.kind, data.to_vec()),
                Message::Oversize(header) => panic!("{header:?}"),
            })
            .collect();
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn arbitrary_bytes_mean_the_same_wherever_they_are_cut(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..400),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        prop_assert_eq!(decode(cut(&bytes, &cuts)), decode([&bytes[..]]));
    }
}

#[test]
fn a_response_is_framed_as_the_protocol_says() {
    let framed = encode(1, RESPONSE, &[0x12, 0x03, 0x10, 0xA8, 0x0C]).expect("short");
    assert_eq!(framed[..], [0, 0, 0, 5, 0, 0, 0, 1, 2, 0, 0x12, 0x03, 0x10, 0xA8, 0x0C]);
}

#[test]
fn an_announced_length_costs_no_memory_before_its_bytes_arrive() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(&mut &[0, 0x40, 0, 0, 0, 0, 0, 1, 1, 0, 7][..]), None);
    assert!(decoder.data.capacity() < 4096, "{}", decoder.data.capacity());
}

#[test]
fn an_oversize_frame_is_told_at_once_and_passed_over() {
    let mut decoder = Decoder::default();
    let length = u32::try_from(MAX_DATA).expect("fits") + 1;
    let header = Header { length, stream: 9, kind: REQUEST, flags: 0 };
    assert_eq!(decoder.next(&mut &[0, 0x40, 0, 1, 0, 0, 0, 9, 1, 0][..]), Some(Message::Oversize(header)));
    let rest = vec![0xFF; MAX_DATA + 1];
    assert_eq!(decoder.next(&mut &rest[..]), None);
    assert_eq!(decoder.data.capacity(), 0);
    assert!(decoder.is_at_boundary());
    let next = encode(11, REQUEST, b"x").expect("short");
    assert!(matches!(decoder.next(&mut &next[..]), Some(Message::Whole(Header { stream: 11, .. }, _))));
}

#[test]
fn the_longest_frame_passes_both_ways() {
    let data = vec![5; MAX_DATA];
    let framed = encode(3, RESPONSE, &data).expect("just fits");
    let (messages, whole) = decode([&framed[..]]);
    assert!(whole);
    assert!(matches!(&messages[..], [Message::Whole(_, got)] if got[..] == data[..]));
    assert_eq!(encode(3, RESPONSE, &vec![5; MAX_DATA + 1]), None);
}
