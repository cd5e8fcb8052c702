//! The definitions for the API server.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tetragon_crds::crd;

#[test]
fn the_files_are_what_the_types_say() {
    for definition in [crd::tracing_policy(), crd::tracing_policy_namespaced()] {
        let plural = definition["spec"]["names"]["plural"].as_str().expect("a name");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml").join(format!("{plural}.yaml"));
        let text = fs::read_to_string(&file).expect("the file");
        let remedy = "run: cargo run -p tetragon-crds --example crdgen";
        assert!(text == crd::to_yaml(&definition).expect("YAML"), "{} is stale; {remedy}", file.display());
    }
}

#[test]
fn names_are_those_of_the_interface() {
    for (definition, name, kind, singular, scope) in [
        (crd::tracing_policy(), "tracingpolicies.cilium.io", "TracingPolicy", "tracingpolicy", "Cluster"),
        (
            crd::tracing_policy_namespaced(),
            "tracingpoliciesnamespaced.cilium.io",
            "TracingPolicyNamespaced",
            "tracingpolicynamespaced",
            "Namespaced",
        ),
    ] {
        let spec = &definition["spec"];
        assert_eq!(definition["metadata"]["name"], name);
        assert_eq!(definition["metadata"]["labels"]["cilium.io.k8s.crd.schema.version"], "1.2.4");
        assert_eq!((&spec["names"]["kind"], &spec["names"]["singular"]), (&kind.into(), &singular.into()));
        assert_eq!(spec["scope"], scope);
        let [version] = &spec["versions"].as_array().expect("versions")[..] else { panic!("{spec}") };
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&"v1alpha1".into(), &true.into(), &true.into())
        );
        assert_eq!(version["schema"]["openAPIV3Schema"]["required"], serde_json::json!(["metadata", "spec"]));
    }
}

/// What the API server demands of schemas, as far as ours could violate it.
#[test]
fn schemas_are_structural() {
    fn check(schema: &Value, path: &str) {
        let kind = schema["type"].as_str().unwrap_or_else(|| panic!("{path} has no type"));
        for key in ["oneOf", "anyOf", "allOf", "$ref", "nullable", "title", "$schema", "definitions"] {
            assert!(schema.get(key).is_none(), "{path} has {key}");
        }
        match kind {
            "object" => {
                for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                    check(schema, &format!("{path}.{name}"));
                }
                if let Some(schema) = schema.get("additionalProperties") {
                    check(schema, &format!("{path}.*"));
                }
                for name in schema["required"].as_array().into_iter().flatten() {
                    assert!(
                        schema["properties"].get(name.as_str().expect("text")).is_some(),
                        "{path}: {name}"
                    );
                }
            }
            "array" => check(&schema["items"], &format!("{path}[]")),
            "string" | "boolean" => {}
            "integer" => {
                assert!(["int32", "int64"].contains(&schema["format"].as_str().expect("format")), "{path}");
            }
            other => panic!("{path}: {other}"),
        }
    }
    let definition = crd::tracing_policy();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    check(schema, "");
    let kprobe = &schema["properties"]["spec"]["properties"]["kprobes"]["items"];
    assert_eq!(kprobe["properties"]["syscall"]["default"], true);
    assert_eq!(kprobe["required"], serde_json::json!(["call"]));
    assert_eq!(kprobe["properties"]["tags"]["maxItems"], 16);
    assert_eq!(kprobe["properties"]["args"]["items"]["properties"]["type"]["default"], "auto");
}
