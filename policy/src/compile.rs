//! From a policy to a program.

mod args;
mod needs;
mod types;

use std::collections::BTreeSet;

use tetragon_crds::policy::{Call, Hook, HookPoint, ListContent, Policy, Predicate, Selector};
use tetragon_crds::spec::ArgType;
use tetragon_crds::syscalls::{Abi, Arch};
use tetragon_crds::{Diagnostic, Path, nearest, predicate};

use crate::kernel::{Format, FormatError, Kernel};
use crate::program::{Attach, Capture, HookProgram, Program, Reader};

/// Compiles a policy for a kernel.
///
/// # Errors
///
/// Everything that the kernel does not have, at once.
pub fn compile(policy: &Policy, kernel: &Kernel, arch: Arch) -> Result<Program, Vec<Diagnostic>> {
    let mut compiler = Compiler { policy, kernel, arch, errors: Vec::new(), warnings: Vec::new() };
    let hooks = policy.hooks.iter().filter_map(|hook| compiler.hook(hook)).collect();
    let Compiler { errors, warnings, .. } = compiler;
    if errors.is_empty() { Ok(Program { policy: policy.name.clone(), hooks, warnings }) } else { Err(errors) }
}

struct Compiler<'a> {
    policy: &'a Policy,
    kernel: &'a Kernel,
    arch: Arch,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn hook(&mut self, hook: &Hook) -> Option<HookProgram> {
        let (attach, readers) = match &hook.point {
            HookPoint::Kprobe { call, syscall } => {
                let symbols = self.symbols(call, &hook.path.field("call"))?;
                self.check_types(&hook.args, symbols.first()?, *syscall);
                let readers = args::of_function(&hook.args, *syscall);
                (Attach::Kprobe { symbols, syscall: *syscall }, readers)
            }
            HookPoint::Tracepoint { subsystem, event } => {
                let format = self.format(subsystem, event, &hook.path)?;
                let readers = self.of_tracepoint(hook, &format)?;
                (Attach::Tracepoint { subsystem: subsystem.clone(), event: event.clone() }, readers)
            }
            HookPoint::Lsm { hook: name } => {
                let symbol = format!("bpf_lsm_{name}");
                self.known(&symbol, &hook.path.field("hook"), Some("bpf_lsm_"))?;
                self.check_types(&hook.args, &symbol, false);
                (Attach::Lsm { hook: name.clone() }, args::of_function(&hook.args, false))
            }
            HookPoint::Uprobe { path, symbols } => {
                let attach = Attach::Uprobe { path: path.clone(), symbols: symbols.clone() };
                (attach, args::of_function(&hook.args, false))
            }
        };
        let returns = hook.returns.as_ref().map(args::of_return);
        let selectors: Vec<Selector> =
            hook.selectors.iter().map(|selector| self.selector(selector, &readers)).collect();
        let needs = needs::of(&attach, &readers, returns.as_ref(), &selectors);
        let value_bytes = needs::value_bytes(&selectors);
        let Hook { path, message, tags, .. } = hook.clone();
        Some(HookProgram { path, attach, readers, returns, selectors, message, tags, needs, value_bytes })
    }

    /// The selector with the predicates whose types only the kernel told.
    fn selector(&mut self, selector: &Selector, readers: &[Reader]) -> Selector {
        let mut selector = selector.clone();
        for filter in &mut selector.args {
            let Predicate::Untyped { values } = &filter.predicate else { continue };
            let ty = match readers.get(filter.arg).map(|reader| reader.capture) {
                Some(Capture::Typed(ty)) => ty,
                Some(Capture::Array { size, .. }) => {
                    let problem = format!("there are no filters on an array of {size} bytes");
                    let path = filter.path.field("operator");
                    self.errors.push(Diagnostic::new(path, problem).value(filter.operator));
                    continue;
                }
                // What could not be read was reported.
                None => continue,
            };
            match predicate(ty, filter.operator, values, &filter.path) {
                Ok(predicate) => filter.predicate = predicate,
                Err(errors) => self.errors.extend(errors),
            }
        }
        selector
    }

    /// The functions of a call, all of which exist.
    fn symbols(&mut self, call: &Call, path: &Path) -> Option<Vec<String>> {
        let list = match call {
            Call::Function(name) => {
                self.known(name, path, None)?;
                return Some(vec![name.clone()]);
            }
            Call::Syscall(call) => {
                self.known(&call.symbol, path, Some(call.abi.prefix()))?;
                return Some(vec![call.symbol.clone()]);
            }
            Call::List(list) => self.policy.lists.get(*list)?,
        };
        let values = list.path.field("values");
        let mut symbols = BTreeSet::new();
        match &list.content {
            ListContent::Functions(functions) => {
                for (index, name) in functions.iter().enumerate() {
                    if self.known(name, &values.index(index), None).is_some() {
                        symbols.insert(name.clone());
                    }
                }
            }
            ListContent::Syscalls(calls) => {
                for (index, call) in calls.iter().enumerate() {
                    if self.known(&call.symbol, &values.index(index), Some(call.abi.prefix())).is_some() {
                        symbols.insert(call.symbol.clone());
                    }
                }
            }
            ListContent::AllSyscalls => symbols.extend(all_syscalls(self.kernel, self.arch.native())),
            ListContent::Traceable { pattern } => match self.traceable(pattern) {
                Ok(functions) => symbols.extend(functions),
                Err(problem) => self.errors.push(Diagnostic::new(list.path.clone(), problem)),
            },
        }
        if symbols.is_empty() {
            let problem = "no function of this kernel is in the list";
            self.errors.push(Diagnostic::new(list.path.clone(), problem).value(&list.name));
            return None;
        }
        Some(symbols.into_iter().collect())
    }

    fn traceable(&self, pattern: &str) -> Result<Vec<String>, String> {
        // The loader has compiled it before.
        let pattern = regex::Regex::new(pattern).map_err(|error| error.to_string())?;
        let functions = self.kernel.traceable().map_err(|error| format!("cannot be generated: {error}"))?;
        Ok(functions.into_iter().filter(|name| pattern.is_match(name)).collect())
    }

    /// Reports a function that does not exist, with the nearest one that begins likewise.
    fn known(&mut self, function: &str, path: &Path, prefix: Option<&str>) -> Option<()> {
        if self.kernel.has_function(function) {
            return Some(());
        }
        let prefix = prefix.unwrap_or_default();
        let bare = function.strip_prefix(prefix).unwrap_or(function);
        // A system call without arguments has one function for all interfaces, and its types are under that name.
        let shared = format!("__do_{bare}");
        if bare.starts_with("sys_") && self.kernel.has_function(&shared) {
            let problem = "this kernel's types know no such function";
            let remedy = format!("write call: {shared}, syscall: false");
            self.errors.push(Diagnostic::new(path.clone(), problem).value(function).remedy(remedy));
            return None;
        }
        let names = self.kernel.functions().filter_map(|name| name.strip_prefix(prefix));
        let diagnostic = Diagnostic::new(path.clone(), "this kernel has no such function").value(function);
        self.errors.push(match nearest(bare, names) {
            Some(remedy) => diagnostic.remedy(remedy),
            None => diagnostic.remedy("it may be inlined, renamed, or part of a module"),
        });
        None
    }

    fn format(&mut self, subsystem: &str, event: &str, hook: &Path) -> Option<Format> {
        let error = match self.kernel.format(subsystem, event) {
            Ok(format) => return Some(format),
            Err(error) => error,
        };
        let problem = format!("tracepoint {subsystem}/{event} not supported: {error}");
        let diagnostic = Diagnostic::new(hook.field("event"), problem).value(event);
        let near = match error {
            FormatError::NotFound => {
                nearest(event, self.kernel.tracepoints(subsystem).iter().map(String::as_str))
            }
            _ => None,
        };
        self.errors.push(match near {
            Some(remedy) => diagnostic.remedy(remedy),
            None => diagnostic,
        });
        None
    }

    /// The readers of a tracepoint's fields.
    fn of_tracepoint(&mut self, hook: &Hook, format: &Format) -> Option<Vec<Reader>> {
        let readers: Vec<_> = hook.args.iter().map(|arg| args::of_field(arg, format)).collect();
        let before = self.errors.len();
        let mut good = Vec::with_capacity(readers.len());
        for reader in readers {
            match reader {
                Ok(reader) => good.push(reader),
                Err(diagnostic) => self.errors.push(diagnostic),
            }
        }
        (self.errors.len() == before).then_some(good)
    }

    /// Warns of types that contradict those of the function.
    fn check_types(&mut self, args: &[tetragon_crds::policy::Arg], symbol: &str, syscall: bool) {
        // A system call's function takes registers only.
        let Some(parameters) = self.kernel.parameters(symbol).filter(|_| !syscall) else { return };
        for arg in args.iter().filter(|arg| arg.ty != ArgType::Nop) {
            let index = usize::try_from(arg.index).unwrap_or(usize::MAX);
            let Some(parameter) = parameters.get(index) else {
                let problem = format!("{symbol} takes {} arguments", parameters.len());
                self.warnings.push(Diagnostic::new(arg.path.field("index"), problem).value(arg.index));
                continue;
            };
            if let Some(found) = types::contradiction(arg.ty, &parameter.ty) {
                let problem = format!("{symbol} has {found} there");
                let diagnostic = Diagnostic::new(arg.path.field("type"), problem).value(arg.ty);
                self.warnings.push(match types::suggestion(&parameter.ty) {
                    Some(ty) => diagnostic.remedy(format!("the type may be {ty}")),
                    None => diagnostic,
                });
            }
        }
    }
}

/// The functions of all system calls of an interface that the kernel has.
fn all_syscalls(kernel: &Kernel, abi: Abi) -> impl Iterator<Item = String> {
    let symbols = abi.names().map(move |name| format!("{}sys_{name}", abi.prefix()));
    symbols.filter(|symbol| kernel.has_function(symbol))
}

#[cfg(test)]
mod tests;
