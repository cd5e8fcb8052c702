//! Selectors.

use super::Check;
use super::hooks::{Section, Site};
use super::predicate::Filter;
use crate::limits;
use crate::policy::{Action, ArgFilter, Selector};
use crate::report::{Diagnostic, Path};
use crate::spec::{ArgSelector, ArgType, SelectorSpec};

impl Check<'_> {
    pub(super) fn selectors(&mut self, specs: &[SelectorSpec], site: &Site<'_>) -> Vec<Selector> {
        let path = site.path.field("selectors");
        if specs.len() > limits::SELECTORS {
            let problem =
                format!("no more than {} selectors supported ({} provided)", limits::SELECTORS, specs.len());
            let diagnostic = Diagnostic::new(path.clone(), problem);
            self.error(diagnostic.remedy("hook the function again for further selectors"));
        }
        let selector = |(index, spec)| self.selector(spec, site, path.index(index));
        specs.iter().enumerate().map(selector).collect()
    }

    fn selector(&mut self, spec: &SelectorSpec, site: &Site<'_>, path: Path) -> Selector {
        self.unsupported(spec, site, &path);
        let mut actions = self.actions(&spec.match_actions, site, &path.field("matchActions"));
        if actions.is_empty() {
            actions.push(Action::Post {
                rate_limit: None,
                kernel_stack_trace: false,
                user_stack_trace: false,
            });
        }
        let mut return_args = self.return_args(&spec.match_return_args, site, &path.field("matchReturnArgs"));
        let mut return_actions =
            self.actions(&spec.match_return_actions, site, &path.field("matchReturnActions"));
        if site.returns.is_none() && site.section.may_return() {
            self.without_return(spec, &path);
            return_args.clear();
            return_actions.clear();
        }
        Selector {
            pids: self.pids(&spec.match_pids, &path.field("matchPIDs")),
            binaries: self.binaries(&spec.match_binaries, &path.field("matchBinaries")),
            namespaces: self.namespaces(&spec.match_namespaces, &path.field("matchNamespaces")),
            namespace_changes: self
                .namespace_changes(&spec.match_namespace_changes, &path.field("matchNamespaceChanges")),
            capabilities: self.capabilities(&spec.match_capabilities, &path.field("matchCapabilities")),
            capability_changes: self
                .capabilities(&spec.match_capability_changes, &path.field("matchCapabilityChanges")),
            args: self.arg_filters(&spec.match_args, site, &path.field("matchArgs")),
            return_args,
            actions,
            return_actions,
            path,
        }
    }

    /// What the section has no filters for.
    fn unsupported(&mut self, spec: &SelectorSpec, site: &Site<'_>, path: &Path) {
        let used = [
            ("matchArgs", !spec.match_args.is_empty(), site.section == Section::Uprobe),
            ("matchActions", !spec.match_actions.is_empty(), site.section == Section::Uprobe),
            ("matchReturnArgs", !spec.match_return_args.is_empty(), !site.section.may_return()),
            ("matchReturnActions", !spec.match_return_actions.is_empty(), !site.section.may_return()),
            ("matchNamespaces", !spec.match_namespaces.is_empty(), site.section == Section::Uprobe),
            (
                "matchNamespaceChanges",
                !spec.match_namespace_changes.is_empty(),
                site.section == Section::Uprobe,
            ),
            ("matchCapabilities", !spec.match_capabilities.is_empty(), site.section == Section::Uprobe),
            (
                "matchCapabilityChanges",
                !spec.match_capability_changes.is_empty(),
                site.section == Section::Uprobe,
            ),
        ];
        for (field, _, _) in used.into_iter().filter(|(_, used, unsupported)| *used && *unsupported) {
            let diagnostic = Diagnostic::new(path.field(field), format!("not supported by {}", site.section));
            let diagnostic = match site.section {
                Section::Uprobe => diagnostic.remedy("matchPIDs and matchBinaries are"),
                // Ignored by the reference, so policies may have it.
                Section::Tracepoint => {
                    self.warn(diagnostic.remedy("it has no effect; a tracepoint does not return"));
                    continue;
                }
                _ => diagnostic.remedy("only kprobes see return values"),
            };
            self.error(diagnostic);
        }
    }

    fn without_return(&mut self, spec: &SelectorSpec, path: &Path) {
        let used = [
            ("matchReturnArgs", spec.match_return_args.is_empty()),
            ("matchReturnActions", spec.match_return_actions.is_empty()),
        ];
        for (field, _) in used.into_iter().filter(|(_, is_empty)| !is_empty) {
            let diagnostic = Diagnostic::new(path.field(field), "has no effect without a return value");
            self.warn(diagnostic.remedy("set return: true and returnArg"));
        }
    }

    fn arg_filters(&mut self, specs: &[ArgSelector], site: &Site<'_>, path: &Path) -> Vec<ArgFilter> {
        self.at_most(specs.len(), limits::ARG_FILTERS, "entries of matchArgs", path);
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            if let Some(arg) =
                self.arg_of(spec.index, site, &path.field("index"), "argFilter for unknown index")
            {
                let type_path = site.args.get(arg).map(|arg| arg.path.field("type"));
                let is_typed = type_path.is_some_and(|path| self.is_sound(&path));
                if let Some(ty) = site.args.get(arg).map(|arg| arg.ty).filter(|_| is_typed) {
                    filters.extend(self.filter(spec, ty, arg, site, path));
                }
            }
        }
        filters
    }

    fn return_args(&mut self, specs: &[ArgSelector], site: &Site<'_>, path: &Path) -> Vec<ArgFilter> {
        self.at_most(specs.len(), limits::ARG_FILTERS, "entries of matchReturnArgs", path);
        let Some(returns) = site.returns else { return Vec::new() };
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            if spec.index != 0 && self.is_sound(&path.field("index")) {
                let diagnostic = Diagnostic::new(path.field("index"), "argFilter for unknown index");
                self.error(diagnostic.value(spec.index).remedy("the return value has the index 0"));
            }
            if self.is_sound(&returns.arg.path) && self.is_sound(&returns.arg.path.field("type")) {
                filters.extend(self.filter(spec, returns.arg.ty, 0, site, path));
            }
        }
        filters
    }

    fn filter(
        &mut self,
        spec: &ArgSelector,
        ty: ArgType,
        arg: usize,
        site: &Site<'_>,
        path: Path,
    ) -> Option<ArgFilter> {
        // What cannot have the type `auto` was reported where the type is.
        let is_reported = ty == ArgType::Auto && site.section != Section::Tracepoint;
        if is_reported || !self.is_sound(&path.field("operator")) || !self.is_sound(&path.field("values")) {
            return None;
        }
        let lists = (site.section == Section::Tracepoint).then_some(&self.lists);
        let filter = Filter { ty, operator: spec.operator, values: &spec.values, path: &path, lists };
        let predicate = filter.predicate(self.findings)?;
        Some(ArgFilter { path, arg, operator: spec.operator, predicate })
    }

    /// The position of the argument with an index; if there is none, that is the problem.
    pub(super) fn arg_of(
        &mut self,
        index: u32,
        site: &Site<'_>,
        path: &Path,
        problem: &'static str,
    ) -> Option<usize> {
        if !self.is_sound(path) || !self.is_sound(&site.path.field("args")) {
            return None;
        }
        if let Some(position) = site.args.iter().position(|arg| arg.index == index) {
            return Some(position);
        }
        // Policies for tracepoints count the arguments that they declare, too.
        let position = usize::try_from(index).ok().filter(|position| *position < site.args.len());
        if site.section == Section::Tracepoint && position.is_some() {
            return position;
        }
        // An argument whose index is broken may be the one that is meant.
        if site.args.iter().any(|arg| !self.is_sound(&arg.path) || !self.is_sound(&arg.path.field("index"))) {
            return None;
        }
        let declared: Vec<String> = site.args.iter().map(|arg| arg.index.to_string()).collect();
        let diagnostic = Diagnostic::new(path.clone(), problem).value(index);
        self.error(match declared.as_slice() {
            [] => diagnostic.remedy("the hook declares no args"),
            _ => diagnostic.remedy(format!("the hook's args have the indexes {}", declared.join(", "))),
        });
        None
    }
}
