//! Filters on the process: ids, program, namespaces, capabilities.

use std::collections::BTreeSet;

use super::Check;
use super::values::{longest, texts};
use super::words::{CAPABILITIES, capability};
use crate::limits;
use crate::policy::{
    BinaryFilter, CapabilityFilter, NamespaceChangeFilter, NamespaceFilter, NamespaceValue, PidFilter,
    TextMatch,
};
use crate::report::{Diagnostic, Path, nearest, one_of};
use crate::spec::{
    BinaryOperator, BinarySelector, CapabilitiesSelector, Membership, NamespaceChangesSelector,
    NamespaceName, NamespaceSelector, PidSelector,
};

impl Check<'_> {
    pub(super) fn pids(&mut self, specs: &[PidSelector], path: &Path) -> Vec<PidFilter> {
        self.at_most(specs.len(), limits::PROCESS_FILTERS, "entries of matchPIDs", path);
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            self.some_values(spec.values.len(), &path.index(index));
            filters.push(PidFilter {
                negated: spec.operator == Membership::NotIn,
                pids: spec.values.iter().copied().collect(),
                in_namespace: spec.is_namespace_pid,
                follow_forks: spec.follow_forks,
            });
        }
        filters
    }

    pub(super) fn binaries(&mut self, specs: &[BinarySelector], path: &Path) -> Option<BinaryFilter> {
        self.at_most(specs.len(), limits::SINGLE, "entry of matchBinaries", path);
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            filters.extend(self.binary(spec, &path.index(index)));
        }
        filters.into_iter().next()
    }

    fn binary(&mut self, spec: &BinarySelector, path: &Path) -> Option<BinaryFilter> {
        let values = path.field("values");
        if spec.follow_children
            && spec.operator != BinaryOperator::In
            && self.is_sound(&path.field("operator"))
        {
            let diagnostic = Diagnostic::new(path.field("followChildren"), "only with the operator In");
            self.error(diagnostic.value(spec.operator).remedy("use In, or leave out followChildren"));
        }
        if spec.values.is_empty() {
            if self.is_sound(&values) {
                let problem = "without values every program matches";
                self.warn(Diagnostic::new(values, problem).remedy("add the paths of programs"));
            }
            return None;
        }
        let (how, negated) = match spec.operator {
            BinaryOperator::In => (TextMatch::Whole, false),
            BinaryOperator::NotIn => (TextMatch::Whole, true),
            BinaryOperator::Prefix => (TextMatch::Prefix, false),
            BinaryOperator::NotPrefix => (TextMatch::Prefix, true),
            BinaryOperator::Postfix => (TextMatch::Postfix, false),
            BinaryOperator::NotPostfix => (TextMatch::Postfix, true),
        };
        let longest = longest(how).min(limits::BINARY_PATH);
        for (index, value) in spec.values.iter().enumerate() {
            if how != TextMatch::Postfix && !value.is_empty() && !value.starts_with('/') {
                let diagnostic = Diagnostic::new(values.index(index), "paths of programs begin with \"/\"");
                self.warn(diagnostic.value(value).remedy("give the whole path, or use Postfix"));
            }
        }
        let paths = texts(&spec.values, how, longest, true, &values, self.findings);
        Some(BinaryFilter { how, negated, paths, follow_children: spec.follow_children })
    }

    pub(super) fn namespaces(&mut self, specs: &[NamespaceSelector], path: &Path) -> Vec<NamespaceFilter> {
        self.at_most(specs.len(), limits::NAMESPACE_FILTERS, "entries of matchNamespaces", path);
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            let values = path.field("values");
            self.some_values(spec.values.len(), &path);
            self.at_most(spec.values.len(), limits::NAMESPACE_VALUES, "values", &values);
            let read = |(index, value): (usize, &String)| {
                let parsed =
                    namespace_value(value).map_err(|error| Diagnostic { path: values.index(index), ..error });
                parsed.map_err(|error| self.findings.error(error)).ok()
            };
            filters.push(NamespaceFilter {
                namespace: spec.namespace,
                negated: spec.operator == Membership::NotIn,
                values: spec.values.iter().enumerate().filter_map(read).collect(),
            });
        }
        filters
    }

    pub(super) fn namespace_changes(
        &mut self,
        specs: &[NamespaceChangesSelector],
        path: &Path,
    ) -> Option<NamespaceChangeFilter> {
        self.at_most(specs.len(), limits::SINGLE, "entry of matchNamespaceChanges", path);
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            self.some_values(spec.values.len(), &path);
            let mut named = BTreeSet::new();
            for (index, value) in spec.values.iter().enumerate() {
                let found = NamespaceName::ALL.iter().find(|it| it.name().eq_ignore_ascii_case(value));
                match found {
                    Some(namespace) => {
                        named.insert(*namespace);
                    }
                    None => {
                        let path = path.field("values").index(index);
                        let names = NamespaceName::ALL.iter().map(|it| it.name());
                        let diagnostic = Diagnostic::new(path, "no kind of namespace").value(value);
                        self.error(diagnostic.remedy(one_of(value, names)));
                    }
                }
            }
            let watched = |it: &NamespaceName| named.contains(it) == (spec.operator == Membership::In);
            let namespaces = NamespaceName::ALL.iter().copied().filter(watched).collect();
            filters.push(NamespaceChangeFilter { namespaces });
        }
        filters.into_iter().next()
    }

    pub(super) fn capabilities(
        &mut self,
        specs: &[CapabilitiesSelector],
        path: &Path,
    ) -> Vec<CapabilityFilter> {
        self.at_most(specs.len(), limits::PROCESS_FILTERS, "entries", path);
        let mut filters = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            self.some_values(spec.values.len(), &path);
            let mut capabilities = 0;
            for (index, value) in spec.values.iter().enumerate() {
                match capability(value) {
                    Some(bit) => capabilities |= bit,
                    None => {
                        let diagnostic = Diagnostic::new(path.field("values").index(index), "no capability");
                        let remedy = nearest(value, CAPABILITIES)
                            .unwrap_or_else(|| "such as CAP_SYS_ADMIN".to_owned());
                        self.error(diagnostic.value(value).remedy(remedy));
                    }
                }
            }
            filters.push(CapabilityFilter {
                set: spec.set,
                negated: spec.operator == Membership::NotIn,
                outside_host: spec.is_namespace_capability,
                capabilities,
            });
        }
        filters
    }

    /// A filter without values would match nothing, or everything.
    fn some_values(&mut self, count: usize, path: &Path) {
        let values = path.field("values");
        if count == 0 && self.is_sound(&values) {
            self.error(Diagnostic::new(values, "no values").remedy("the filter needs one"));
        }
    }
}

fn namespace_value(value: &str) -> Result<NamespaceValue, Diagnostic> {
    if value == "host_ns" {
        return Ok(NamespaceValue::Host);
    }
    let is_decimal = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| is_decimal).map(NamespaceValue::Inode).ok_or_else(|| {
        let diagnostic = Diagnostic::new(Path::root(), "neither an inode number nor host_ns").value(value);
        diagnostic
            .remedy(nearest(value, ["host_ns"]).unwrap_or_else(|| "such as 4026531836 or host_ns".to_owned()))
    })
}
