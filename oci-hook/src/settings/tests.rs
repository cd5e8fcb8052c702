//! Which settings win.

use super::*;

fn run_in(folder: &Path, args: &[&str]) -> Result<Settings, SettingsError> {
    let args = std::iter::once("tetragon-oci-hook").chain(args.iter().copied()).map(OsString::from);
    match resolve(args, folder)? {
        Command::Run(settings) => Ok(*settings),
        Command::Show(text) => panic!("{text}"),
    }
}

fn run(args: &[&str]) -> Result<Settings, SettingsError> {
    run_in(Path::new("/nonexistent"), args)
}

fn with_file(file: &str, args: &[&str]) -> Settings {
    let dir = tempfile::tempdir().expect("folder");
    std::fs::write(dir.path().join("tetragon-oci-hook.json"), file).expect("file");
    run_in(dir.path(), args).expect("valid")
}

#[test]
fn defaults_are_those_of_the_interface() {
    let settings = run(&["createRuntime"]).expect("valid");
    assert_eq!(settings.log_fname, Path::new("/nonexistent/tetragon-oci-hook.log"));
    assert_eq!(settings.grpc_address, "unix:///var/run/tetragon/tetragon.sock");
    assert_eq!(settings.grpc_timeout, Duration::from_secs(10));
    assert_eq!(settings.policy(), Options { cel_expression: Some(String::new()), ..Options::default() });
    assert!(settings.warnings.is_empty());
}

#[test]
fn flags_come_in_both_notations_and_in_any_place() {
    let settings = run(&[
        "--grpc-timeout=500ms",
        "createRuntime",
        "--log-fname",
        "/l",
        "--disable-grpc",
        "--fail-allow-namespaces",
        "a, b",
        "--fail-allow-namespaces=c",
        "--fail-allow-namespaces-regex",
        "^x{1,2}$",
    ])
    .expect("valid");
    assert_eq!(settings.grpc_timeout, Duration::from_millis(500));
    assert_eq!(settings.log_fname, Path::new("/l"));
    assert!(settings.disable_grpc);
    assert_eq!(settings.fail_allow_namespaces, ["a", "b", "c"]);
    assert_eq!(settings.fail_allow_namespaces_regex, ["^x{1,2}$"]);
    assert!(!run(&["x", "--disable-grpc=false"]).expect("valid").disable_grpc);
    assert!(run(&["x", "--fail-allow-namespaces="]).expect("valid").fail_allow_namespaces.is_empty());
}

#[test]
fn mistakes_name_the_flag() {
    for (args, expected) in [
        (&["x", "--grpc-timout=1s"][..], "there is no flag --grpc-timout"),
        (
            &["x", "--grpc-timeout=1"],
            "--grpc-timeout: '1' is not a duration above zero, such as 10s, 500ms or 1m30s",
        ),
        (
            &["x", "--grpc-timeout=0s"],
            "--grpc-timeout: '0s' is not a duration above zero, such as 10s, 500ms or 1m30s",
        ),
        (&["x", "--disable-grpc=maybe"], "--disable-grpc: 'maybe' is neither true nor false"),
        (&["x", "--log-fname="], "--log-fname: the value is empty"),
        (&["x", "--log-fname"], "missing argument for option '--log-fname'"),
        (&[], "name the stage that calls: createRuntime, createContainer, poststop or server-version"),
        (&["x", "y"], "unexpected argument \"y\""),
        (&["x", "-q"], "invalid option '-q'"),
    ] {
        assert_eq!(run(args).expect_err("wrong").to_string(), expected, "{args:?}");
    }
}

#[test]
fn the_file_gives_defaults_and_the_command_line_wins() {
    let file = r#"{"grpc_address":"localhost:1","grpc_timeout":"2s","disable_grpc":true,
        "fail_allow_namespaces":["a","b"],"fail_allow_namespaces_regex":"c,d"}"#;
    let settings = with_file(file, &["x", "--grpc-timeout=3s", "--fail-allow-namespaces=e"]);
    assert_eq!(
        (settings.grpc_address.as_str(), settings.grpc_timeout),
        ("localhost:1", Duration::from_secs(3))
    );
    assert!(settings.disable_grpc);
    assert_eq!(settings.fail_allow_namespaces, ["e"]);
    assert_eq!(settings.fail_allow_namespaces_regex, ["c", "d"]);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    assert!(with_file(r#"{"fail_allow_namespaces":[]}"#, &["x"]).fail_allow_namespaces.is_empty());
}

#[test]
fn what_is_wrong_in_the_file_is_left_out_and_told() {
    for (file, told) in [
        ("{", "EOF"),
        ("[]", "invalid type"),
        (r#"{"grpc_timeout":true}"#, "grpc_timeout"),
        (r#"{"log_level":{}}"#, "log_level"),
        (r#"{"log-level":"debug"}"#, "no such setting"),
    ] {
        let settings = with_file(file, &["x"]);
        assert!(settings.warnings.concat().contains(told), "{file}: {:?}", settings.warnings);
        assert_eq!(settings.grpc_timeout, Duration::from_secs(10));
    }
}

#[test]
fn an_unknown_level_is_info_with_a_warning() {
    let settings = run(&["x", "--log-level=loud"]).expect("valid");
    assert_eq!(settings.log_level, Level::Info);
    assert!(settings.warnings[0].contains("loud"));
}

#[test]
fn the_settings_in_effect_can_be_shown() {
    let args = ["hook", "--just-print-config", "--grpc-timeout=2s"].map(OsString::from);
    let Ok(Command::Show(text)) = resolve(args, Path::new("/n")) else { panic!() };
    let shown: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(shown["grpc_timeout"], "2s");
    assert_eq!(shown["log_level"], "info");
    assert_eq!(shown["fail_allow_namespaces"][0], "kube-system");
}

#[test]
fn help_names_every_flag() {
    let Ok(Command::Show(text)) = resolve(["hook", "--help"].map(OsString::from), Path::new("/n")) else {
        panic!()
    };
    for flag in &FLAGS {
        assert!(text.contains(&format!("--{} ", flag.name)), "{}", flag.name);
    }
}
