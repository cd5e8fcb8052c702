use super::*;
use crate::listen::Address;
use crate::logging::Level;
use std::fs;
use std::time::Duration;

/// A root directory with settings in it.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(self, path: &str, content: &str) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn load(&self, args: &[&str], environment: &[(&str, &str)]) -> Result<Request, ConfigErrors> {
        load(
            args.iter().map(OsString::from),
            environment.iter().map(|(name, value)| (name.into(), value.into())),
            self.0.path(),
        )
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> (Config, Vec<Warning>) {
        match self.load(args, environment).unwrap() {
            Request::Run(config, warnings) => (*config, warnings),
            Request::Print(text) => panic!("printed {text}"),
        }
    }

    fn errors(&self, args: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        self.load(args, environment).unwrap_err().0.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn every_row_of_the_table_is_sound() {
    for pair in OPTIONS.windows(2) {
        assert!(pair[0].name < pair[1].name, "{} stands before {}", pair[0].name, pair[1].name);
    }
    let mut reports = Reports::default();
    let mut given = Given::default();
    for spec in OPTIONS {
        given.add(spec, Source::Flag, spec.default.to_owned());
        assert!(!spec.help.is_empty() && spec.name.is_ascii());
        if let Effect::Renamed(new) = spec.effect {
            assert!(OPTIONS.iter().any(|spec| spec.name == new));
        }
    }
    let config = Config::read(given, &mut reports);
    assert!(reports.errors.is_empty() && reports.warnings.is_empty(), "{reports:?}");
    for (spec, (name, value)) in OPTIONS.iter().zip(config.settings()) {
        assert_eq!((spec.name, spec.default), (name, value.as_str()));
    }
}

#[test]
#[rustfmt::skip] // a table
fn every_option_of_the_baseline_is_there_with_its_default() {
    let baseline = [
        ("bpf-dir", "tetragon"), ("bpf-lib", "/var/lib/tetragon/"), ("btf", ""), ("cgroup-rate", ""),
        ("config-dir", ""), ("cpuprofile", ""), ("cri-endpoint", ""), ("data-cache-size", "1024"),
        ("debug", "false"), ("disable-kprobe-multi", "false"), ("enable-cgidmap", "false"),
        ("enable-cgidmap-debug", "false"), ("enable-cri", "false"), ("enable-export-aggregation", "false"),
        ("enable-k8s-api", "false"), ("enable-msg-handling-latency", "false"), ("enable-pid-set-filter", "false"),
        ("enable-pod-info", "false"), ("enable-policy-filter", "false"), ("enable-policy-filter-debug", "false"),
        ("enable-process-ancestors", "true"), ("enable-process-cred", "false"), ("enable-process-ns", "false"),
        ("enable-tracing-policy-crd", "true"), ("event-queue-size", "10000"),
        ("export-aggregation-buffer-size", "10000"), ("export-aggregation-window-size", "15s"),
        ("export-allowlist", ""), ("export-denylist", ""), ("export-file-compress", "false"),
        ("export-file-max-backups", "5"), ("export-file-max-size-mb", "10"), ("export-file-perm", "600"),
        ("export-file-rotation-interval", "0s"), ("export-filename", ""), ("export-rate-limit", "-1"),
        ("expose-kernel-addresses", "false"), ("expose-stack-addresses", "false"), ("field-filters", ""),
        ("force-large-progs", "false"), ("force-small-progs", "false"), ("generate-docs", "false"),
        ("gops-address", ""), ("health-server-address", ":6789"), ("health-server-interval", "10"),
        ("help", "false"), ("k8s-kubeconfig-path", ""), ("keep-sensors-on-exit", "false"), ("kernel", ""),
        ("log-format", "text"), ("log-level", "info"), ("memprofile", ""),
        ("metrics-label-filter", "namespace,workload,pod,binary"), ("metrics-server", ""),
        ("netns-dir", "/var/run/docker/netns/"), ("pprof-addr", ""), ("pprof-address", ""),
        ("process-cache-size", "65536"), ("procfs", "/proc/"), ("rb-queue-size", "65535"), ("rb-size", "0"),
        ("rb-size-total", "0"), ("redaction-filters", ""), ("release-pinned-bpf", "true"),
        ("server-address", "localhost:54321"), ("tracing-policy", ""),
        ("tracing-policy-dir", "/etc/tetragon/tetragon.tp.d"), ("username-metadata", "disabled"), ("verbose", "0"),
    ];
    let ours: Vec<_> =
        OPTIONS.iter().filter(|spec| spec.since == "v1.2").map(|spec| (spec.name, spec.default)).collect();
    assert_eq!(ours, baseline);
}

#[test]
fn each_layer_wins_over_the_ones_below() {
    let extra = Root::new().file("log-level", "trace");
    let mut root = Root::new().file("usr/lib/tetragon/tetragon.conf.d/log-level", "panic");
    let level =
        |root: &Root, args: &[&str], environment: &[(&str, &str)]| root.run(args, environment).0.log_level;
    assert_eq!(level(&root, &[], &[]), Level::Panic);
    root = root.file("usr/local/lib/tetragon/tetragon.conf.d/log-level", "fatal");
    assert_eq!(level(&root, &[], &[]), Level::Fatal);
    root = root.file("etc/tetragon/tetragon.yaml", "log-level: error");
    assert_eq!(level(&root, &[], &[]), Level::Error);
    root = root.file("etc/tetragon/tetragon.conf.d/log-level", "warn");
    assert_eq!(level(&root, &[], &[]), Level::Warning);
    root = root.file("etc/tetragon/tetragon.conf.d/config-dir", extra.0.path().to_str().unwrap());
    assert_eq!(level(&root, &[], &[]), Level::Trace);
    let environment = [("TETRAGON_LOG_LEVEL", "debug")];
    assert_eq!(level(&root, &[], &environment), Level::Debug);
    assert_eq!(level(&root, &["--log-level=info"], &environment), Level::Info);
    let (config, _) = root.run(&["--log-level=info"], &environment);
    assert_eq!(config.source_of("log-level"), Source::Flag);
    assert_eq!(config.source_of("verbose"), Source::Default);
}

#[test]
fn empty_files_clear_and_empty_variables_do_not() {
    let root = Root::new()
        .file("usr/lib/tetragon/tetragon.conf.d/server-address", ":1")
        .file("usr/lib/tetragon/tetragon.conf.d/verbose", "2")
        .file("etc/tetragon/tetragon.conf.d/server-address", "\n")
        .file("etc/tetragon/tetragon.conf.d/verbose", "\n");
    let (config, _) = root.run(&[], &[]);
    assert_eq!((&config.server_address, config.verbose), (&None, 0));

    let root = root.file("etc/tetragon/tetragon.conf.d/server-address", ":2");
    let (config, _) = root.run(&[], &[("TETRAGON_SERVER_ADDRESS", "")]);
    assert_eq!(config.server_address, Some(Address::Tcp { host: String::new(), port: 2 }));
    assert_eq!(root.run(&["--server-address="], &[]).0.server_address, None);
}

#[test]
fn a_yaml_key_without_value_goes_back_to_the_default() {
    let root = Root::new()
        .file("usr/lib/tetragon/tetragon.conf.d/procfs", "/lower")
        .file("etc/tetragon/tetragon.yaml", "procfs:\nexport-file-rotation-interval: 90s\n");
    let (config, _) = root.run(&[], &[]);
    assert_eq!(config.procfs, PathBuf::from("/proc/"));
    assert_eq!(config.export_file_rotation_interval, Duration::from_secs(90));
}

#[test]
fn all_errors_come_at_once_with_their_places() {
    let root = Root::new()
        .file("etc/tetragon/tetragon.yaml", "rb-size: lots\n")
        .file("etc/tetragon/tetragon.conf.d/enable-process-ns", "yes")
        .file("etc/tetragon/tetragon.conf.d/export-file-rotation-interval", "60");
    let errors = root.errors(
        &["--no-such-flag", "--rb-size-total=0K", "--config-dir=/no/such/dir", "--tracing-policy-dir=here"],
        &[("TETRAGON_HEALTH_SERVER_INTERVAL", "0")],
    );
    let place = |path: &str| root.0.path().join(path).display().to_string();
    for expected in [
        "unknown flag --no-such-flag".to_owned(),
        "configuration directory /no/such/dir (from command line)".to_owned(),
        format!("rb-size from {}: invalid value \"lots\"", place("etc/tetragon/tetragon.yaml")),
        format!("enable-process-ns from {}: ", place("etc/tetragon/tetragon.conf.d/enable-process-ns")),
        "invalid value \"60\": the unit is missing after \"60\"; write for example 60s".to_owned(),
        "the smallest ring is one page".to_owned(),
        "tracing-policy-dir from command line: invalid value \"here\": the path must be absolute".to_owned(),
        "health-server-interval from environment variable TETRAGON_HEALTH_SERVER_INTERVAL: invalid value \"0\""
            .to_owned(),
    ] {
        assert!(errors.iter().any(|error| error.contains(&expected)), "{expected} in {errors:#?}");
    }
    assert_eq!(errors.len(), 8, "{errors:#?}");
}

#[test]
fn exclusive_options_are_refused_with_both_places() {
    let root = Root::new().file("etc/tetragon/tetragon.yaml", "rb-size: 1M\nforce-small-progs: true\n");
    let errors = root.errors(&["--rb-size-total=4M", "--force-large-progs"], &[]);
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].starts_with("rb-size (from /") && errors[0].contains("rb-size-total (from command line)")
    );
    // Zero means "not set".
    root.run(&["--rb-size-total=0"], &[]);
}

