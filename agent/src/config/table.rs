//! Every option, as data. The order is that of the names.

use std::collections::BTreeMap;

use super::kinds;
use super::resolve::{Given, Reports, read_one};
use super::spec::{Spec, options};
use super::{Kind, Source};

const API: &str =
    "this release does not ask the Kubernetes API; pods are known from hooks and from the container runtime";
const ALWAYS: &str = "cgroup ids are always used, nested cgroups included";
const DEBUGGING: &str = "this release has no server for profiles; use perf on the process";
const ENFORCED: &str = "programs are not pinned in this release, they end with the agent";
const GENERATIONS: &str = "one BPF object adapts itself to the kernel it is loaded on";
const GO_ONLY: &str = "it belongs to the Go runtime, which this agent does not have";
const METRICS: &str = "this release has no metrics server";
const NOT_MERGED: &str = "no type of event is merged, so every event is exported on its own";
const POLICIES: &str = "the policies of this release have no use for it";
const PROBED: &str = "kernel features are found by trying them, not by version";
const TLS: &str = "this release serves gRPC without TLS";

options! {
    bpf_dir: Text, "bpf-dir", "tetragon", "Name of the directory below the BPF file system that holds pinned objects"
        => no_effect(ENFORCED);
    bpf_lib: Path, "bpf-lib", "/var/lib/tetragon/", "Directory searched for BTF files when the kernel offers none";
    btf: OptionalPath, "btf", "", "BTF file of the running kernel. Empty: found by itself";
    cgroup_rate: CgroupRate, "cgroup-rate", "", "Limit of base sensor events per cgroup as <events>,<interval>, for example 1000,1s. Empty: no limit"
        => no_effect("events are not limited per cgroup in this release");
    cluster_name: Text, "cluster-name", "", "Name of the cluster, shown in events" => since("v1.3");
    config_dir: OptionalPath, "config-dir", "", "Directory with one file per option";
    cpuprofile: OptionalPath, "cpuprofile", "", "File for a CPU profile" => hidden().no_effect(DEBUGGING);
    cri_endpoint: UnixUrl, "cri-endpoint", "", "CRI socket as unix:// URL. Empty: found by itself";
    data_cache_size: Positive, "data-cache-size", "1024", "Entries of the cache of data in several parts"
        => no_effect("data in several parts is joined where the rings are read");
    debug: Switch, "debug", "false", "Log debug messages, whatever --log-level says" => short('d');
    deleted_pod_cache_size: Positive, "deleted-pod-cache-size", "1024", "Entries of the cache of deleted pods"
        => hidden().since("later").no_effect(API);
    disable_kprobe_multi: Switch, "disable-kprobe-multi", "false", "Never attach to many functions with one link";
    disable_process_cache: Switch, "disable-process-cache", "false", "Run without a process cache"
        => hidden().since("later").no_effect("events need the process table");
    enable_ancestors: Words, "enable-ancestors", "", "Comma-separated types of events that carry all ancestors of their process: base, kprobe, tracepoint, loader, uprobe, lsm, usdt. All others need base"
        => since("v1.5");
    enable_cgidmap: Switch, "enable-cgidmap", "false", "Find pods by cgroup id" => no_effect(ALWAYS);
    enable_cgidmap_debug: Switch, "enable-cgidmap-debug", "false", "Log how pods are found by cgroup id" => no_effect(ALWAYS);
    enable_cgtrackerid: Switch, "enable-cgtrackerid", "true", "Track the cgroups below a container's cgroup"
        => hidden().since("v1.3").no_effect(ALWAYS);
    enable_cri: Switch, "enable-cri", "false", "Ask the container runtime through CRI";
    enable_deprecated_tracingpolicy_grpc: Switch, "enable-deprecated-tracingpolicy-grpc", "false", "Serve the deprecated calls to enable and disable policies"
        => hidden().since("v1.7").no_effect("these calls are always served");
    enable_event_metrics: Switch, "enable-event-metrics", "true", "Count events in metrics"
        => hidden().since("later").no_effect(METRICS);
    enable_export_aggregation: Switch, "enable-export-aggregation", "false", "Merge equal exported events" => no_effect(NOT_MERGED);
    enable_k8s_api: Switch, "enable-k8s-api", "false", "Ask the Kubernetes API for the pods of processes" => no_effect(API);
    enable_msg_handling_latency: Switch, "enable-msg-handling-latency", "false", "Measure how long events take to be handled" => no_effect(METRICS);
    enable_pid_set_filter: Switch, "enable-pid-set-filter", "false", "Accept pid_set in export filters; its set grows without limit";
    enable_pod_annotations: Switch, "enable-pod-annotations", "false", "Show the annotations of pods in events"
        => hidden().since("v1.5");
    enable_pod_info: Switch, "enable-pod-info", "false", "Watch PodInfo resources" => no_effect(API);
    enable_policy_filter: Switch, "enable-policy-filter", "false", "Apply policies to the namespaces, pods and containers that they select";
    enable_policy_filter_cgroup_map: Switch, "enable-policy-filter-cgroup-map", "false", "Keep a map from cgroups to policies"
        => hidden().since("v1.4").no_effect(POLICIES);
    enable_policy_filter_debug: Switch, "enable-policy-filter-debug", "false", "Log how policies find their pods" => no_effect(POLICIES);
    enable_process_ancestors: Switch, "enable-process-ancestors", "true", "Show ancestors in process events"
        => no_effect("use --enable-ancestors=base to have ancestors in events");
    enable_process_cred: Switch, "enable-process-cred", "false", "Show credentials and capabilities of processes in events";
    enable_process_environment_variables: Switch, "enable-process-environment-variables", "false", "Show the environment of processes in events"
        => hidden().since("v1.7").no_effect("environments are not captured in this release");
    enable_process_kprobe_ancestors: Switch, "enable-process-kprobe-ancestors", "false", "Show ancestors in kprobe events"
        => hidden().since("v1.4").no_effect("use --enable-ancestors=base,kprobe");
    enable_process_lsm_ancestors: Switch, "enable-process-lsm-ancestors", "false", "Show ancestors in LSM events"
        => hidden().since("v1.4").no_effect("use --enable-ancestors=base,lsm");
    enable_process_ns: Switch, "enable-process-ns", "false", "Show the namespaces of processes in events";
    enable_process_tracepoint_ancestors: Switch, "enable-process-tracepoint-ancestors", "false", "Show ancestors in tracepoint events"
        => hidden().since("v1.4").no_effect("use --enable-ancestors=base,tracepoint");
    enable_process_uprobe_ancestors: Switch, "enable-process-uprobe-ancestors", "false", "Show ancestors in uprobe events"
        => hidden().since("v1.4").no_effect("use --enable-ancestors=base,uprobe");
    enable_tracing_policy_crd: Switch, "enable-tracing-policy-crd", "true", "Watch the custom resources of tracing policies"
        => no_effect(API);
    event_cache_retries: Unsigned, "event-cache-retries", "15", "How often an event waits for what is still unknown about its process"
        => since("v1.2.1");
    event_cache_retry_delay: Positive, "event-cache-retry-delay", "2", "Seconds between two such attempts" => since("v1.2.1");
    event_queue_size: Unsigned, "event-queue-size", "10000", "Events that may wait for each reader (gRPC stream or export). 0: the default";
    execve_map_entries: Unsigned, "execve-map-entries", "0", "Entries of the kernel's table of processes"
        => hidden().since("v1.4").no_effect("the kernel side sizes its own state");
    execve_map_size: Text, "execve-map-size", "", "Bytes of the kernel's table of processes"
        => hidden().since("v1.4").no_effect("the kernel side sizes its own state");
    export_aggregation_buffer_size: Unsigned, "export-aggregation-buffer-size", "10000", "Events that may wait to be merged" => no_effect(NOT_MERGED);
    export_aggregation_window_size: Span, "export-aggregation-window-size", "15s", "Time in which equal events are merged" => no_effect(NOT_MERGED);
    export_allowlist: Text, "export-allowlist", "", "JSON filters, one after another; an event must match one of them to be exported. Empty: all pass";
    export_denylist: Text, "export-denylist", "", "JSON filters, one after another; an event that matches one of them is not exported";
    export_file_compress: Switch, "export-file-compress", "false", "Compress rotated export files with gzip";
    export_file_max_backups: Unsigned, "export-file-max-backups", "5", "Rotated export files to keep. 0: all";
    export_file_max_size_mb: Unsigned, "export-file-max-size-mb", "10", "Size in MiB at which the export file is rotated. 0: 100";
    export_file_perm: FileMode, "export-file-perm", "600", "Octal access permissions of a new export file";
    export_file_rotation_interval: Span, "export-file-rotation-interval", "0s", "Rotate the export file this often too. 0: by size only";
    export_filename: OptionalPath, "export-filename", "", "File for events as JSON lines; - or /dev/stdout: standard output. Empty: no export";
    export_rate_limit: Int, "export-rate-limit", "-1", "Events exported to the file per minute. Negative: no limit. 0: none";
    expose_kernel_addresses: Switch, "expose-kernel-addresses", "false", "Old name of --expose-stack-addresses"
        => renamed("expose-stack-addresses");
    expose_stack_addresses: Switch, "expose-stack-addresses", "false", "Show addresses in stack traces";
    field_filters: Text, "field-filters", "", "JSON field filters, one after another, that keep or remove fields of exported events";
    filter_environment_variables: Words, "filter-environment-variables", "", "Environment variables that may be shown"
        => hidden().since("v1.7").no_effect("environments are not captured in this release");
    force_large_progs: Switch, "force-large-progs", "false", "Load the programs for kernels from 5.3 on" => no_effect(GENERATIONS);
    force_small_progs: Switch, "force-small-progs", "false", "Load the programs for kernels before 5.3" => no_effect(GENERATIONS);
    generate_docs: Switch, "generate-docs", "false", "Print all options as YAML and exit";
    gops_address: TcpAddress, "gops-address", "", "Address of the gops diagnostics agent" => no_effect(GO_ONLY);
    health_server_address: TcpAddress, "health-server-address", ":6789", "Address of the gRPC health server. Empty: none";
    health_server_interval: Positive, "health-server-interval", "10", "Seconds between two self-checks";
    help: Switch, "help", "false", "Print this text and exit" => short('h');
    k8s_controlplane_retry: Int, "k8s-controlplane-retry", "1", "How often the Kubernetes API is tried at start. Negative: for ever"
        => hidden().since("v1.6").no_effect(API);
    k8s_kubeconfig_path: OptionalPath, "k8s-kubeconfig-path", "", "Kubeconfig file. Empty: the account of the pod" => no_effect(API);
    keep_sensors_on_exit: Switch, "keep-sensors-on-exit", "false", "Leave the sensors in the kernel at exit" => no_effect(ENFORCED);
    kernel: Text, "kernel", "", "Kernel version to assume" => no_effect(PROBED);
    log_file: OptionalPath, "log-file", "", "File that gets a copy of the log; emptied at start" => since("v1.7");
    log_format: LogFormat, "log-format", "text", "Form of the log: text or json";
    log_level: LogLevel, "log-level", "info", "Least severe level logged: panic, fatal, error, warn, info, debug or trace";
    memprofile: OptionalPath, "memprofile", "", "File for a heap profile" => hidden().no_effect(DEBUGGING);
    metrics_label_filter: Words, "metrics-label-filter", "namespace,workload,pod,binary", "Comma-separated labels that metrics carry" => no_effect(METRICS);
    metrics_server: TcpAddress, "metrics-server", "", "Address of the metrics server, for example :2112. Empty: none" => no_effect(METRICS);
    netns_dir: Path, "netns-dir", "/var/run/docker/netns/", "Directory of network namespaces"
        => no_effect("namespaces are read from processes");
    parents_map_enabled: Switch, "parents-map-enabled", "false", "Let policies match parents" => hidden().since("v1.7").no_effect(POLICIES);
    parents_map_entries: Unsigned, "parents-map-entries", "0", "Entries of the kernel's table of parents"
        => hidden().since("v1.7").no_effect(POLICIES);
    parents_map_size: Text, "parents-map-size", "", "Bytes of the kernel's table of parents" => hidden().since("v1.7").no_effect(POLICIES);
    persist_grpc_policies: Switch, "persist-grpc-policies", "false", "Keep policies added through gRPC over a restart"
        => hidden().since("later").no_effect(POLICIES);
    persist_grpc_policies_dir: Path, "persist-grpc-policies-dir", "/var/run/tetragon/grpc-policies", "Directory of kept policies"
        => hidden().since("later").no_effect(POLICIES);
    pprof_addr: Text, "pprof-addr", "", "Old name of --pprof-address" => renamed("pprof-address");
    pprof_address: Text, "pprof-address", "", "Address for profiles through HTTP. Empty: none" => no_effect(DEBUGGING);
    process_cache_gc_interval: Span, "process-cache-gc-interval", "30s", "How often ended processes are removed from the process table"
        => hidden().since("v1.3").no_effect("ended processes are removed by their age, without a sweep");
    process_cache_size: Positive, "process-cache-size", "65536", "Processes that the process table can hold";
    procfs: Path, "procfs", "/proc/", "Proc file system of the host";
    rb_queue_size: Size, "rb-queue-size", "65535", "Records that may wait between ring buffer and decoder (K, M, G allowed)"
        => no_effect("records are decoded where the ring is read, so none waits in between");
    rb_size: RingSize, "rb-size", "0", "Ring buffer bytes per CPU (K, M, G allowed). 0: see --rb-size-total";
    rb_size_total: RingSize, "rb-size-total", "0", "Ring buffer bytes in total (K, M, G allowed). 0: 2M";
    redaction_filters: Text, "redaction-filters", "", "JSON redaction filters, one after another, that mask parts of arguments";
    release_pinned_bpf: Switch, "release-pinned-bpf", "true", "Remove what an earlier agent left pinned, before start" => no_effect(ENFORCED);
    retprobes_cache_size: Unsigned, "retprobes-cache-size", "4096", "Calls that may wait for their return probe"
        => hidden().since("v1.7").no_effect(POLICIES);
    run_dir: AbsolutePath, "run-dir", "/var/run/tetragon", "Directory of the pid file and the info file" => since("ours");
    server_address: GrpcAddress, "server-address", "localhost:54321", "Address of the gRPC server: host:port or unix:///path. Empty: none";
    server_tls_cert_file: OptionalPath, "server-tls-cert-file", "", "Certificate of the gRPC server" => hidden().since("later").no_effect(TLS);
    server_tls_client_ca_files: Words, "server-tls-client-ca-files", "", "Certificates that clients of the gRPC server must be signed with"
        => hidden().since("later").no_effect(TLS);
    server_tls_key_file: OptionalPath, "server-tls-key-file", "", "Private key of the gRPC server" => hidden().since("later").no_effect(TLS);
    server_tls_require_client_cert: Switch, "server-tls-require-client-cert", "false", "Refuse clients of the gRPC server without a certificate"
        => hidden().since("later").no_effect(TLS);
    sleepable_preload_size: Size, "sleepable-preload-size", "32768", "Bytes of preloaded strings" => hidden().since("later").no_effect(POLICIES);
    tracing_policy: OptionalPath, "tracing-policy", "", "Tracing policy to load at start";
    tracing_policy_dir: AbsolutePath, "tracing-policy-dir", "/etc/tetragon/tetragon.tp.d", "Directory of tracing policies to load at start";
    use_perf_ring_buffer: Switch, "use-perf-ring-buffer", "false", "Use a perf buffer instead of a BPF ring buffer"
        => hidden().since("v1.6").no_effect("every supported kernel has the BPF ring buffer");
    username_metadata: UserNames, "username-metadata", "disabled", "Show user names in events: disabled or unix";
    verbose: Unsigned, "verbose", "0", "Verifier log at load: 0 none, 1 short, 2 full"
        => no_effect("the end of the log of a program that is refused is always part of the error");
}
