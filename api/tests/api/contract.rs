//! Our descriptors against the table of the contract, both ways.

use std::collections::BTreeSet;

use prost_reflect::prost_types::field_descriptor_proto::Label;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor};

/// What is ours alone.
const OWN_FILES: [&str; 2] = ["tetragon/identity.proto", "tetragon/status.proto"];

#[test]
fn descriptors_equal_the_contract() {
    let expected: BTreeSet<String> = include_str!("contract.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim_end().to_owned())
        .collect();
    let found = found();
    let missing: Vec<_> = expected.difference(&found).collect();
    let extra: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
}

#[test]
fn numbers_of_event_fields_equal_event_types() {
    let pool = tetragon_api::descriptor_pool();
    let event = pool.get_message_by_name("tetragon.GetEventsResponse").unwrap();
    let types = pool.get_enum_by_name("tetragon.EventType").unwrap();
    let fields = event.oneofs().next().unwrap();
    assert_eq!(fields.fields().count() + 1, types.values().count(), "one type for each field, and UNDEF");
    for field in fields.fields() {
        let value =
            types.get_value(field.number() as i32).unwrap_or_else(|| panic!("no type for {}", field.name()));
        assert_eq!(value.name(), field.name().to_uppercase());
    }
}

fn found() -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    let pool = tetragon_api::descriptor_pool();
    for file in
        pool.files().filter(|file| file.package_name() == "tetragon" && !OWN_FILES.contains(&file.name()))
    {
        let name = file.name().strip_prefix("tetragon/").unwrap();
        assert_eq!(file.file_descriptor_proto().syntax(), "proto3");
        file.messages().for_each(|message| message_rows(&mut rows, name, &message));
        file.enums().for_each(|it| enum_rows(&mut rows, name, &it));
        file.services().for_each(|service| service_rows(&mut rows, name, &service));
    }
    rows
}

fn insert(rows: &mut BTreeSet<String>, columns: &[&str]) {
    rows.insert(columns.join("\t").trim_end().to_owned());
}

/// The name without the package.
fn short(full_name: &str) -> &str {
    full_name.strip_prefix("tetragon.").unwrap_or(full_name)
}

fn deprecated(yes: Option<bool>) -> &'static str {
    if yes == Some(true) { "deprecated" } else { "" }
}

fn message_rows(rows: &mut BTreeSet<String>, file: &str, message: &MessageDescriptor) {
    if message.is_map_entry() {
        return;
    }
    let name = short(message.full_name());
    insert(rows, &["message", file, name]);
    for range in message.reserved_ranges() {
        // A range of a message ends before its end.
        insert(rows, &["reserved", name, &range.start.to_string(), &(range.end - 1).to_string()]);
    }
    for field in message.fields() {
        let options = field.field_descriptor_proto().options.as_ref();
        let flags = deprecated(options.and_then(|options| options.deprecated));
        let (number, kind, label) = (field.number().to_string(), field_type(&field), label(&field));
        insert(rows, &["field", name, &number, field.name(), &kind, &label, flags]);
        assert!(
            field
                .field_descriptor_proto()
                .json_name
                .as_deref()
                .is_none_or(|it| it == default_json_name(field.name()))
        );
    }
    message.child_messages().for_each(|child| message_rows(rows, file, &child));
}

fn default_json_name(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let (head, tail) = part.split_at(part.len().min(1));
        name + &head.to_uppercase() + tail
    })
}

fn field_type(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { unreachable!("map entries are messages") };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return format!("map<{}, {}>", kind_name(&key.kind()), kind_name(&value.kind()));
    }
    // Types nested in the same message are written without it.
    let name = kind_name(&field.kind());
    let outer = format!("{}.", short(field.parent_message().full_name()));
    name.strip_prefix(&outer).map_or(name.clone(), ToOwned::to_owned)
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => short(message.full_name()).to_owned(),
        Kind::Enum(it) => short(it.full_name()).to_owned(),
        scalar => format!("{scalar:?}"),
    }
}

fn label(field: &FieldDescriptor) -> String {
    if field.is_map() {
        "map".to_owned()
    } else if field.field_descriptor_proto().label() == Label::Repeated {
        "repeated".to_owned()
    } else if field.field_descriptor_proto().proto3_optional() {
        "optional".to_owned()
    } else {
        field.containing_oneof().map_or(String::new(), |oneof| format!("oneof {}", oneof.name()))
    }
}

fn enum_rows(rows: &mut BTreeSet<String>, file: &str, it: &EnumDescriptor) {
    let name = short(it.full_name());
    insert(rows, &["enum", file, name]);
    for range in it.reserved_ranges() {
        insert(rows, &["reserved", name, &range.start().to_string(), &range.end().to_string()]);
    }
    for value in it.values() {
        let options = value.enum_value_descriptor_proto().options.as_ref();
        let flags = deprecated(options.and_then(|options| options.deprecated));
        insert(rows, &["value", name, &value.number().to_string(), value.name(), flags]);
    }
}

fn service_rows(rows: &mut BTreeSet<String>, file: &str, service: &ServiceDescriptor) {
    let name = short(service.full_name());
    insert(rows, &["service", file, name]);
    for method in service.methods() {
        let (input, output) = (method.input(), method.output());
        let streaming = match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => "unary",
            (false, true) => "server",
            (true, _) => "client",
        };
        let options = method.method_descriptor_proto().options.as_ref();
        let flags = deprecated(options.and_then(|options| options.deprecated));
        insert(
            rows,
            &[
                "method",
                name,
                method.name(),
                short(input.full_name()),
                short(output.full_name()),
                streaming,
                flags,
            ],
        );
    }
}
