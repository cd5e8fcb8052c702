//! Kernel byte strings as text: paths, arguments, and what cannot be decoded.

/// Valid UTF-8, each run of invalid bytes replaced by one U+FFFD.
pub fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_text(&mut text, bytes);
    text
}

fn push_text(text: &mut String, bytes: &[u8]) {
    // Nearly all of them are; one pass, one copy.
    if let Ok(valid) = std::str::from_utf8(bytes) {
        text.push_str(valid);
        return;
    }
    let mut in_run = false;
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            text.push_str(chunk.valid());
            in_run = false;
        }
        if !chunk.invalid().is_empty() && !in_run {
            text.push('\u{fffd}');
            in_run = true;
        }
    }
}

/// The bytes up to the first NUL.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

/// An argument list as the kernel keeps it: each argument ended by NUL.
pub fn split_arguments(raw: &[u8]) -> Vec<&[u8]> {
    match raw.strip_suffix(b"\0") {
        Some(inner) => inner.split(|b| *b == 0).collect(),
        None if raw.is_empty() => Vec::new(),
        None => raw.split(|b| *b == 0).collect(),
    }
}

/// The arguments after `argv[0]` in one line: an argument with a blank stands in double quotes (nothing inside is
/// escaped), all are set apart by one blank. The format of the reference, which is not reversible: see
/// [`is_ambiguous`].
pub fn render_arguments(argv: &[&[u8]]) -> String {
    let arguments = argv.get(1..).unwrap_or_default();
    // Up to three characters around each.
    let mut line = String::with_capacity(arguments.iter().map(|argument| argument.len() + 3).sum());
    for argument in arguments {
        // A blank is never part of an invalid run.
        if argument.contains(&b' ') {
            line.push_str(" \"");
            push_text(&mut line, argument);
            line.push('"');
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            push_text(&mut line, argument);
        }
    }
    line
}

/// Whether some other argument list prints as this one does: only plain, non-empty, valid arguments without blanks
/// and quotes can be read back from the line.
pub fn is_ambiguous(argv: &[&[u8]]) -> bool {
    argv.iter().skip(1).any(|argument| {
        argument.is_empty()
            || argument.iter().any(|b| matches!(b, b' ' | b'"'))
            || std::str::from_utf8(argument).is_err()
            || argument.windows(3).any(|w| w == "\u{fffd}".as_bytes())
    })
}

/// A path built from components that come leaf first, each ended by NUL.
pub fn join_leaf_first(components: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(components.len() + 1);
    for component in split_arguments(components).iter().rev() {
        path.push(b'/');
        path.extend_from_slice(component);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

/// `file` if it is absolute, else `directory` and `file` joined and cleaned of `.`, `..` and double slashes, by text
/// alone. What cannot be made absolute, because only the end of the directory is known or nothing, stays relative.
pub fn absolute(directory: &str, file: &str) -> String {
    if file.starts_with('/') || file.is_empty() {
        return file.to_owned();
    }
    let root = if directory.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(file.split('/')) {
        match part {
            "" | "." => {}
            ".." if root.is_empty() && parts.last().is_none_or(|last| *last == "..") => parts.push(part),
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_replacement_for_each_run_of_invalid_bytes() {
        assert_eq!(to_text(b"a\xff\xfe\xfdb\xc3"), "a\u{fffd}b\u{fffd}");
        assert_eq!(to_text("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(to_text(b""), "");
    }

    #[test]
    fn arguments_are_rendered_as_the_contract_says() {
        let line = |argv: &[&str]| render_arguments(&argv.iter().map(|a| a.as_bytes()).collect::<Vec<_>>());
        assert_eq!(line(&["ls", "-l", "/tmp"]), "-l /tmp");
        assert_eq!(line(&["ls"]), "");
        assert_eq!(line(&["sh", "a b", "c"]), " \"a b\" c");
        assert_eq!(line(&["sh", "x", "", "y"]), "x  y");
        assert_eq!(line(&["sh", "", "y"]), "y");
        assert_eq!(line(&["sh", "a\tb"]), "a\tb");
    }

    #[test]
    fn kernel_lists_keep_empty_arguments() {
        assert_eq!(split_arguments(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert_eq!(split_arguments(b"\0"), [&b""[..]]);
        assert_eq!(split_arguments(b""), Vec::<&[u8]>::new());
        assert_eq!(split_arguments(b"cut of"), [&b"cut of"[..]]);
    }

    #[test]
    fn directories_are_turned_round() {
        assert_eq!(join_leaf_first(b"c\0b\0a\0"), b"/a/b/c");
        assert_eq!(join_leaf_first(b""), b"/");
    }

    #[test]
    fn relative_files_are_joined_and_cleaned() {
        assert_eq!(absolute("/tmp", "./a/../b//c"), "/tmp/b/c");
        assert_eq!(absolute("/", "../../x"), "/x");
        assert_eq!(absolute("/tmp", "/x/../y"), "/x/../y");
        // Nothing, or only the end of the directory, is known.
        assert_eq!(absolute("", "./x"), "x");
        assert_eq!(absolute("", "../x"), "../x");
        assert_eq!(absolute("b/c", "../../../x"), "../x");
    }

    proptest! {
        #[test]
        fn text_is_never_longer_than_its_runs_allow(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = to_text(&bytes);
            prop_assert!(text.chars().count() <= bytes.len());
            let (mark, twice) = ("\u{fffd}", "\u{fffd}\u{fffd}");
            prop_assert!(!text.contains(twice) || bytes.windows(3).any(|w| w == mark.as_bytes()));
        }

        #[test]
        fn lists_that_print_alike_are_told_apart(
            a in proptest::collection::vec("[ab \"]{0,3}", 0..4),
            b in proptest::collection::vec("[ab \"]{0,3}", 0..4),
        ) {
            fn argv(list: &[String]) -> Vec<&[u8]> {
                std::iter::once(&b"x"[..]).chain(list.iter().map(|s| s.as_bytes())).collect()
            }
            let (a, b) = (argv(&a), argv(&b));
            // What an event shows: the line, and the list itself where the line is ambiguous.
            let shown = |list: &[&[u8]]| {
                (render_arguments(list), is_ambiguous(list).then(|| list.iter().map(|x| x.to_vec()).collect::<Vec<_>>()))
            };
            prop_assert_eq!(a == b, shown(&a) == shown(&b));
        }
    }
}
