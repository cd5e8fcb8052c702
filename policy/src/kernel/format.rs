//! Formats of tracepoints.

use std::io;
use std::path::PathBuf;

/// The fields of a tracepoint's record, common ones first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// In the order of the format; a policy's index counts them from 0.
    pub fields: Vec<Field>,
}

/// A field of a tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type, such as `pid_t` or `char *`; of an array that of an element.
    pub ty: String,
    /// How many elements, if it is an array; 0 if the format does not tell.
    pub length: Option<u32>,
    /// Bytes from the beginning of the record.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Whether it has a sign.
    pub signed: bool,
}

/// Why there is no format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// There is no such tracepoint.
    #[error("there is no such tracepoint")]
    NotFound,
    /// It cannot be read.
    #[error("cannot read {file}: {error}")]
    Unreadable {
        /// Its file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not as expected.
    #[error("cannot understand its field {0:?}")]
    Malformed(String),
}

impl Format {
    /// Reads a `format` file.
    ///
    /// # Errors
    ///
    /// If a field is not as expected.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("field:"));
        let field = |line: &str| Field::parse(line).ok_or_else(|| FormatError::Malformed(line.to_owned()));
        Ok(Self { fields: lines.map(field).collect::<Result<_, _>>()? })
    }
}

impl Field {
    /// Reads `TYPE NAME[LENGTH]; offset:N; size:N; signed:N;`.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let declaration = parts.next()?;
        let mut numbers = [None; 3];
        for part in parts.filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once(':')?;
            let at = ["offset", "size", "signed"].iter().position(|it| *it == key)?;
            *numbers.get_mut(at)? = Some(value.trim().parse::<u32>().ok()?);
        }
        let [Some(offset), Some(size), signed] = numbers else { return None };
        let (ty, name) = declaration.rsplit_once([' ', '*'])?;
        // The star belongs to the type.
        let ty = if declaration[..declaration.len() - name.len()].ends_with('*') {
            format!("{ty}*")
        } else {
            ty.to_owned()
        };
        let (name, length) = match name.split_once('[') {
            Some((name, length)) => (name, Some(length.trim_end_matches(']').parse().unwrap_or(0))),
            None => (name, None),
        };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let ty = ty.trim().to_owned();
        is_name.then(|| Self { name: name.to_owned(), ty, length, offset, size, signed: signed == Some(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_form() {
        let text = "name: x\nID: 1\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:const char * filename;\toffset:8;\tsize:8;\tsigned:0;\n\
            \tfield:char comm[16];\toffset:16;\tsize:16;\tsigned:0;\n\
            \tfield:__data_loc char[] path;\toffset:32;\tsize:4;\tsigned:0;\n\
            \tfield:struct sock *sk;\toffset:40;\tsize:8;\tsigned:0;\n\
            \tfield:unsigned long args[6];\toffset:48;\tsize:48;\tsigned:0;\n\
            \tfield:u8 mac[ETH_ALEN];\toffset:96;\tsize:6;\tsigned:0;\n\
            \nprint fmt: \"%s\", REC->comm\n";
        let fields: Vec<(String, String, Option<u32>)> = Format::parse(text)
            .expect("a format")
            .fields
            .into_iter()
            .map(|field| (field.ty, field.name, field.length))
            .collect();
        let field = |ty: &str, name: &str, length| (ty.to_owned(), name.to_owned(), length);
        assert_eq!(
            fields,
            [
                field("unsigned short", "common_type", None),
                field("const char *", "filename", None),
                field("char", "comm", Some(16)),
                field("__data_loc char[]", "path", None),
                field("struct sock *", "sk", None),
                field("unsigned long", "args", Some(6)),
                field("u8", "mac", Some(0)),
            ]
        );
    }

    #[test]
    fn what_is_no_field_is_an_error() {
        for line in
            ["field:int;\toffset:0;", "field:int x;\toffset:a;\tsize:4;", "field:int x;\tsize:4;", "field:"]
        {
            assert!(matches!(Format::parse(line), Err(FormatError::Malformed(_))), "{line}");
        }
        assert_eq!(Format::parse("").expect("empty").fields, []);
    }
}
