//! Policies in files and directories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tetragon_crds::{DirectoryErrors, load_directory, load_file, policy_files};

fn policy(name: &str) -> String {
    format!("apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: {name}}}\nspec: {{}}\n")
}

fn names(directory: &Path) -> Vec<String> {
    let policies = load_directory(directory).unwrap_or_else(|error| panic!("{error}"));
    policies.into_iter().map(|policy| policy.name.name).collect()
}

#[test]
fn a_directory_and_its_direct_subdirectories_in_lexical_order() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    for directory in ["b", "b/deeper", "..2026_01_01", "elsewhere"] {
        fs::create_dir(at(directory)).expect("made");
    }
    let outside = tempfile::tempdir().expect("folder");
    fs::write(outside.path().join("linked"), policy("linked")).expect("written");
    for (file, name) in [
        ("c.yaml", "c"),
        ("a.txt", "a"),
        ("b/2", "b2"),
        ("b/1.yaml", "b1"),
        ("b/deeper/x.yaml", "too-deep"),
        ("..2026_01_01/c.yaml", "of-the-volume"),
        (".hidden", "hidden"),
    ] {
        fs::write(at(file), policy(name)).expect("written");
    }
    symlink(outside.path().join("linked"), at("d.yaml")).expect("linked");
    symlink(outside.path(), at("e")).expect("linked");
    symlink(outside.path().join("linked"), at("elsewhere/x")).expect("linked");
    fs::remove_file(at("elsewhere/x")).expect("removed");
    assert_eq!(names(folder.path()), ["hidden", "a", "b1", "b2", "c", "linked"]);
}

#[test]
fn a_volume_of_kubernetes_is_read_once() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("..2026_01_01_00_00")).expect("made");
    fs::write(at("..2026_01_01_00_00/p.yaml"), policy("p")).expect("written");
    symlink("..2026_01_01_00_00", at("..data")).expect("linked");
    symlink("..data/p.yaml", at("p.yaml")).expect("linked");
    assert_eq!(names(folder.path()), ["p"]);
}

#[test]
fn every_bad_file_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("1"), policy("same")).expect("written");
    fs::write(at("2"), policy("same")).expect("written");
    fs::write(at("3"), policy("Bad")).expect("written");
    fs::write(at("4"), [0xff, 0xfe, 0x00]).expect("written");
    let error = load_directory(folder.path()).expect_err("refused");
    let text = error.to_string();
    let DirectoryErrors::Refused(refused) = error else { panic!("{text}") };
    assert_eq!(refused.len(), 3, "{text}");
    for words in
        ["/1 has a policy of this name already", "\"Bad\": not a name", "not a text in UTF-8: byte 0"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("folder");
    let missing = folder.path().join("missing");
    match load_directory(&missing).expect_err("refused") {
        DirectoryErrors::Unreadable(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            assert!(error.to_string().contains("missing"), "{error}");
        }
        other => panic!("{other}"),
    }
    assert!(load_file(&missing).expect_err("refused").to_string().contains("cannot read the file"));
    symlink("nowhere", folder.path().join("link")).expect("linked");
    assert!(policy_files(folder.path()).expect_err("refused").to_string().contains("link"));
}
