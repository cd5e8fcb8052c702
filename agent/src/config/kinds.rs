//! What a value may look like: one type per kind of option, with its reading and its printing.
//!
//! Every reader takes any text and returns a value or a reason; none of them panics, and none of them turns a
//! typing error into zero.

use std::path::PathBuf;
use std::time::Duration;

use super::number::{parse_bool, parse_duration, parse_integer, parse_size, show_duration};
use crate::listen::Address;
use crate::logging::{Format, Level};

/// A kind of option.
pub trait Kind {
    /// What the text becomes.
    type Value: Default;
    /// The word for the value in `--help`; empty for a switch.
    const WORD: &'static str;
    /// Whether an empty file sets an empty value. Otherwise it means "back to the default".
    const HOLDS_EMPTY: bool = false;
    /// Whether the contract asks for a warning and the default, not an error, when the text is malformed.
    const LENIENT: bool = false;
    /// Whether a repeated flag adds to the list.
    const LIST: bool = false;

    /// Reads the text; the error says what is wrong and what would be right.
    fn parse(text: &str) -> Result<Self::Value, String>;
    /// Prints the value so that it reads back.
    fn show(value: &Self::Value) -> String;
}

/// Any text; empty is a value.
#[derive(Debug)]
pub struct Text;
impl Kind for Text {
    type Value = String;
    const WORD: &'static str = "string";
    const HOLDS_EMPTY: bool = true;
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
    fn show(value: &String) -> String {
        value.clone()
    }
}

/// A path that is always there.
#[derive(Debug)]
pub struct Path;
impl Kind for Path {
    type Value = PathBuf;
    const WORD: &'static str = "string";
    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(PathBuf::from(text)) }
    }
    fn show(value: &PathBuf) -> String {
        value.display().to_string()
    }
}

/// A path, or empty for none.
#[derive(Debug)]
pub struct OptionalPath;
impl Kind for OptionalPath {
    type Value = Option<PathBuf>;
    const WORD: &'static str = "string";
    const HOLDS_EMPTY: bool = true;
    fn parse(text: &str) -> Result<Option<PathBuf>, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }
    fn show(value: &Option<PathBuf>) -> String {
        value.as_ref().map(Path::show).unwrap_or_default()
    }
}

/// A directory that must be named from the root.
#[derive(Debug)]
pub struct AbsolutePath;
impl Kind for AbsolutePath {
    type Value = PathBuf;
    const WORD: &'static str = "string";
    fn parse(text: &str) -> Result<PathBuf, String> {
        if text.starts_with('/') {
            Ok(PathBuf::from(text))
        } else {
            Err("the path must be absolute (start with /)".to_owned())
        }
    }
    fn show(value: &PathBuf) -> String {
        Path::show(value)
    }
}

/// True or false.
#[derive(Debug)]
pub struct Switch;
impl Kind for Switch {
    type Value = bool;
    const WORD: &'static str = "";
    fn parse(text: &str) -> Result<bool, String> {
        parse_bool(text)
    }
    fn show(value: &bool) -> String {
        value.to_string()
    }
}

/// A signed integer.
#[derive(Debug)]
pub struct Int;
impl Kind for Int {
    type Value = i64;
    const WORD: &'static str = "int";
    fn parse(text: &str) -> Result<i64, String> {
        parse_integer(text)
    }
    fn show(value: &i64) -> String {
        value.to_string()
    }
}

/// An integer of zero or more.
#[derive(Debug)]
pub struct Unsigned;
impl Kind for Unsigned {
    type Value = u64;
    const WORD: &'static str = "uint";
    fn parse(text: &str) -> Result<u64, String> {
        let value = parse_integer(text)?;
        u64::try_from(value).map_err(|_| format!("{value} is negative; the smallest value is 0"))
    }
    fn show(value: &u64) -> String {
        value.to_string()
    }
}

