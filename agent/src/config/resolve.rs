//! From texts in layers to typed values.

use std::collections::BTreeMap;

use super::error::{ConfigError, Source, Warning};
use super::spec::{Effect, Spec};
use super::table::OPTIONS;
use super::{Config, Kind};

/// What came to light while reading.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl Reports {
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        let warning = Warning(text.into());
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// The winning text of every option that is set somewhere.
#[derive(Debug, Default)]
pub(super) struct Given(BTreeMap<&'static str, (Source, String)>);

impl Given {
    /// Sets a value over all that was set before.
    pub(super) fn set(&mut self, spec: &'static Spec, source: Source, text: String) {
        if text.is_empty() && !spec.holds_empty && !matches!(source, Source::Flag) {
            self.clear(spec);
        } else {
            self.0.insert(spec.name, (source, text));
        }
    }

    /// Adds to a list on the same level, or sets the value.
    pub(super) fn add(&mut self, spec: &'static Spec, source: Source, text: String) {
        match self.0.get_mut(spec.name) {
            Some((known, list)) if spec.list && *known == source => {
                list.push(',');
                list.push_str(&text);
            }
            _ => self.set(spec, source, text),
        }
    }

    /// Goes back to the default, whatever was set before.
    pub(super) fn clear(&mut self, spec: &'static Spec) {
        self.0.remove(spec.name);
    }

    pub(super) fn get(&self, name: &str) -> Option<&(Source, String)> {
        self.0.get(name)
    }

    /// Lays another set of values over this one.
    pub(super) fn overlay(&mut self, above: Self) {
        self.0.extend(above.0);
    }

    /// Moves the values of old names to the new ones.
    pub(super) fn rename(&mut self, reports: &mut Reports) {
        for spec in OPTIONS {
            let Effect::Renamed(new) = spec.effect else { continue };
            let Some((source, text)) = self.0.remove(spec.name) else { continue };
            reports.warn(format!("{} (from {source}) is an old name; use {new}", spec.name));
            self.0.entry(new).or_insert((source, text));
        }
    }

    pub(super) fn into_sources(self) -> BTreeMap<&'static str, Source> {
        self.0.into_iter().map(|(name, (source, _))| (name, source)).collect()
    }
}

/// Reads the value of one option, or its default.
pub(super) fn read_one<K: Kind>(
    name: &'static str,
    default: &'static str,
    given: &Given,
    reports: &mut Reports,
) -> K::Value {
    let fallback = || K::parse(default).unwrap_or_default();
    let Some((source, text)) = given.get(name) else { return fallback() };
    match K::parse(text) {
        Ok(value) => value,
        Err(reason) if K::LENIENT => {
            reports.warn(format!(
                "{name} from {source}: invalid value {text:?}: {reason}; using {}",
                if default.is_empty() { "none" } else { default }
            ));
            fallback()
        }
        Err(reason) => {
            let text = text.clone();
            reports.errors.push(ConfigError::Value { name, source_place: source.clone(), text, reason });
            fallback()
        }
    }
}

/// What one value cannot tell: options that exclude or need each other, and options that do nothing here.
pub(super) fn check(config: &mut Config, reports: &mut Reports) {
    for (first, second, both) in [
        ("rb-size", "rb-size-total", config.rb_size > 0 && config.rb_size_total > 0),
        ("force-small-progs", "force-large-progs", config.force_small_progs && config.force_large_progs),
    ] {
        if both {
            reports.errors.push(ConfigError::Conflict {
                first,
                first_place: config.source_of(first),
                second,
                second_place: config.source_of(second),
            });
        }
    }

    const ANCESTORS: [&str; 7] = ["base", "kprobe", "tracepoint", "loader", "uprobe", "lsm", "usdt"];
    for word in &config.enable_ancestors {
        if !ANCESTORS.contains(&word.as_str()) {
            reports.warn(format!(
                "enable-ancestors from {}: {word:?} is not one of {}, and is ignored",
                config.source_of("enable-ancestors"),
                ANCESTORS.join(" ")
            ));
        }
    }
    config.enable_ancestors.retain(|word| ANCESTORS.contains(&word.as_str()));
    if !config.enable_ancestors.is_empty() && !config.enable_ancestors.iter().any(|word| word == "base") {
        reports.errors.push(ConfigError::Value {
            name: "enable-ancestors",
            source_place: config.source_of("enable-ancestors"),
            text: config.enable_ancestors.join(","),
            reason: "the other types need base; add it".to_owned(),
        });
    }

    if config.event_queue_size == 0 {
        config.event_queue_size = 10_000;
    }
    if config.export_file_max_size_mb == 0 {
        config.export_file_max_size_mb = 100;
    }

    for (spec, (name, value)) in OPTIONS.iter().zip(config.settings()) {
        if let Effect::None(reason) = spec.effect
            && value != spec.default
        {
            let source = config.source_of(name);
            reports.warn(format!("{name} (from {source}) is accepted but has no effect: {reason}"));
        }
    }
}
