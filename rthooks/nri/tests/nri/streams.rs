//! Whatever the cuts: the same conversation; whatever the bytes: an end.

use nri_plugin::api::Empty;
use nri_plugin::mux::{PLUGIN_SERVICE, RUNTIME_SERVICE};
use nri_plugin::ttrpc::envelope::Response;
use nri_plugin::ttrpc::{self, REQUEST, RESPONSE};
use proptest::prelude::*;
use prost::Message;

use crate::peer::{self, Running, about, configure, synchronize};

fn request(stream: u32, method: &str, message: &impl Message) -> Vec<u8> {
    let data = peer::request(method, message).encode_to_vec();
    ttrpc::encode(stream, REQUEST, &data).expect("fits").to_vec()
}

/// All that the runtime says on its two connections. Each request waits for no answer, but the callbacks are noted in
/// order all the same, as none of them waits.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let answer = ttrpc::encode(1, RESPONSE, &Response::default().encode_to_vec()).expect("fits");
    let long = "long".repeat(3000);
    let requests = [
        request(1, "Configure", &configure()),
        request(3, "Synchronize", &synchronize(&["a"], true)),
        request(5, "Synchronize", &synchronize(&["b", &long], false)),
        request(7, "CreateContainer", &about("c")),
        request(9, "StartContainer", &about(&long)),
        request(11, "Shutdown", &Empty {}),
    ];
    (requests.concat(), answer.to_vec())
}

/// One mux frame with the next bytes of one of the connections; of an unknown one, zeros.
#[derive(Debug, Clone)]
enum Cut {
    Requests(usize),
    Answer(usize),
    Unknown(u32, usize),
}

fn cut() -> impl Strategy<Value = Cut> {
    let length = prop_oneof![0..40_usize, 3000..5000_usize];
    prop_oneof![
        4 => length.prop_map(Cut::Requests),
        1 => (0..8_usize).prop_map(Cut::Answer),
        1 => (3..u32::MAX, 0..50_usize).prop_map(|(id, length)| Cut::Unknown(id, length)),
    ]
}

fn frames(cuts: &[Cut]) -> Vec<u8> {
    let (requests, answer) = conversation();
    let (mut requests, mut answer) = (&requests[..], &answer[..]);
    let mut bytes = Vec::new();
    let all = [Cut::Requests(usize::MAX), Cut::Answer(usize::MAX)];
    for cut in cuts.iter().chain(&all) {
        let zeros = [0; 50];
        let (id, payload) = match cut {
            Cut::Requests(length) => (PLUGIN_SERVICE, front(&mut requests, *length)),
            Cut::Answer(length) => (RUNTIME_SERVICE, front(&mut answer, *length)),
            Cut::Unknown(id, length) => (*id, &zeros[..*length]),
        };
        bytes.extend(id.to_be_bytes());
        bytes.extend(u32::try_from(payload.len()).expect("short").to_be_bytes());
        bytes.extend(payload);
    }
    bytes
}

fn front<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (front, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    front
}

fn on_a_paused_clock(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_cut_into_frames_and_reads_is_the_same_conversation(
        cuts in prop::collection::vec(cut(), 0..40),
        reads in prop::collection::vec(1..3000_usize, 1..30),
    ) {
        let unknown = cuts.iter().filter(|cut| matches!(cut, Cut::Unknown(..))).count();
        on_a_paused_clock(async move {
            let (running, mut peer) = Running::start();
            peer.registered().await;
            let bytes = frames(&cuts);
            let mut bytes = &bytes[..];
            for length in reads.iter().cycle() {
                let read = front(&mut bytes, *length);
                if read.is_empty() {
                    break;
                }
                peer.send_bytes(read).await;
                tokio::task::yield_now().await;
            }
            for _ in 0..6 {
                peer.receive().await.expect("an answer to each request");
            }
            // The registration may be answered at any point; the rest is in order.
            let mut log = running.plugin.log();
            log.retain(|entry| entry != "connected");
            let long = "long".repeat(3000);
            let expected = [
                "configure peer 2000".to_owned(),
                format!("synchronize /a,b,{long}"),
                "create p/c".to_owned(),
                format!("start p/{long}"),
                "shutdown".to_owned(),
            ];
            prop_assert_eq!(log, expected);
            prop_assert_eq!(running.counters().unknown_connection_frames, u64::try_from(unknown)?);
            prop_assert!(running.is_running());
            Ok(())
        })?;
    }

    #[test]
    fn arbitrary_bytes_end_with_the_connection_at_the_latest(
        prefix in 0..200_usize,
        bytes in prop::collection::vec(prop_oneof![4 => Just(0), 2 => 0..20_u8, 1 => any::<u8>()], 0..600),
    ) {
        on_a_paused_clock(async move {
            let (mut running, mut peer) = Running::start();
            peer.registered().await;
            let good = frames(&[]);
            peer.send_bytes(&good[..prefix]).await;
            // Fails if the plugin has had enough.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &bytes).await;
            drop(peer);
            prop_assert!(running.end().await.is_err());
            Ok(())
        })?;
    }
}
