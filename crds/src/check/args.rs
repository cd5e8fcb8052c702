//! Arguments and return values.

use std::collections::BTreeSet;

use super::Check;
use super::hooks::Section;
use crate::limits;
use crate::policy::{Arg, Return, ReturnAction};
use crate::report::{Diagnostic, Path, one_of};
use crate::spec::{ActionName, ArgSpec, ArgType, KProbeSpec};

impl Check<'_> {
    pub(super) fn args(&mut self, specs: &[ArgSpec], section: Section, hook: &Path) -> Vec<Arg> {
        let path = hook.field("args");
        let args: Vec<Arg> = specs
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                let path = path.index(index);
                self.arg_index(spec, section, &path);
                self.arg_type(spec, section, &path);
                self.arg(spec, section, path)
            })
            .collect();
        let mut count = args.len();
        if section == Section::Tracepoint {
            // Fields that are read only because they hold a size.
            let declared: BTreeSet<u32> = args.iter().map(|arg| arg.index).collect();
            let sizes: BTreeSet<u32> = args.iter().filter_map(|arg| arg.size_from).collect();
            count += sizes.difference(&declared).count();
        }
        self.at_most(count, limits::ARGS, "arguments of a hook, sizes included", &path);
        args
    }

    fn arg_index(&mut self, spec: &ArgSpec, section: Section, path: &Path) {
        let index = path.field("index");
        if section.is_function() && spec.index > limits::LAST_ARG && self.is_sound(&index) {
            let diagnostic = Diagnostic::new(index, "out of bounds").value(spec.index);
            self.error(diagnostic.remedy(format!("from 0 to {}", limits::LAST_ARG)));
        }
    }

    fn arg_type(&mut self, spec: &ArgSpec, section: Section, path: &Path) {
        let path = path.field("type");
        if section.is_function() && spec.arg_type == ArgType::Auto && self.is_sound(&path) {
            let diagnostic =
                Diagnostic::new(path, format!("{section} do not tell types")).value(spec.arg_type);
            self.error(diagnostic.remedy("give the type, such as int, string or file"));
        }
    }

    fn arg(&mut self, spec: &ArgSpec, section: Section, path: Path) -> Arg {
        let ty = self.is_sound(&path.field("type")).then_some(spec.arg_type);
        let size_from = self.size_from(spec, section, &path);
        let mut return_copy = spec.return_copy;
        if return_copy && !section.may_return() {
            let diagnostic = Diagnostic::new(path.field("returnCopy"), "has no effect");
            self.warn(diagnostic.remedy("only kprobes see the return of a function"));
            return_copy = false;
        } else if return_copy && ty.is_some_and(|ty| !is_buffer(ty)) {
            let diagnostic = Diagnostic::new(path.field("returnCopy"), "has no effect on this type");
            self.warn(diagnostic.value(spec.arg_type).remedy("only on char_buf and char_iovec"));
            return_copy = false;
        }
        let mut max_data = spec.max_data;
        if max_data && ty.is_some_and(|ty| !matches!(ty, ArgType::CharBuf | ArgType::IovIter | ArgType::Auto))
        {
            let diagnostic = Diagnostic::new(path.field("maxData"), "has no effect on this type");
            self.warn(diagnostic.value(spec.arg_type).remedy("only on char_buf and iov_iter"));
            max_data = false;
        }
        if max_data && return_copy {
            let problem = "has no effect together with returnCopy";
            self.warn(Diagnostic::new(path.field("maxData"), problem));
            max_data = false;
        }
        if ty.is_some_and(is_buffer) && size_from.is_none() && !return_copy {
            let problem = "nothing tells how many bytes there are, so none are read";
            let diagnostic = Diagnostic::new(path.clone(), problem);
            self.warn(
                diagnostic.remedy("set sizeArgIndex, or returnCopy if the function returns the number"),
            );
        }
        let label = spec.label.clone();
        Arg { index: spec.index, ty: spec.arg_type, size_from, return_copy, max_data, label, path }
    }

    fn size_from(&mut self, spec: &ArgSpec, section: Section, path: &Path) -> Option<u32> {
        let path = path.field("sizeArgIndex");
        let size_from = spec.size_arg_index.checked_sub(1)?;
        if spec.size_arg_index > limits::SIZE_ARG_INDEX {
            let diagnostic = Diagnostic::new(path, "out of bounds").value(spec.size_arg_index);
            self.error(diagnostic.remedy(format!("from 1 to {}, or 0 for none", limits::SIZE_ARG_INDEX)));
            return None;
        }
        if section.is_function() && size_from > limits::LAST_ARG {
            let diagnostic = Diagnostic::new(path, "has no effect").value(spec.size_arg_index);
            self.warn(diagnostic.remedy("positions are counted from 1; the last one that can be read is 5"));
            return None;
        }
        Some(size_from)
    }

    pub(super) fn returns(&mut self, spec: &KProbeSpec, hook: &Path) -> Option<Return> {
        let path = hook.field("returnArg");
        let action = self.return_action(spec, &hook.field("returnArgAction"));
        let Some(arg) = &spec.return_arg else {
            if spec.has_return && self.is_sound(&hook.field("return")) {
                let diagnostic = Diagnostic::new(path, "ReturnArg not specified with Return=true");
                self.error(diagnostic.remedy("add returnArg: {index: 0, type: int}"));
            }
            return None;
        };
        if !self.is_sound(&path) {
            return None;
        }
        if !spec.has_return {
            if self.is_sound(&hook.field("return")) {
                let diagnostic = Diagnostic::new(path, "has no effect without return: true");
                self.warn(diagnostic.remedy("set return: true"));
            }
            return None;
        }
        if arg.index != 0 && self.is_sound(&path.field("index")) {
            let diagnostic = Diagnostic::new(path.field("index"), "out of bounds").value(arg.index);
            self.error(diagnostic.remedy("a function returns one value, its index is 0"));
        }
        self.arg_type(arg, Section::Kprobe, &path);
        if action.is_some() && arg.arg_type != ArgType::Sock && self.is_sound(&path.field("type")) {
            let problem = format!("acts on sockets, but the return value has the type {}", arg.arg_type);
            let diagnostic = Diagnostic::new(hook.field("returnArgAction"), problem);
            self.error(diagnostic.value(&spec.return_arg_action).remedy("give returnArg the type sock"));
        }
        let arg = Arg {
            index: arg.index,
            ty: arg.arg_type,
            size_from: None,
            return_copy: false,
            max_data: false,
            label: arg.label.clone(),
            path,
        };
        Some(Return { arg, action })
    }

    fn return_action(&mut self, spec: &KProbeSpec, path: &Path) -> Option<ReturnAction> {
        let text = &spec.return_arg_action;
        if text.is_empty() {
            return None;
        }
        let action = match ActionName::from_name(text) {
            Some(ActionName::TrackSock) => ReturnAction::TrackSock,
            Some(ActionName::UntrackSock) => ReturnAction::UntrackSock,
            Some(ActionName::Post) => return None,
            Some(_) => {
                let diagnostic = Diagnostic::new(path.clone(), "has no effect").value(text);
                self.warn(diagnostic.remedy("only TrackSock and UntrackSock have; see matchReturnActions"));
                return None;
            }
            None => {
                let names = ActionName::ALL.iter().map(|action| action.name());
                let diagnostic = Diagnostic::new(path.clone(), "no such action").value(text);
                self.error(diagnostic.remedy(one_of(text, names)));
                return None;
            }
        };
        if !spec.has_return && self.is_sound(&path.field("return")) {
            let diagnostic = Diagnostic::new(path.clone(), "has no effect without return: true").value(text);
            self.warn(diagnostic.remedy("set return: true and returnArg"));
        }
        Some(action)
    }
}

fn is_buffer(ty: ArgType) -> bool {
    matches!(ty, ArgType::CharBuf | ArgType::CharIovec)
}