/// An integer of one or more.
#[derive(Debug)]
pub struct Positive;
impl Kind for Positive {
    type Value = u64;
    const WORD: &'static str = "int";
    fn parse(text: &str) -> Result<u64, String> {
        match parse_integer(text)? {
            value @ 1.. => Ok(value.unsigned_abs()),
            value => Err(format!("{value} is too small; the smallest value is 1")),
        }
    }
    fn show(value: &u64) -> String {
        value.to_string()
    }
}

/// A span of time of zero or more, with units.
#[derive(Debug)]
pub struct Span;
impl Kind for Span {
    type Value = Duration;
    const WORD: &'static str = "duration";
    fn parse(text: &str) -> Result<Duration, String> {
        parse_duration(text)
    }
    fn show(value: &Duration) -> String {
        show_duration(*value)
    }
}

/// A number of bytes or records, with an optional `K`, `M` or `G`.
#[derive(Debug)]
pub struct Size;
impl Kind for Size {
    type Value = u64;
    const WORD: &'static str = "string";
    fn parse(text: &str) -> Result<u64, String> {
        parse_size(text)
    }
    fn show(value: &u64) -> String {
        value.to_string()
    }
}

/// The size of a ring buffer in bytes; a plain `0` asks for the default.
#[derive(Debug)]
pub struct RingSize;
impl Kind for RingSize {
    type Value = u64;
    const WORD: &'static str = "string";
    fn parse(text: &str) -> Result<u64, String> {
        const SMALLEST: &str = "the smallest ring is one page (4K); 0 asks for the default size";
        if text == "0" {
            return Ok(0);
        }
        if text.starts_with('-') {
            return Err(format!("a ring buffer cannot have a negative size; {SMALLEST}"));
        }
        match parse_size(text)? {
            0 => Err(format!("a ring buffer cannot be empty; {SMALLEST}")),
            bytes if bytes > super::rings::LARGEST_RING_BYTES => {
                Err("the kernel allows at most 2G for a ring buffer".to_owned())
            }
            bytes => Ok(bytes),
        }
    }
    fn show(value: &u64) -> String {
        value.to_string()
    }
}

