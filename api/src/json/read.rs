//! Reads the protobuf JSON mapping: proto or lowerCamelCase names, enum names or numbers, numbers or strings.

use prost::{Message, Name};
use prost_reflect::{DeserializeOptions, DynamicMessage};

/// Why a text is not the JSON form of a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not this message.
    #[error("not a valid {message}: {source}")]
    Invalid {
        /// Full name of the message that was expected.
        message: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The type has no descriptor: it is not one of this crate's messages.
    #[error("{0} is not a message of this API")]
    UnknownMessage(String),
    /// Descriptor and Rust type disagree.
    #[error("cannot convert: {0}")]
    Convert(#[from] prost::DecodeError),
}

/// Reads one message; fields that it does not have are an error.
pub fn from_str<T: Message + Name + Default>(text: &str) -> Result<T, Error> {
    read(text, true)
}

/// Reads one message and skips what it does not know, such as the fields of a newer agent.
pub fn from_str_lenient<T: Message + Name + Default>(text: &str) -> Result<T, Error> {
    read(text, false)
}

fn read<T: Message + Name + Default>(text: &str, strict: bool) -> Result<T, Error> {
    let name = T::full_name();
    let Some(descriptor) = crate::descriptor_pool().get_message_by_name(&name) else {
        return Err(Error::UnknownMessage(name));
    };
    let options = DeserializeOptions::new().deny_unknown_fields(strict);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    DynamicMessage::deserialize_with_options(descriptor, &mut deserializer, &options)
        .and_then(|message| deserializer.end().map(|()| message))
        .map_err(|source| Error::Invalid { message: name, source })
        .and_then(|message| Ok(message.transcode_to()?))
}
