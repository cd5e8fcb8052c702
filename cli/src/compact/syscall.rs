//! System calls by number, for the raw tracepoint.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::args::Args;

struct Syscall {
    name: &'static str,
    /// `None`: not known; empty: takes none.
    parameters: Option<Vec<&'static str>>,
}

struct Tables {
    x86_64: HashMap<u64, Syscall>,
    arm64: HashMap<u64, Syscall>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables { x86_64: HashMap::new(), arm64: HashMap::new() };
    for line in include_str!("syscalls.tsv").lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [x86_64, arm64, name, parameters] = columns[..] else { continue };
        for (table, number) in [(&mut tables.x86_64, x86_64), (&mut tables.arm64, arm64)] {
            if let Ok(number) = number.parse() {
                table.insert(number, Syscall { name, parameters: split(parameters) });
            }
        }
    }
    tables
});

fn split(parameters: &'static str) -> Option<Vec<&'static str>> {
    match parameters {
        "-" => None,
        "()" => Some(Vec::new()),
        list => Some(list.split(',').collect()),
    }
}

/// The call as `name(type name=value, type *name=0x..)`; the number is argument 0, its arguments follow.
pub(super) fn describe(args: Args<'_>) -> String {
    let Some(call) = args.syscall(0).and_then(|(number, abi)| lookup(number, abi)) else {
        return "unknown".to_owned();
    };
    let Some(parameters) = &call.parameters else { return call.name.to_owned() };
    let list: Vec<String> = parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| {
            // The parameter and its type are one text, "int fd" or "char *buf".
            let value = args.number(index + 1).map_or_else(|| "?".to_owned(), |value| show(parameter, value));
            format!("{parameter}={value}")
        })
        .collect();
    format!("{}({})", call.name, list.join(", "))
}

fn lookup(number: u64, abi: Option<&str>) -> Option<&'static Syscall> {
    match abi {
        Some("x64") => TABLES.x86_64.get(&number),
        Some("arm64") => TABLES.arm64.get(&number),
        // 32-bit calls have numbers of their own; without an ABI, bit 31 of the number tells them.
        Some(_) => None,
        None if cfg!(target_arch = "aarch64") => TABLES.arm64.get(&number),
        None => TABLES.x86_64.get(&number),
    }
}

/// A register's value as the parameter's type: the kernel hands over 64 bits of each.
#[expect(clippy::cast_possible_truncation, reason = "a narrower parameter is the low half of its register")]
fn show(parameter: &str, value: i128) -> String {
    let register = value as u64;
    match parameter.rsplit_once([' ', '*']).map(|(kind, _)| kind.trim_end()) {
        _ if parameter.contains('*') => format!("{register:#x}"),
        Some("int" | "pid_t" | "key_t" | "clockid_t" | "timer_t" | "mqd_t" | "key_serial_t") => {
            (register as i32).to_string()
        }
        Some("long" | "off_t" | "loff_t") => (register as i64).to_string(),
        _ => register.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_counts() {
        let lines = include_str!("syscalls.tsv").lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let columns: Vec<&str> = line.split('\t').collect();
            assert_eq!(columns.len(), 4, "{line}");
            assert!(columns[..2].iter().any(|number| number.parse::<u64>().is_ok()), "{line}");
            assert!(columns[3].split(',').count() <= 6, "{line}");
        }
        assert_eq!(lookup(0, Some("x64")).map(|call| call.name), Some("read"));
        assert_eq!(lookup(63, Some("arm64")).map(|call| call.name), Some("read"));
        assert!(lookup(0, Some("i386")).is_none());
        assert!(lookup(0x8000_0000, None).is_none());
    }

    #[test]
    fn values_follow_the_type_of_the_parameter() {
        let minus_100 = i128::from((-100_i64).cast_unsigned());
        assert_eq!(show("int dfd", minus_100), "-100");
        assert_eq!(show("loff_t offset", minus_100), "-100");
        assert_eq!(show("unsigned int fd", 3), "3");
        assert_eq!(show("size_t count", minus_100), "18446744073709551516");
        assert_eq!(show("const char *filename", 4096), "0x1000");
    }
}
