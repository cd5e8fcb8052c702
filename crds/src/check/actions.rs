//! Actions and their arguments.

use super::Check;
use super::hooks::{Section, Site};
use crate::limits;
use crate::policy::{Action, Call, HookPoint, RateLimit, RateLimitScope};
use crate::report::{Diagnostic, Path, one_of};
use crate::spec::{ActionName, ActionSpec, ArgType};

/// What security hooks and most functions may return for an error.
const ERRORS: std::ops::RangeInclusive<i32> = -4095..=0;

impl Check<'_> {
    pub(super) fn actions(&mut self, specs: &[ActionSpec], site: &Site<'_>, path: &Path) -> Vec<Action> {
        self.at_most(specs.len(), limits::ACTIONS, "actions", path);
        let mut actions = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let path = path.index(index);
            if self.is_sound(&path.field("action")) {
                self.unused(spec, &path);
                actions.extend(self.action(spec, site, &path));
            }
        }
        actions
    }

    fn action(&mut self, spec: &ActionSpec, site: &Site<'_>, path: &Path) -> Option<Action> {
        let name = spec.action;
        if site.section == Section::Lsm && !ON_LSM.contains(&name) {
            let allowed: Vec<&str> = ON_LSM.iter().map(|name| name.name()).collect();
            let diagnostic = Diagnostic::new(path.field("action"), "not supported by lsmhooks").value(name);
            self.error(diagnostic.remedy(format!("one of {}", allowed.join(", "))));
            return None;
        }
        Some(match name {
            ActionName::Post => {
                self.stack_traces(spec, site, path);
                Action::Post {
                    rate_limit: self.rate_limit(spec, path),
                    kernel_stack_trace: spec.kernel_stack_trace,
                    user_stack_trace: spec.user_stack_trace,
                }
            }
            ActionName::NoPost => Action::NoPost,
            ActionName::Sigkill => Action::Sigkill,
            ActionName::Signal => Action::Signal { signal: self.signal(spec, path)? },
            ActionName::Override => self.overriding(spec, site, path)?,
            ActionName::NotifyEnforcer => self.notify(spec, path)?,
            ActionName::FollowFd => {
                let fd = self.arg_position(spec.arg_fd, "argFd", &DESCRIPTORS, site, path);
                let files = [ArgType::File, ArgType::Path, ArgType::Fd];
                let name = self.arg_position(spec.arg_name, "argName", &files, site, path);
                Action::FollowFd { fd: fd?, name: name? }
            }
            ActionName::UnfollowFd => {
                let fd = self.arg_position(spec.arg_fd, "argFd", &DESCRIPTORS, site, path);
                Action::UnfollowFd { fd: fd? }
            }
            ActionName::CopyFd => {
                let from = self.arg_position(spec.arg_fd, "argFd", &DESCRIPTORS, site, path);
                let to = self.arg_position(spec.arg_name, "argName", &DESCRIPTORS, site, path);
                Action::CopyFd { from: from?, to: to? }
            }
            ActionName::GetUrl => Action::GetUrl { url: self.text(&spec.arg_url, "argUrl", name, path)? },
            ActionName::DnsLookup => {
                Action::DnsLookup { name: self.text(&spec.arg_fqdn, "argFqdn", name, path)? }
            }
            ActionName::TrackSock => Action::TrackSock {
                sock: self.arg_position(spec.arg_sock, "argSock", &[ArgType::Sock], site, path)?,
            },
            ActionName::UntrackSock => Action::UntrackSock {
                sock: self.arg_position(spec.arg_sock, "argSock", &[ArgType::Sock], site, path)?,
            },
        })
    }

    fn stack_traces(&mut self, spec: &ActionSpec, site: &Site<'_>, path: &Path) {
        let wanted =
            [("kernelStackTrace", spec.kernel_stack_trace), ("userStackTrace", spec.user_stack_trace)];
        for (field, _) in wanted.into_iter().filter(|(_, wanted)| *wanted && site.section == Section::Lsm) {
            let diagnostic = Diagnostic::new(path.field(field), "not supported by lsmhooks");
            self.error(diagnostic.remedy("hook the security_ function by a kprobe to see stacks"));
        }
    }

    /// Arguments that the action does not have.
    fn unused(&mut self, spec: &ActionSpec, path: &Path) {
        let name = spec.action;
        for (field, is_given, users) in [
            (
                "argFd",
                spec.arg_fd.is_some(),
                &[ActionName::FollowFd, ActionName::UnfollowFd, ActionName::CopyFd][..],
            ),
            ("argName", spec.arg_name.is_some(), &[ActionName::FollowFd, ActionName::CopyFd]),
            ("argUrl", !spec.arg_url.is_empty(), &[ActionName::GetUrl]),
            ("argFqdn", !spec.arg_fqdn.is_empty(), &[ActionName::DnsLookup]),
            ("argError", spec.arg_error.is_some(), &[ActionName::Override, ActionName::NotifyEnforcer]),
            ("argSig", spec.arg_sig.is_some(), &[ActionName::Signal, ActionName::NotifyEnforcer]),
            ("argSock", spec.arg_sock.is_some(), &[ActionName::TrackSock, ActionName::UntrackSock]),
            ("rateLimit", !spec.rate_limit.is_empty(), &[ActionName::Post]),
            ("rateLimitScope", !spec.rate_limit_scope.is_empty(), &[ActionName::Post]),
            ("kernelStackTrace", spec.kernel_stack_trace, &[ActionName::Post]),
            ("userStackTrace", spec.user_stack_trace, &[ActionName::Post]),
        ] {
            if !is_given || users.contains(&name) {
                continue;
            }
            let users: Vec<&str> = users.iter().map(|user| user.name()).collect();
            let diagnostic = Diagnostic::new(path.field(field), format!("{name} does not have it"));
            let diagnostic = diagnostic.remedy(format!("it belongs to {}", users.join(", ")));
            // The reference refuses those of Post, and ignores the others.
            if users == ["Post"] && field != "rateLimitScope" {
                self.error(diagnostic);
            } else {
                self.warn(diagnostic);
            }
        }
    }

    fn rate_limit(&mut self, spec: &ActionSpec, path: &Path) -> Option<RateLimit> {
        let scope = match spec.rate_limit_scope.as_str() {
            "" | "thread" => RateLimitScope::Thread,
            "process" => RateLimitScope::Process,
            "global" => RateLimitScope::Global,
            other => {
                let diagnostic = Diagnostic::new(path.field("rateLimitScope"), "no such scope").value(other);
                self.error(diagnostic.remedy(one_of(other, ["thread", "process", "global"])));
                RateLimitScope::Thread
            }
        };
        if spec.rate_limit.is_empty() {
            if !spec.rate_limit_scope.is_empty() {
                let diagnostic =
                    Diagnostic::new(path.field("rateLimitScope"), "has no effect without rateLimit");
                self.warn(diagnostic);
            }
            return None;
        }
        match milliseconds(&spec.rate_limit) {
            Some(0) => {
                let diagnostic =
                    Diagnostic::new(path.field("rateLimit"), "limits nothing").value(&spec.rate_limit);
                self.warn(diagnostic);
                None
            }
            Some(milliseconds) => Some(RateLimit { milliseconds, scope }),
            None => {
                let diagnostic =
                    Diagnostic::new(path.field("rateLimit"), "not a time").value(&spec.rate_limit);
                self.error(diagnostic.remedy("such as 30, 30s, 5m or 1h"));
                None
            }
        }
    }

    fn signal(&mut self, spec: &ActionSpec, path: &Path) -> Option<u8> {
        let signal = spec.arg_sig.and_then(|signal| u8::try_from(signal).ok());
        let signal = signal.filter(|signal| (1..=64).contains(signal));
        if signal.is_none() && self.is_sound(&path.field("argSig")) {
            let diagnostic = Diagnostic::new(path.field("argSig"), "Signal needs the number of a signal");
            let diagnostic = match spec.arg_sig {
                Some(number) => diagnostic.value(number),
                None => diagnostic,
            };
            self.error(diagnostic.remedy("from 1 to 64, such as 15"));
        }
        signal
    }

    fn overriding(&mut self, spec: &ActionSpec, site: &Site<'_>, path: &Path) -> Option<Action> {
        let error = spec.arg_error.unwrap_or_default();
        let function = match site.point {
            HookPoint::Lsm { .. } => None,
            HookPoint::Kprobe { call, .. } => match call {
                _ if self.can_override(call) => None,
                Call::Function(name) => Some(format!("{name} is neither")),
                _ => Some("the list may hold others".to_owned()),
            },
            HookPoint::Tracepoint { .. } => Some("a tracepoint is neither".to_owned()),
            HookPoint::Uprobe { .. } => Some("a uprobe is neither".to_owned()),
        };
        if let Some(reason) = function {
            let is_known = site.section != Section::Kprobe || self.is_sound(&site.path.field("call"));
            if is_known {
                let problem = format!("system calls and security_ functions can be overridden, {reason}");
                let diagnostic = Diagnostic::new(path.field("action"), problem).value(spec.action);
                self.error(diagnostic.remedy("use Sigkill, or an LSM hook"));
            }
            return None;
        }
        if spec.arg_error.is_none() && self.is_sound(&path.field("argError")) {
            let problem = "without argError the function is skipped and seems to succeed";
            self.warn(
                Diagnostic::new(path.clone(), problem).remedy("add argError: -1 for \"not permitted\""),
            );
        }
        let is_syscall = matches!(site.point, HookPoint::Kprobe { syscall: true, .. });
        if !is_syscall && !ERRORS.contains(&error) {
            let problem = "a security hook returns 0 or an error, others are taken as the nearest of those";
            let diagnostic = Diagnostic::new(path.field("argError"), problem).value(error);
            self.warn(diagnostic.remedy("from -4095 to 0"));
        }
        Some(Action::Override { error })
    }

    fn notify(&mut self, spec: &ActionSpec, path: &Path) -> Option<Action> {
        if !self.has_enforcer {
            let problem = "there is no enforcer, so nothing would happen";
            let diagnostic = Diagnostic::new(path.field("action"), problem).value(spec.action);
            self.error(diagnostic.remedy("add spec.enforcers"));
        }
        let error = i16::try_from(spec.arg_error.unwrap_or_default()).ok();
        if error.is_none() {
            let diagnostic = Diagnostic::new(path.field("argError"), "out of range");
            self.error(diagnostic.value(spec.arg_error.unwrap_or_default()).remedy("from -32768 to 32767"));
        }
        let signal = u8::try_from(spec.arg_sig.unwrap_or_default()).ok().filter(|signal| *signal <= 64);
        if signal.is_none() {
            let diagnostic = Diagnostic::new(path.field("argSig"), "no signal");
            self.error(
                diagnostic.value(spec.arg_sig.unwrap_or_default()).remedy("from 1 to 64, or 0 for none"),
            );
        }
        if (error, signal) == (Some(0), Some(0)) {
            let problem = "neither argError nor argSig is given, so the enforcer does nothing";
            self.warn(Diagnostic::new(path.clone(), problem));
        }
        Some(Action::NotifyEnforcer { error: error?, signal: signal? })
    }

    /// The position of an argument that an action refers to.
    fn arg_position(
        &mut self,
        index: Option<u32>,
        field: &'static str,
        types: &[ArgType],
        site: &Site<'_>,
        path: &Path,
    ) -> Option<usize> {
        let path = path.field(field);
        let position = self.arg_of(index.unwrap_or_default(), site, &path, "no argument has this index")?;
        let arg = site.args.get(position)?;
        if self.is_sound(&arg.path.field("type")) && !types.contains(&arg.ty) {
            let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
            let problem = format!("the argument has the type {}", arg.ty);
            let diagnostic = Diagnostic::new(path, problem).value(index.unwrap_or_default());
            self.error(diagnostic.remedy(format!("it must be {}", names.join(" or "))));
            return None;
        }
        Some(position)
    }

    fn text(&mut self, text: &str, field: &'static str, action: ActionName, path: &Path) -> Option<String> {
        let path = path.field(field);
        if text.is_empty() {
            if self.is_sound(&path) {
                self.error(Diagnostic::new(path, "missing").remedy(format!("{action} needs it")));
            }
            return None;
        }
        Some(text.to_owned())
    }
}

