//! Both framings, as a connection stacks them: whatever the bytes and wherever they are cut, the same messages come
//! out, and nothing panics. `cargo +nightly fuzz run frames` in `rthooks/nri`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nri_plugin::mux::{Demux, PLUGIN_SERVICE, RUNTIME_SERVICE};
use nri_plugin::ttrpc::{Decoder, Message};

/// The messages of each connection, and whether the bytes were frames to the end.
type Decoded = (Vec<Message>, Vec<Message>, bool);

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let mut demux = Demux::default();
    let (mut requests, mut answers) = (Decoder::default(), Decoder::default());
    let mut decoded: Decoded = (Vec::new(), Vec::new(), true);
    for mut chunk in chunks {
        loop {
            let piece = match demux.next(&mut chunk) {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(_) => {
                    decoded.2 = false;
                    return decoded;
                }
            };
            let mut bytes = piece.bytes;
            let (decoder, messages) = match piece.id {
                PLUGIN_SERVICE => (&mut requests, &mut decoded.0),
                RUNTIME_SERVICE => (&mut answers, &mut decoded.1),
                _ => continue,
            };
            while let Some(message) = decoder.next(&mut bytes) {
                messages.push(message);
            }
            assert!(bytes.is_empty());
        }
    }
    decoded
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let whole = decode(std::iter::once(bytes));
    let cut = decode(bytes.chunks(usize::from(step).max(1)));
    assert_eq!(whole, cut);
});
