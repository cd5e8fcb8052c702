//! Processes, loaders, throttling, and events that lack something.

use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{
    GetEventsResponse, ProcessExec, ProcessExit, ProcessLoader, ProcessThrottle, RateLimitInfo, Test,
    ThrottleType,
};

use super::sample::{PLAIN, curl, envelope, line, pod_curl};
use crate::compact::{Style, render};

fn exec(arguments: &str) -> Event {
    Event::ProcessExec(ProcessExec { process: Some(curl(arguments)), ..Default::default() })
}

fn exit(arguments: &str, signal: &str, status: u32) -> Event {
    Event::ProcessExit(ProcessExit {
        process: Some(pod_curl(arguments)),
        signal: signal.to_owned(),
        status,
        ..Default::default()
    })
}

fn throttle(kind: ThrottleType) -> Event {
    Event::ProcessThrottle(ProcessThrottle { r#type: kind.into(), cgroup: "/user.slice".to_owned() })
}

fn loader(buildid: &'static [u8]) -> Event {
    Event::ProcessLoader(ProcessLoader {
        process: Some(curl("")),
        path: "/usr/lib/libc.so.6".to_owned(),
        buildid: buildid.into(),
        ..Default::default()
    })
}

#[test]
fn processes_start_and_end() {
    assert_eq!(line(exec("cilium.io")), "🚀 process my-node /usr/bin/curl cilium.io");
    assert_eq!(line(exec("")), "🚀 process my-node /usr/bin/curl ");
    let in_pod = ProcessExec { process: Some(pod_curl("cilium.io")), ..Default::default() };
    assert_eq!(line(Event::ProcessExec(in_pod)), "🚀 process kube-system/tetragon /usr/bin/curl cilium.io");
    assert_eq!(
        line(exit("cilium.io", "SIGKILL", 0)),
        "💥 exit    kube-system/tetragon /usr/bin/curl cilium.io SIGKILL"
    );
    assert_eq!(line(exit("cilium.io", "", 7)), "💥 exit    kube-system/tetragon /usr/bin/curl cilium.io 7");
    assert_eq!(line(exit("", "", 0)), "💥 exit    kube-system/tetragon /usr/bin/curl  0");
}

#[test]
fn throttling_has_no_process() {
    assert_eq!(line(throttle(ThrottleType::ThrottleStart)), "🧬 throttle START /user.slice");
    assert_eq!(line(throttle(ThrottleType::ThrottleStop)), "🧬 throttle STOP  /user.slice");
}

#[test]
fn loaders_show_build_id_and_path() {
    assert_eq!(line(loader(b"\x01\xab")), "🧬 loader  my-node /usr/bin/curl 01ab /usr/lib/libc.so.6");
    assert_eq!(line(loader(b"")), "🧬 loader  my-node /usr/bin/curl /usr/lib/libc.so.6");
}

#[test]
fn test_events_are_named() {
    assert_eq!(line(Event::Test(Test::default())), "TEST EVENT");
}

#[test]
fn what_has_no_process_or_is_unknown_is_printed_all_the_same() {
    assert_eq!(line(Event::ProcessExec(ProcessExec::default())), "🚀 process my-node <unknown process> ");
    assert_eq!(
        line(Event::RateLimitInfo(RateLimitInfo { number_of_dropped_process_events: 9 })),
        "🧬 rate_limit 9 events dropped by the export rate limit"
    );
    assert_eq!(
        render(&GetEventsResponse::default(), PLAIN),
        "❓ event of a kind that this client does not know"
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut process = curl("-o\x1b]0;title\x07 x");
    process.binary = "/tmp/a\nb".to_owned();
    let event = Event::ProcessExec(ProcessExec { process: Some(process), ..Default::default() });
    assert_eq!(line(event), r#"🚀 process my-node "/tmp/a\nb" "-o\x1b]0;title\x07 x""#);
}

#[test]
fn timestamps_always_have_nine_digits() {
    let style = Style { timestamps: true, ..PLAIN };
    let mut event = envelope(exec("x"));
    event.time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 1_000_000 });
    assert_eq!(render(&event, style), "2023-11-14T22:13:20.001000000Z 🚀 process my-node /usr/bin/curl x");
    event.time = None;
    assert_eq!(render(&event, style), "🚀 process my-node /usr/bin/curl x");
}

#[test]
fn colors_mark_each_part() {
    let style = Style { color: true, ..PLAIN };
    assert_eq!(
        render(&envelope(exit("-v", "", 1)), style),
        "\x1b[34m💥 exit   \x1b[0m \x1b[32mkube-system/tetragon\x1b[0m \x1b[35m/usr/bin/curl\x1b[0m \
         \x1b[36m-v\x1b[0m \x1b[31m1\x1b[0m"
    );
    assert_eq!(
        render(&envelope(throttle(ThrottleType::ThrottleStart)), style),
        "\x1b[34m🧬 throttle\x1b[0m \x1b[31mSTART\x1b[0m \x1b[36m/user.slice\x1b[0m"
    );
    assert_eq!(
        render(&envelope(throttle(ThrottleType::ThrottleStop)), style),
        "\x1b[34m🧬 throttle\x1b[0m \x1b[32mSTOP \x1b[0m \x1b[36m/user.slice\x1b[0m"
    );
    assert_eq!(
        render(&envelope(loader(b"\x01")), style),
        "\x1b[34m🧬 loader \x1b[0m \x1b[32mmy-node\x1b[0m \x1b[35m/usr/bin/curl\x1b[0m \
         \x1b[36m01\x1b[0m \x1b[33m/usr/lib/libc.so.6\x1b[0m"
    );
}