/// Comma-separated words; blanks around them are dropped.
#[derive(Debug)]
pub struct Words;
impl Kind for Words {
    type Value = Vec<String>;
    const WORD: &'static str = "strings";
    const HOLDS_EMPTY: bool = true;
    const LIST: bool = true;
    fn parse(text: &str) -> Result<Vec<String>, String> {
        Ok(text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }
    fn show(value: &Vec<String>) -> String {
        value.join(",")
    }
}

/// Where the gRPC server listens: `unix://<path>` or TCP, port 54321 unless given. Empty: nowhere.
#[derive(Debug)]
pub struct GrpcAddress;
impl Kind for GrpcAddress {
    type Value = Option<Address>;
    const WORD: &'static str = "string";
    const HOLDS_EMPTY: bool = true;
    fn parse(text: &str) -> Result<Option<Address>, String> {
        Address::parse(text, Some(54321)).map_err(|error| error.to_string())
    }
    fn show(value: &Option<Address>) -> String {
        value.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

/// Where a plain TCP server listens. Empty: nowhere.
#[derive(Debug)]
pub struct TcpAddress;
impl Kind for TcpAddress {
    type Value = Option<Address>;
    const WORD: &'static str = "string";
    const HOLDS_EMPTY: bool = true;
    fn parse(text: &str) -> Result<Option<Address>, String> {
        match Address::parse(text, None) {
            Ok(Some(Address::Unix(_))) => {
                Err("this server listens on TCP only; write host:port or :port".to_owned())
            }
            other => other.map_err(|error| error.to_string()),
        }
    }
    fn show(value: &Option<Address>) -> String {
        GrpcAddress::show(value)
    }
}

/// A `unix://` URL of a container runtime, or empty.
#[derive(Debug)]
pub struct UnixUrl;
impl Kind for UnixUrl {
    type Value = Option<PathBuf>;
    const WORD: &'static str = "string";
    const HOLDS_EMPTY: bool = true;
    fn parse(text: &str) -> Result<Option<PathBuf>, String> {
        match Address::parse(text, None) {
            Ok(None) => Ok(None),
            Ok(Some(Address::Unix(path))) => Ok(Some(path)),
            _ => Err("only unix:// URLs with an absolute path are supported".to_owned()),
        }
    }
    fn show(value: &Option<PathBuf>) -> String {
        value.as_ref().map(|path| format!("unix://{}", path.display())).unwrap_or_default()
    }
}

/// The least severe level that is logged.
#[derive(Debug)]
pub struct LogLevel;
impl Kind for LogLevel {
    type Value = Level;
    const WORD: &'static str = "string";
    const LENIENT: bool = true;
    fn parse(text: &str) -> Result<Level, String> {
        text.parse().map_err(|error: crate::logging::UnknownName| error.to_string())
    }
    fn show(value: &Level) -> String {
        value.to_string()
    }
}

/// The form of log lines.
#[derive(Debug)]
pub struct LogFormat;
impl Kind for LogFormat {
    type Value = Format;
    const WORD: &'static str = "string";
    const LENIENT: bool = true;
    fn parse(text: &str) -> Result<Format, String> {
        text.parse().map_err(|error: crate::logging::UnknownName| error.to_string())
    }
    fn show(value: &Format) -> String {
        value.to_string()
    }
}

/// Octal access permissions of the export file, narrowed to what is safe for a log.
#[derive(Debug)]
pub struct FileMode;
impl Kind for FileMode {
    type Value = u32;
    const WORD: &'static str = "string";
    const LENIENT: bool = true;
    fn parse(text: &str) -> Result<u32, String> {
        let digits = text.trim_start_matches("0o");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("not an octal number such as 600 or 640".to_owned());
        }
        let bits = u32::from_str_radix(digits, 8)
            .map_err(|_| "not an octal number such as 600 or 640".to_owned())?;
        // The owner can always read and write; nobody executes; the world never writes.
        Ok((bits & 0o777 & !0o113) | 0o600)
    }
    fn show(value: &u32) -> String {
        format!("{value:o}")
    }
}

/// At most so many base events per cgroup in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupLimit {
    /// Events per interval, at least 1.
    pub events: u64,
    /// The interval, longer than zero.
    pub interval: Duration,
}

/// `<events>,<interval>`, for example `1000,1s`; empty, or a part of zero: no limit.
#[derive(Debug)]
pub struct CgroupRate;
impl Kind for CgroupRate {
    type Value = Option<CgroupLimit>;
    const WORD: &'static str = "string";
    const HOLDS_EMPTY: bool = true;
    const LENIENT: bool = true;
    fn parse(text: &str) -> Result<Option<CgroupLimit>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let Some((events, interval)) = text.split_once(',') else {
            return Err("the form is <events>,<interval>, for example 1000,1s".to_owned());
        };
        let events = match events {
            "" => 0,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| "the number of events is too large".to_owned())?
            }
            _ => return Err("the number of events is not a decimal number".to_owned()),
        };
        let interval = if interval.is_empty() { Duration::ZERO } else { parse_duration(interval)? };
        Ok((events > 0 && !interval.is_zero()).then_some(CgroupLimit { events, interval }))
    }
    fn show(value: &Option<CgroupLimit>) -> String {
        value.map(|limit| format!("{},{}", limit.events, show_duration(limit.interval))).unwrap_or_default()
    }
}

/// Where user names come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserNameSource {
    /// Events carry no user names.
    #[default]
    Disabled,
    /// The host's `/etc/passwd`.
    Unix,
}

