//! The mark of privileged processes.

use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{Capabilities, CapabilitiesType, ProcessExec};

use super::sample::{curl, line};

fn exec(arguments: &str, effective: &[CapabilitiesType]) -> String {
    let mut process = curl(arguments);
    let effective = effective.iter().map(|cap| i32::from(*cap)).collect();
    process.cap = Some(Capabilities { effective, ..Default::default() });
    line(Event::ProcessExec(ProcessExec { process: Some(process), ..Default::default() }))
}

#[test]
fn the_mark_ends_at_byte_column_120() {
    let marked = exec("x", &[CapabilitiesType::CapChown, CapabilitiesType::CapSysAdmin]);
    assert!(marked.starts_with("🚀 process my-node /usr/bin/curl x "), "{marked}");
    assert!(marked.ends_with(" 🛑 CAP_SYS_ADMIN"), "{marked}");
    assert_eq!(marked.len(), 120);
}

#[test]
fn a_long_line_keeps_one_blank_before_the_mark() {
    let long = "x".repeat(200);
    let marked = exec(&long, &[CapabilitiesType::CapSysAdmin]);
    assert_eq!(marked, format!("🚀 process my-node /usr/bin/curl {long} 🛑 CAP_SYS_ADMIN"));
}

#[test]
fn the_capability_counts_not_how_many_there_are() {
    let many: Vec<CapabilitiesType> =
        (0..=40).filter(|n| *n != 21).filter_map(|n| CapabilitiesType::try_from(n).ok()).collect();
    assert_eq!(many.len(), 40);
    assert_eq!(exec("x", &many), "🚀 process my-node /usr/bin/curl x");
}