/// Types that can hold a file descriptor.
const DESCRIPTORS: [ArgType; 4] = [ArgType::Fd, ArgType::Int, ArgType::Int32, ArgType::Uint32];

/// What can be done at an LSM hook.
const ON_LSM: [ActionName; 5] =
    [ActionName::Post, ActionName::NoPost, ActionName::Sigkill, ActionName::Signal, ActionName::Override];

/// A time such as `30`, `30s`, `5m` or `1h`, as milliseconds; the longest one stands for all that are longer.
fn milliseconds(text: &str) -> Option<u32> {
    let (digits, seconds) = match text.as_bytes().last()? {
        b's' | b'S' => (&text[..text.len() - 1], 1),
        b'm' | b'M' => (&text[..text.len() - 1], 60),
        b'h' | b'H' => (&text[..text.len() - 1], 3600),
        _ => (text, 1_u64),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().unwrap_or(u64::MAX);
    Some(u32::try_from(number.saturating_mul(seconds).saturating_mul(1000)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn rate_limits_have_units_and_a_ceiling() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("30s", Some(30_000)),
            ("5M", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("0", Some(0)),
            ("2000h", Some(u32::MAX)),
            ("99999999999999999999999h", Some(u32::MAX)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("10ms", None),
            ("1d", None),
            ("é", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
