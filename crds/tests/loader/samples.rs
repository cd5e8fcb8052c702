//! Policies that use everything the interface has, for tests that need whole ones.

/// One for each way of using the interface that its documents name.
pub(crate) const POLICIES: &[(&str, &str)] = &[
    ("empty", "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: empty}\nspec: {}\n"),
    ("files", include_str!("samples/files.yaml")),
    ("descriptors", include_str!("samples/descriptors.yaml")),
    ("sockets", include_str!("samples/sockets.yaml")),
    ("processes", include_str!("samples/processes.yaml")),
    ("enforcer", include_str!("samples/enforcer.yaml")),
    ("tracepoints", include_str!("samples/tracepoints.yaml")),
    ("lsm", include_str!("samples/lsm.yaml")),
    ("uprobe", include_str!("samples/uprobe.yaml")),
    ("lists", include_str!("samples/lists.yaml")),
    ("loader", include_str!("samples/loader.yaml")),
    ("team", include_str!("samples/team.yaml")),
    ("types", include_str!("samples/types.yaml")),
];
