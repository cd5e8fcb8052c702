//! Random messages of any type, by descriptor.

use proptest::prelude::*;
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// Any message of type `T`, to a depth that keeps it readable.
pub(crate) fn message<T: Message + Name + Default + std::fmt::Debug>() -> impl Strategy<Value = T> {
    let descriptor = tetragon_api::descriptor_pool().get_message_by_name(&T::full_name()).unwrap();
    dynamic(descriptor).prop_map(|message| message.transcode_to().unwrap())
}

/// Any message of the type described.
pub(crate) fn dynamic(descriptor: MessageDescriptor) -> impl Strategy<Value = DynamicMessage> {
    proptest::collection::vec(any::<u8>(), 0..600)
        .prop_map(move |bytes| fill(&descriptor, &mut Source { bytes: &bytes, at: 0 }, 0))
}

struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Source<'_> {
    /// Zero once everything is used up, which ends the message quickly.
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => 0,
            1 => self.byte().into(),
            2 => u64::MAX,
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 8] = ["a", " ", "\"", "\\", "\n", "é", "\u{1}", "/usr/bin/x"];
        (0..self.byte() % 5).map(|_| PIECES[usize::from(self.byte() % 8)]).collect()
    }
}

fn fill(descriptor: &MessageDescriptor, source: &mut Source<'_>, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            set(&mut message, 1, Value::I64((source.number() % 253_402_300_800) as i64));
            set(&mut message, 2, Value::I32((source.number() % 1_000_000_000) as i32));
            return message;
        }
        "google.protobuf.Duration" => {
            set(&mut message, 1, Value::I64((source.number() % 315_576_000_000) as i64));
            set(&mut message, 2, Value::I32((source.number() % 1_000_000_000) as i32));
            return message;
        }
        "google.protobuf.FieldMask" => {
            let path = Value::String("process.exec_id".to_owned());
            set(&mut message, 1, Value::List(vec![path; usize::from(source.byte() % 3)]));
            return message;
        }
        "google.protobuf.Any" => {
            set(&mut message, 1, Value::String("type.googleapis.com/google.protobuf.BoolValue".to_owned()));
            return message;
        }
        _ => {}
    }
    for field in descriptor.fields() {
        if source.byte().is_multiple_of(3) || (depth > 4 && matches!(field.kind(), Kind::Message(_))) {
            continue;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!("map entries are messages") };
            let value = entry.map_entry_value_field();
            let entries = (0..source.byte() % 3)
                .map(|_| (MapKey::String(source.text()), single(&value, source, depth)))
                .collect();
            Value::Map(entries)
        } else if field.is_list() {
            Value::List((0..source.byte() % 3).map(|_| single(&field, source, depth)).collect())
        } else {
            single(&field, source, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn single(field: &FieldDescriptor, source: &mut Source<'_>, depth: usize) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(source.byte() % 2 == 1),
        Kind::String => Value::String(source.text()),
        Kind::Bytes => Value::Bytes(source.text().into()),
        Kind::Int32 => Value::I32(source.number() as i32),
        Kind::Uint32 => Value::U32(source.number() as u32),
        Kind::Int64 => Value::I64(source.number() as i64),
        Kind::Uint64 => Value::U64(source.number()),
        // Some of these have no name.
        Kind::Enum(_) => Value::EnumNumber((source.byte() % 48).into()),
        Kind::Message(message) => Value::Message(fill(&message, source, depth + 1)),
        other => unreachable!("{other:?} is not in the contract"),
    }
}

fn set(message: &mut DynamicMessage, number: u32, value: Value) {
    message.set_field_by_number(number, value);
}
