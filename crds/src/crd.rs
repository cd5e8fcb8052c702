//! The definitions that the API server is given, and the schema that the loader enforces without one.

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::spec::{TracingPolicy, TracingPolicyNamespaced};

/// The schema's version; an installer replaces definitions that carry an older one.
pub const SCHEMA_VERSION: &str = "1.2.4";

/// The label that holds [`SCHEMA_VERSION`].
pub const SCHEMA_VERSION_LABEL: &str = "cilium.io.k8s.crd.schema.version";

/// The definition of `TracingPolicy`, as the API server takes it.
#[must_use]
pub fn tracing_policy() -> Value {
    finish(json!(TracingPolicy::crd()))
}

/// The definition of `TracingPolicyNamespaced`, as the API server takes it.
#[must_use]
pub fn tracing_policy_namespaced() -> Value {
    finish(json!(TracingPolicyNamespaced::crd()))
}

/// A definition as text, for the files in `yaml/`.
///
/// # Errors
///
/// Never for the definitions of this crate; the serialiser could fail for others.
pub fn to_yaml(definition: &Value) -> Result<String, serde_norway::Error> {
    let text = serde_norway::to_string(definition)?;
    Ok(format!(
        "# Generated from the types in crds/src/spec; `cargo run -p tetragon-crds --example crdgen` writes it.\n{text}"
    ))
}

/// Where the schema is inside a definition.
pub(crate) fn schema_of(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

fn finish(mut definition: Value) -> Value {
    definition["metadata"]["labels"] = json!({ SCHEMA_VERSION_LABEL: SCHEMA_VERSION });
    let version = &mut definition["spec"]["versions"][0];
    if let Some(version) = version.as_object_mut() {
        // Empty in the types, absent in the interface.
        for key in ["additionalPrinterColumns", "selectableFields", "subresources"] {
            version.remove(key);
        }
    }
    for key in ["shortNames", "categories"] {
        if let Some(names) = definition["spec"]["names"].as_object_mut() {
            names.remove(key);
        }
    }
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tidy(schema);
    schema["required"] = json!(["metadata", "spec"]);
    schema["properties"]["apiVersion"] = json!({ "type": "string" });
    schema["properties"]["kind"] = json!({ "type": "string" });
    schema["properties"]["metadata"] = json!({ "type": "object" });
    definition
}

/// Takes out what the Rust types bring along and the interface does not have.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // An absent field is absent; the API server drops nulls of fields that are not nullable.
            object.remove("nullable");
            if object.get("title").is_some_and(Value::is_string) {
                object.remove("title");
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            // The server knows no unsigned formats.
            if object.get("format").is_some_and(|format| format == "uint32") {
                object.insert("format".to_owned(), json!("int64"));
                object.insert("minimum".to_owned(), json!(0));
                object.insert("maximum".to_owned(), json!(u32::MAX));
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
