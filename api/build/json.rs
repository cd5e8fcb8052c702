//! Generates one JSON writer per message: straight-line code in declaration order, as the export format wants it.

use anyhow::{Context, Result, bail};
use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Rust source with an `impl ToJson` for every message of our package.
pub(crate) fn generate(set: &FileDescriptorSet) -> Result<String> {
    let mut out = String::new();
    for file in set.file.iter().filter(|file| file.package() == "tetragon") {
        for message in &file.message_type {
            generate_message(&mut out, message, "")?;
        }
    }
    Ok(out)
}

fn generate_message(out: &mut String, message: &DescriptorProto, outer: &str) -> Result<()> {
    let name = message.name();
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        return Ok(());
    }
    let mut body = String::new();
    let mut oneofs_done = Vec::new();
    for field in &message.field {
        let place = || format!("{name}.{}", field.name());
        match field.oneof_index.filter(|_| !field.proto3_optional()) {
            Some(index) if oneofs_done.contains(&index) => {}
            Some(index) => {
                oneofs_done.push(index);
                body += &oneof(message, index, outer).with_context(place)?;
            }
            None => body += &plain(field, message).with_context(place)?,
        }
    }
    let write = if body.is_empty() {
        "        out.push_str(\"{}\");\n".to_owned()
    } else {
        format!("        let mut object = Object::begin(out);\n{body}        object.end();\n")
    };
    *out += &format!(
        "impl ToJson for crate::tetragon::{outer}{} {{\n    fn write_json(&self, out: &mut String) {{\n{write}    }}\n}}\n",
        name.to_upper_camel_case()
    );
    let inner = format!("{outer}{}::", name.to_snake_case());
    message.nested_type.iter().try_for_each(|nested| generate_message(out, nested, &inner))
}

/// A field outside of any oneof.
fn plain(field: &FieldDescriptorProto, message: &DescriptorProto) -> Result<String> {
    let member = format!("self.{}", identifier(field.name()));
    let key = field.name();
    if let Some(value) = map_value(field, message) {
        if !matches!(value.r#type(), Type::String | Type::Int32) {
            bail!("no JSON writer for maps with this type of value");
        }
        return Ok(format!("        if !{member}.is_empty() {{ map(object.key(\"{key}\"), &{member}); }}\n"));
    }
    let write = write_value(field)?;
    Ok(if field.label() == Label::Repeated {
        format!(
            "        if !{member}.is_empty() {{ array(object.key(\"{key}\"), &{member}, |out, value| {write}); }}\n"
        )
    } else if field.r#type() == Type::Message || field.proto3_optional() {
        format!("        if let Some(value) = &{member} {{ let out = object.key(\"{key}\"); {write}; }}\n")
    } else {
        format!(
            "        {{ let value = &{member}; if {} {{ let out = object.key(\"{key}\"); {write}; }} }}\n",
            is_set(field)?
        )
    })
}

/// All members of a oneof, at the place of its first.
fn oneof(message: &DescriptorProto, index: i32, outer: &str) -> Result<String> {
    let name = message.oneof_decl[usize::try_from(index)?].name();
    let path =
        format!("crate::tetragon::{outer}{}::{}", message.name().to_snake_case(), name.to_upper_camel_case());
    let mut arms = String::new();
    for field in message.field.iter().filter(|field| field.oneof_index == Some(index)) {
        arms += &format!(
            "            Some({path}::{}(value)) => {{ let out = object.key(\"{}\"); {}; }}\n",
            field.name().to_upper_camel_case(),
            field.name(),
            write_value(field)?
        );
    }
    Ok(format!("        match &self.{} {{\n{arms}            None => {{}}\n        }}\n", identifier(name)))
}

/// The statement that writes the field's value, given as the reference `value`, to `out`.
fn write_value(field: &FieldDescriptorProto) -> Result<String> {
    Ok(match field.r#type() {
        Type::Enum => format!(
            "enumeration(out, *value, |number| crate::{}::try_from(number).ok().map(|it| it.as_str_name()))",
            rust_path(field.type_name())
        ),
        Type::Message
        | Type::String
        | Type::Bytes
        | Type::Bool
        | Type::Int32
        | Type::Uint32
        | Type::Int64
        | Type::Uint64 => "value.write_json(out)".to_owned(),
        other => bail!("no JSON writer for {}", other.as_str_name()),
    })
}

/// The condition under which a field without presence is printed.
fn is_set(field: &FieldDescriptorProto) -> Result<&'static str> {
    Ok(match field.r#type() {
        Type::String | Type::Bytes => "!value.is_empty()",
        Type::Bool => "*value",
        Type::Enum | Type::Int32 | Type::Uint32 | Type::Int64 | Type::Uint64 => "*value != 0",
        other => bail!("no JSON writer for {}", other.as_str_name()),
    })
}

fn map_value<'a>(
    field: &FieldDescriptorProto,
    message: &'a DescriptorProto,
) -> Option<&'a FieldDescriptorProto> {
    if field.r#type() != Type::Message {
        return None;
    }
    let entry_name = field.type_name().rsplit('.').next()?;
    let entry = message.nested_type.iter().find(|nested| nested.name() == entry_name)?;
    entry.options.as_ref()?.map_entry().then(|| entry.field.get(1)).flatten()
}

/// `.tetragon.Outer.Inner` as `tetragon::outer::Inner`.
fn rust_path(type_name: &str) -> String {
    let mut parts: Vec<String> =
        type_name.trim_start_matches('.').split('.').map(ToOwned::to_owned).collect();
    let last = parts.pop().unwrap_or_default();
    parts.iter().map(|part| part.to_snake_case() + "::").collect::<String>() + &last.to_upper_camel_case()
}

/// The name of the Rust field; prost escapes keywords the same way.
fn identifier(proto_name: &str) -> String {
    match proto_name.to_snake_case().as_str() {
        keyword @ ("return" | "type" | "match" | "override") => format!("r#{keyword}"),
        other => other.to_owned(),
    }
}
