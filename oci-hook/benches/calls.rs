//! What the hook costs a container: its whole life as a process, against that of `/bin/true`, and its size.

#[path = "../tests/hook/agent.rs"]
#[expect(dead_code, reason = "a bench needs less of it than the tests")]
mod agent;
#[path = "../tests/hook/kit.rs"]
#[expect(dead_code, reason = "a bench needs less of it than the tests")]
mod kit;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::kit::{Node, containerd};

const CALLS: usize = 200;

fn main() {
    let node = Node::new();
    node.has_config(&containerd());
    let agent = node.agent();
    let state = node.state(&json!({}));
    let hook = |args: &[&str]| {
        let mut command = node.command(args);
        command.stdin(Stdio::piped());
        command
    };
    let cel = "--fail-cel-expr=!(pod_namespace in allow_namespaces)";
    // Interleaved, so that whatever else the machine does meets all of them alike.
    let (mut nothing, mut told, mut with_cel, mut unreached) = (vec![], vec![], vec![], vec![]);
    for _ in 0..CALLS {
        nothing.push(life(Command::new("/bin/true").stdin(Stdio::piped()), ""));
        told.push(life(&mut hook(&["createRuntime"]), &state));
        with_cel.push(life(&mut hook(&["createRuntime", cel]), &state));
        let absent = ["createRuntime", "--grpc-address=unix:/none", "--fail-allow-namespaces=shop"];
        unreached.push(life(&mut hook(&absent), &state));
    }
    assert_eq!(agent.requests().len(), 2 * CALLS, "every call has told the agent");

    let size = std::fs::metadata(env!("CARGO_BIN_EXE_tetragon-oci-hook")).expect("the binary").len();
    println!("tetragon-oci-hook: {:.2} MB, {CALLS} calls", size as f64 / 1e6);
    let base = quantiles(&mut nothing);
    for (name, times) in [
        ("/bin/true", &mut nothing),
        ("agent told", &mut told),
        ("agent told, CEL given", &mut with_cel),
        ("agent absent, allowed", &mut unreached),
    ] {
        let (median, p99) = quantiles(times);
        let own = median.saturating_sub(base.0);
        println!(
            "{name:<22} median {:>6.2} ms ({:.1}x)  p99 {:>6.2} ms ({:.1}x)  own (median) {:>5.2} ms",
            millis(median),
            median.as_secs_f64() / base.0.as_secs_f64(),
            millis(p99),
            p99.as_secs_f64() / base.1.as_secs_f64(),
            millis(own),
        );
    }
}

/// From before the process exists until it has ended well.
fn life(command: &mut Command, stdin: &str) -> Duration {
    use std::io::Write;
    let begun = Instant::now();
    let mut child = command.spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("piped");
    // `/bin/true` is given nothing.
    pipe.write_all(stdin.as_bytes()).expect("a reader");
    drop(pipe);
    let status = child.wait().expect("ends");
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    took
}

fn quantiles(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