#[test]
#[rustfmt::skip] // a table
fn the_chart_default_settings_start_with_warnings_only() {
    let root = Root::new();
    for (key, value) in [
        ("procfs", "/procRoot"), ("debug", "false"), ("enable-process-cred", "false"),
        ("enable-process-ns", "false"), ("process-cache-size", "65536"),
        ("export-filename", "/var/run/cilium/tetragon/tetragon.log"), ("export-file-perm", "600"),
        ("export-file-max-size-mb", "10"), ("export-file-max-backups", "5"), ("export-file-compress", "false"),
        ("export-allowlist", "{\"event_set\":[\"PROCESS_EXEC\"]}"), ("export-denylist", "{\"health_check\":true}"),
        ("field-filters", "{}"), ("redaction-filters", ""), ("export-rate-limit", "-1"),
        ("enable-k8s-api", "true"), ("metrics-server", ":2112"),
        ("metrics-label-filter", "namespace,workload,pod,binary"), ("server-address", "localhost:54321"),
        ("health-server-address", ":6789"), ("health-server-interval", "10"), ("gops-address", "localhost:8118"),
        ("enable-policy-filter", "true"), ("enable-pod-info", "false"), ("enable-tracing-policy-crd", "true"),
        ("tcp-stats-sample-segs", "5"), ("enable-ancestors", ""), ("deleted-pod-cache-size", "1024"),
        ("event-cache-retries", "15"), ("event-cache-retry-delay", "2"), ("process-cache-gc-interval", "30s"),
    ] {
        fs::write(root.0.path().join(key), value).unwrap();
    }
    let flag = format!("--config-dir={}", root.0.path().display());
    let (config, warnings) = root.run(&[&flag], &[]);
    assert_eq!(config.procfs, PathBuf::from("/procRoot"));
    let named: Vec<_> = warnings.iter().map(|warning| warning.0.split(' ').next().unwrap_or_default()).collect();
    let unknown = format!("{}:", root.0.path().join("tcp-stats-sample-segs").display());
    assert_eq!(named, [unknown.as_str(), "enable-k8s-api", "gops-address", "metrics-server"]);
}

