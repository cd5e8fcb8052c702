use super::*;
use proptest::prelude::*;

/// Frames as (id, payload), and what the end of the stream looked like.
type Decoded = (Vec<(u32, Vec<u8>)>, Result<bool, FrameTooLong>);

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut demux = Demux::default();
    let mut frames: Vec<(u32, Vec<u8>)> = Vec::new();
    for mut chunk in chunks {
        loop {
            match demux.next(&mut chunk) {
                Ok(Some(piece)) if piece.first => frames.push((piece.id, piece.bytes.to_vec())),
                Ok(Some(piece)) => {
                    let last = frames.last_mut().expect("a frame has a beginning");
                    assert_eq!(last.0, piece.id);
                    last.1.extend_from_slice(piece.bytes);
                }
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        assert!(chunk.is_empty(), "all input is used up");
    }
    (frames, Ok(demux.is_at_boundary()))
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_of_the_stream_yields_the_same_frames(
        frames in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let mut bytes = Vec::new();
        for (id, payload) in &frames {
            bytes.extend(id.to_be_bytes());
            bytes.extend(u32::try_from(payload.len())?.to_be_bytes());
            bytes.extend(payload);
        }
        prop_assert_eq!(decode(cut(&bytes, &cuts)), (frames, Ok(true)));
    }

    #[test]
    fn arbitrary_bytes_are_frames_or_an_error_wherever_they_are_cut(
        bytes in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..400),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        prop_assert_eq!(decode(cut(&bytes, &cuts)), decode([&bytes[..]]));
    }

    #[test]
    fn an_encoded_message_comes_back_whole_and_only_its_last_frame_may_be_long(
        length in prop_oneof![0..9000_usize, Just(4096), Just(4097)],
    ) {
        let message: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
        let encoded = encode(7, &message);
        let (frames, end) = decode([&encoded[..]]);
        prop_assert_eq!(end, Ok(true));
        prop_assert!(frames.iter().all(|(id, _)| *id == 7));
        if length <= FIRST_PAYLOAD {
            prop_assert_eq!(frames.len(), 1);
        } else {
            prop_assert_eq!(frames.iter().map(|it| it.1.len()).collect::<Vec<_>>(), [4096, length - 4096]);
        }
        prop_assert_eq!(frames.into_iter().flat_map(|it| it.1).collect::<Vec<_>>(), message);
    }
}

#[test]
fn headers_are_big_endian() {
    assert_eq!(&encode(1, b"abc")[..], [0, 0, 0, 1, 0, 0, 0, 3, b'a', b'b', b'c']);
    assert_eq!(decode([&[1, 2, 3, 4, 0, 0, 0, 1, 9][..]]).0, [(0x0102_0304, vec![9])]);
}

#[test]
fn an_empty_frame_is_a_frame() {
    assert_eq!(decode([&[0, 0, 0, 2, 0, 0, 0, 0][..]]), (vec![(2, vec![])], Ok(true)));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_not_at_a_boundary() {
    assert_eq!(decode([&[0, 0, 0][..]]).1, Ok(false));
    assert_eq!(decode([&[0, 0, 0, 1, 0, 0, 0, 2, 5][..]]), (vec![(1, vec![5])], Ok(false)));
    assert_eq!(decode([&[0, 0, 0, 1, 0, 0, 0, 2][..]]), (vec![(1, vec![])], Ok(false)));
}

#[test]
fn the_longest_frame_is_taken_and_one_byte_more_is_refused_for_good() {
    let mut demux = Demux::default();
    assert!(demux.next(&mut &[0, 0, 0, 1, 1, 0, 0, 0][..]).is_ok());
    let mut demux = Demux::default();
    let error = FrameTooLong { id: 1, length: (1 << 24) + 1 };
    assert_eq!(demux.next(&mut &[0, 0, 0, 1, 1, 0, 0, 1][..]), Err(error));
    assert_eq!(demux.next(&mut &[0, 0, 0, 1, 0, 0, 0, 0][..]), Err(error));
}
