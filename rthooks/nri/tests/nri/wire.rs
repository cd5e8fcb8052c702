//! A whole conversation, each byte of the runtime's written out from the protocol.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::peer::Running;

/// A mux frame for `id` with one ttrpc frame of stream `stream`.
fn frame(id: u8, stream: u8, kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).expect("short");
    let mut bytes = vec![0, 0, 0, id, 0, 0, 0, length + 10];
    bytes.extend([0, 0, 0, length, 0, 0, 0, stream, kind, 0]);
    bytes.extend(data);
    bytes
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

async fn expect(stream: &mut (impl AsyncReadExt + Unpin), bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut got))
        .await
        .expect("in time")
        .expect("open");
    assert_eq!(got, bytes);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_byte_for_byte_that_of_the_protocol() {
    let (mut running, peer) = Running::start();
    let mut runtime = peer.stream;

    // RegisterPlugin{plugin_name: "t", plugin_idx: "05", NRI_version: "0.12.0"}, five seconds.
    let register = concat(&[
        b"\x0A\x1Cnri.pkg.api.v1alpha1.Runtime\x12\x0ERegisterPlugin",
        b"\x1A\x0F\x0A\x01t\x12\x0205\x1A\x060.12.0",
        b"\x20\x80\xE4\x97\xD0\x12",
    ]);
    expect(&mut runtime, &frame(2, 1, 1, &register)).await;

    // Configure{runtime_name: "r"} may come before the registration is answered.
    let configure = b"\x0A\x1Bnri.pkg.api.v1alpha1.Plugin\x12\x09Configure\x1A\x03\x12\x01r";
    runtime.write_all(&frame(1, 1, 1, configure)).await.expect("open");
    // Events 0x7FF.
    expect(&mut runtime, &frame(1, 1, 2, b"\x12\x03\x10\xFF\x0F")).await;
    // The registration's answer, Empty, and what a Go encoder makes of an explicit status 0.
    runtime.write_all(&frame(2, 1, 2, b"\x0A\x00")).await.expect("open");

    // Synchronize, in two parts: a pod "p", then a container {id: "c", name: "n"}.
    let part = b"\x0A\x1Bnri.pkg.api.v1alpha1.Plugin\x12\x0BSynchronize\x1A\x07\x0A\x03\x12\x01p\x18\x01";
    runtime.write_all(&frame(1, 3, 1, part)).await.expect("open");
    expect(&mut runtime, &frame(1, 3, 2, b"\x12\x02\x10\x01")).await;
    let part = b"\x0A\x1Bnri.pkg.api.v1alpha1.Plugin\x12\x0BSynchronize\x1A\x08\x12\x06\x0A\x01c\x1A\x01n";
    runtime.write_all(&frame(1, 5, 1, part)).await.expect("open");
    // The recorder asks for an update of each: {container_id: "c"}.
    expect(&mut runtime, &frame(1, 5, 2, b"\x12\x05\x0A\x03\x0A\x01c")).await;

    // StateChange{START_CONTAINER, pod {name: "p"}, container {name: "n", unknown field 99: 1}}, with a tracing header
    // and a field this crate has never heard of.
    let start = concat(&[
        b"\x0A\x1Bnri.pkg.api.v1alpha1.Plugin\x12\x0BStateChange",
        b"\x1A\x0F\x08\x06\x12\x03\x12\x01p\x1A\x06\x1A\x01n\x98\x06\x01",
        b"\x2A\x06\x0A\x01k\x12\x01v\xF8\x07\x01",
    ]);
    runtime.write_all(&frame(1, 7, 1, &start)).await.expect("open");
    expect(&mut runtime, &frame(1, 7, 2, b"")).await;

    // A method this crate does not have: Unimplemented, which newer runtimes need to fall back.
    let newer = b"\x0A\x1Bnri.pkg.api.v1alpha1.Plugin\x12\x03New";
    runtime.write_all(&frame(1, 9, 1, newer)).await.expect("open");
    expect(&mut runtime, &frame(1, 9, 2, b"\x0A\x11\x08\x0C\x12\x0Dno method New")).await;
    let other = b"\x0A\x05other\x12\x09Configure";
    runtime.write_all(&frame(1, 11, 1, other)).await.expect("open");
    expect(&mut runtime, &frame(1, 11, 2, b"\x0A\x14\x08\x0C\x12\x10no service other")).await;

    drop(runtime);
    running.end().await.expect_err("closed");
    assert_eq!(
        running.plugin.log(),
        [
            "configure r 0",
            "synchronize p/n",
            "connected",
            "start p/n",
            "disconnected: runtime closed the connection"
        ]
    );
    let counters = running.counters();
    assert_eq!((counters.requests, counters.failed_requests, counters.registrations), (6, 2, 1));
}