#[test]
fn lenient_options_warn_and_fall_back() {
    let root = Root::new();
    let (config, warnings) = root.run(
        &["--log-level=loud", "--log-format=xml", "--export-file-perm=rw", "--cgroup-rate=1000/1s"],
        &[],
    );
    assert_eq!((config.log_level, config.export_file_perm, config.cgroup_rate), (Level::Info, 0o600, None));
    assert_eq!(warnings.len(), 4, "{warnings:?}");
}

#[test]
fn the_default_directory_is_not_read_twice() {
    let root = Root::new()
        .file("etc/tetragon/tetragon.conf.d/btf", "\u{0}")
        .file("etc/tetragon/tetragon.conf.d/x", "");
    fs::write(root.0.path().join("etc/tetragon/tetragon.conf.d/btf"), [0xff]).unwrap();
    let flag = format!("--config-dir={}/etc/../etc/tetragon/tetragon.conf.d/", root.0.path().display());
    assert_eq!(root.errors(&[&flag], &[]).len(), 1);
}

#[test]
fn old_names_still_work_and_new_ones_win() {
    let root = Root::new();
    let (config, warnings) = root.run(&["--expose-kernel-addresses"], &[]);
    assert!(config.expose_stack_addresses);
    assert!(warnings[0].0.contains("use expose-stack-addresses"));
    let (config, _) = root.run(&["--expose-kernel-addresses", "--expose-stack-addresses=false"], &[]);
    assert!(!config.expose_stack_addresses);
}

#[test]
fn ancestors_need_base() {
    let root = Root::new();
    assert_eq!(root.errors(&["--enable-ancestors=lsm"], &[]).len(), 1);
    let (config, warnings) = root.run(&["--enable-ancestors=base,lsm,moon"], &[]);
    assert!(config.ancestors_for("lsm") && !config.ancestors_for("kprobe") && !config.ancestors_for("moon"));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn zero_asks_for_the_default_where_the_contract_says_so() {
    let (config, _) = Root::new().run(&["--event-queue-size=0", "--export-file-max-size-mb=0"], &[]);
    assert_eq!((config.event_queue_size, config.export_file_max_size_mb), (10_000, 100));
}

#[test]
fn help_and_docs_are_printed() {
    let root = Root::new();
    assert!(
        matches!(root.load(&["--nonsense", "-h"], &[]), Ok(Request::Print(text)) if text.contains("Usage"))
    );
    assert!(
        matches!(root.load(&["--generate-docs"], &[]), Ok(Request::Print(text)) if text.starts_with("name: tetragon"))
    );
}

#[test]
fn the_settings_serialise_as_a_map_of_texts() {
    let json = serde_json::to_value(Config::default()).unwrap();
    assert_eq!(json["server-address"], "localhost:54321");
    assert_eq!(json.as_object().unwrap().len(), OPTIONS.len());
}
