//! BPF programs and maps, perf events, kernel modules.

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{
    BpfProgramType, KernelModule, KprobeBpfAttr, KprobeBpfMap, KprobePerfEvent, TaintedBitsType,
};
use tetragon_bpf::plan::{CapturedBpfAttr, CapturedBpfMap, CapturedModule, CapturedPerfEvent};

use super::names;
use crate::process::text::{to_text, until_nul};

/// A program being loaded.
pub(super) fn attr(it: &CapturedBpfAttr) -> Arg {
    let known = i32::try_from(it.prog_type).ok().and_then(|number| BpfProgramType::try_from(number).ok());
    Arg::BpfAttrArg(KprobeBpfAttr {
        prog_type: known.map_or_else(|| it.prog_type.to_string(), |it| it.as_str_name().to_owned()),
        insn_cnt: it.insn_cnt,
        prog_name: to_text(until_nul(&it.prog_name)),
    })
}

/// A map.
pub(super) fn map(it: &CapturedBpfMap) -> Arg {
    Arg::BpfMapArg(KprobeBpfMap {
        map_type: names::map_type(it.map_type),
        key_size: it.key_size,
        value_size: it.value_size,
        max_entries: it.max_entries,
        map_name: to_text(until_nul(&it.map_name)),
    })
}

/// A perf event.
pub(super) fn perf_event(it: &CapturedPerfEvent) -> Arg {
    Arg::PerfEventArg(KprobePerfEvent {
        kprobe_func: to_text(until_nul(&it.function)),
        r#type: names::perf_type(it.event_type),
        config: it.config,
        probe_offset: it.probe_offset,
    })
}

/// A module; while it is being loaded, whether its signature is good is known.
pub(super) fn module(it: &CapturedModule, signature: bool) -> Arg {
    let known = |bit: &i32| TaintedBitsType::try_from(*bit).is_ok();
    Arg::ModuleArg(KernelModule {
        name: to_text(until_nul(&it.name)),
        signature_ok: signature.then_some(it.signature_ok != 0),
        tainted: (0..31).filter(|bit| it.taints >> bit & 1 != 0).map(|bit| 1 << bit).filter(known).collect(),
    })
}