/// `disabled` or `unix`.
#[derive(Debug)]
pub struct UserNames;
impl Kind for UserNames {
    type Value = UserNameSource;
    const WORD: &'static str = "string";
    fn parse(text: &str) -> Result<UserNameSource, String> {
        match text {
            "disabled" => Ok(UserNameSource::Disabled),
            "unix" => Ok(UserNameSource::Unix),
            _ => Err("the value is either disabled or unix".to_owned()),
        }
    }
    fn show(value: &UserNameSource) -> String {
        match value {
            UserNameSource::Disabled => "disabled".to_owned(),
            UserNameSource::Unix => "unix".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_modes_are_narrowed_to_what_is_safe() {
        for (text, mode) in
            [("600", 0o600), ("0600", 0o600), ("0", 0o600), ("777", 0o664), ("640", 0o640), ("4755", 0o644)]
        {
            assert_eq!(FileMode::parse(text), Ok(mode), "{text}");
        }
        for text in ["", "rw", "-600", "+600", "9", "0x1ff", "77777777777777777777"] {
            assert!(FileMode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_explicit_empty_ring_is_refused_and_a_plain_zero_is_the_default() {
        assert_eq!(RingSize::parse("0"), Ok(0));
        assert_eq!(RingSize::parse("64K"), Ok(65536));
        for text in ["0K", "00", "-1", "-4K", "", "3G", "1k"] {
            assert!(RingSize::parse(text).is_err(), "{text}");
        }
        assert!(RingSize::parse("0M").unwrap_err().contains("4K"));
    }

    #[test]
    fn cgroup_rates_need_one_comma_and_are_off_when_a_part_is_zero() {
        let limit = CgroupLimit { events: 1000, interval: Duration::from_secs(1) };
        assert_eq!(CgroupRate::parse("1000,1s"), Ok(Some(limit)));
        for text in ["", ",", "10,", ",1s", "0,1s", "10,0s"] {
            assert_eq!(CgroupRate::parse(text), Ok(None), "{text}");
        }
        for text in ["1000/1s", "a,1s", "1,1", "1,1s,2", "-1,1s"] {
            assert!(CgroupRate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn word_lists_drop_blanks() {
        assert_eq!(Words::parse(" base, kprobe ,,").unwrap(), ["base", "kprobe"]);
        assert!(Words::parse("").unwrap().is_empty());
    }

    #[test]
    fn only_unix_urls_name_a_runtime() {
        assert_eq!(UnixUrl::parse("unix:///run/crio.sock"), Ok(Some(PathBuf::from("/run/crio.sock"))));
        assert_eq!(UnixUrl::parse(""), Ok(None));
        for text in ["/run/crio.sock", "tcp://localhost:1", "unix://run/crio.sock", "localhost:1"] {
            assert!(UnixUrl::parse(text).is_err(), "{text}");
        }
    }

    fn reads_back<K: Kind>(text: &str) -> Result<(), TestCaseError>
    where
        K::Value: PartialEq + std::fmt::Debug,
    {
        if let Ok(value) = K::parse(text) {
            prop_assert_eq!(K::parse(&K::show(&value)), Ok(value));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic_and_what_is_shown_reads_back(
            text in prop_oneof!["\\PC*", "[-+0-9a-fxKMGnuµmsh.,_:/\\[\\]]{0,24}", "unix://[/a-z.]*"]
        ) {
            reads_back::<Text>(&text)?;
            reads_back::<Path>(&text)?;
            reads_back::<OptionalPath>(&text)?;
            reads_back::<AbsolutePath>(&text)?;
            reads_back::<Switch>(&text)?;
            reads_back::<Int>(&text)?;
            reads_back::<Unsigned>(&text)?;
            reads_back::<Positive>(&text)?;
            reads_back::<Span>(&text)?;
            reads_back::<Size>(&text)?;
            reads_back::<RingSize>(&text)?;
            reads_back::<Words>(&text)?;
            reads_back::<GrpcAddress>(&text)?;
            reads_back::<TcpAddress>(&text)?;
            reads_back::<UnixUrl>(&text)?;
            reads_back::<LogLevel>(&text)?;
            reads_back::<LogFormat>(&text)?;
            reads_back::<FileMode>(&text)?;
            reads_back::<CgroupRate>(&text)?;
            reads_back::<UserNames>(&text)?;
        }
    }
}
