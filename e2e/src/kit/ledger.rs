//! The agent's own account of where everything went.

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::{GetStatusResponse, HookLedger, RecordLedger, SinkLedger};

/// One reading of the agent's ledger.
#[derive(Debug, Clone)]
pub struct Ledger(pub GetStatusResponse);

impl Ledger {
    /// Fails, naming the line, unless every sum of the ledger holds.
    pub fn check(&self) -> Result<()> {
        let status = &self.0;
        ensure!(!status.hooks.is_empty() && !status.rings.is_empty(), "the ledger is empty");
        for hook in &status.hooks {
            let parts = [
                hook.no_policy,
                hook.not_matched,
                hook.suppressed,
                hook.pending,
                hook.reserve_failed,
                hook.submitted,
            ];
            same(&format!("hook {} at {}: entered", hook.hook, hook.attach), hook.entered, &parts)?;
        }
        for ring in &status.rings {
            same(&format!("ring {}: submitted", ring.name), ring.submitted, &[ring.consumed, ring.in_ring])?;
        }
        for record in &status.records {
            let parts = [record.emitted, record.absorbed, record.duplicate, record.malformed];
            same(&format!("records {}: consumed", record.kind), record.consumed, &parts)?;
        }
        for sink in &status.sinks {
            let parts = [sink.delivered, sink.filtered, sink.dropped, sink.failed, sink.queued];
            same(&format!("sink {}: offered", sink.name), sink.offered, &parts)?;
        }
        let ring_consumed: u64 = status.rings.iter().map(|ring| ring.consumed).sum();
        let records: Vec<u64> = status.records.iter().map(|record| record.consumed).collect();
        same("all rings: consumed", ring_consumed, &records)
    }

    /// As [`check`](Self::check), and nothing is on its way any more. Where others are `busy` as well, what the rings
    /// visibly hold and what is queued is let pass.
    pub fn check_settled(&self, busy: bool) -> Result<()> {
        self.check()?;
        for ring in &self.0.rings {
            let visible = busy && ring.used_bytes > 0;
            ensure!(ring.in_ring == 0 || visible, "ring {} still holds {}", ring.name, ring.in_ring);
        }
        for sink in self.0.sinks.iter().filter(|sink| sink.active && !busy) {
            ensure!(sink.queued == 0, "sink {} still queues {}", sink.name, sink.queued);
        }
        Ok(())
    }

    /// Fails if anything was lost between the kernel and the sinks that still listen.
    pub fn check_lossless(&self) -> Result<()> {
        let lost = self.lost();
        ensure!(lost == 0, "{lost} records were lost: {:#?}", self.0);
        for sink in self.0.sinks.iter().filter(|sink| sink.active) {
            ensure!(sink.dropped == 0 && sink.failed == 0, "sink {} lost events: {sink:#?}", sink.name);
        }
        Ok(())
    }

    /// Records that did not get out of the kernel, and program runs that the kernel skipped.
    pub fn lost(&self) -> u64 {
        self.0.hooks.iter().map(|hook| hook.reserve_failed + hook.skipped.unwrap_or(0)).sum()
    }

    /// The line of one hook: `exec`, `fork`, `exit`. Several ways to attach add up.
    pub fn hook(&self, name: &str) -> Result<HookLedger> {
        let mut lines = self.0.hooks.iter().filter(|hook| hook.hook == name);
        let Some(first) = lines.next() else { bail!("no hook {name} in the ledger: {:#?}", self.0.hooks) };
        Ok(lines.fold(first.clone(), |sum, line| HookLedger {
            entered: sum.entered + line.entered,
            no_policy: sum.no_policy + line.no_policy,
            not_matched: sum.not_matched + line.not_matched,
            suppressed: sum.suppressed + line.suppressed,
            pending: sum.pending + line.pending,
            reserve_failed: sum.reserve_failed + line.reserve_failed,
            submitted: sum.submitted + line.submitted,
            skipped: match (sum.skipped, line.skipped) {
                (None, None) => None,
                (left, right) => Some(left.unwrap_or(0) + right.unwrap_or(0)),
            },
            ..sum
        }))
    }

    /// The line of one kind of record.
    pub fn record(&self, kind: &str) -> Result<&RecordLedger> {
        match self.0.records.iter().find(|record| record.kind == kind) {
            Some(record) => Ok(record),
            None => bail!("no records {kind} in the ledger: {:#?}", self.0.records),
        }
    }

    /// The lines of the sinks whose name begins like this: `grpc`, `export`.
    pub fn sinks(&self, prefix: &str) -> Vec<&SinkLedger> {
        self.0.sinks.iter().filter(|sink| sink.name.starts_with(prefix)).collect()
    }
}

fn same(what: &str, total: u64, parts: &[u64]) -> Result<()> {
    let sum: u64 = parts.iter().sum();
    ensure!(total == sum, "{what} = {total}, but its parts {parts:?} are {sum}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::RingStatus;

    use super::*;

    fn ledger() -> Ledger {
        let hook = HookLedger {
            hook: "exec".into(),
            entered: 5,
            suppressed: 1,
            submitted: 4,
            ..HookLedger::default()
        };
        let ring = RingStatus { submitted: 4, consumed: 4, ..RingStatus::default() };
        let record = RecordLedger { kind: "exec".into(), consumed: 4, emitted: 4, ..RecordLedger::default() };
        let sink = SinkLedger {
            name: "grpc:1".into(),
            offered: 4,
            delivered: 4,
            active: true,
            ..SinkLedger::default()
        };
        Ledger(GetStatusResponse {
            hooks: vec![hook],
            rings: vec![ring],
            records: vec![record],
            sinks: vec![sink],
            ..GetStatusResponse::default()
        })
    }

    #[test]
    fn a_sound_ledger_passes() {
        ledger().check_settled(false).unwrap();
        ledger().check_lossless().unwrap();
    }

    #[test]
    fn records_that_stay_in_a_ring_are_named() {
        let mut ledger = ledger();
        ledger.0.hooks[0].entered = 6;
        ledger.0.hooks[0].submitted = 5;
        ledger.0.rings[0].submitted = 5;
        ledger.0.rings[0].in_ring = 1;
        ledger.check_settled(true).unwrap_err();
        ledger.0.rings[0].used_bytes = 64;
        ledger.check_settled(true).unwrap();
        ledger.check_settled(false).unwrap_err();
    }

    #[test]
    fn a_missing_hook_entry_is_named() {
        let mut ledger = ledger();
        ledger.0.hooks[0].entered = 6;
        assert!(ledger.check().unwrap_err().to_string().starts_with("hook exec"));
    }

    #[test]
    fn a_record_that_vanished_after_the_ring_is_named() {
        let mut ledger = ledger();
        ledger.0.records[0].consumed = 3;
        ledger.0.records[0].emitted = 3;
        assert!(ledger.check().unwrap_err().to_string().starts_with("all rings"));
    }

    #[test]
    fn an_empty_ledger_fails() {
        Ledger(GetStatusResponse::default()).check().unwrap_err();
    }
}
