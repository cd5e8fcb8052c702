//! Filters as configuration text: JSON objects one after the other, separated by any white space.

use prost::{Message, Name};
use prost_types::FieldMask;
use serde_json::Value;
use serde_json::value::RawValue;
use tetragon_api::json;
use tetragon_api::tetragon::{FieldFilter, Filter, RedactionFilter};

/// A text that is not a list of filters.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON.
    #[error("object {index} is not JSON: {source}")]
    Syntax {
        /// Which object, from 1.
        index: usize,
        /// What is wrong; lines are those of the whole text.
        source: serde_json::Error,
    },
    /// JSON, but not such a filter.
    #[error("object {index} is not usable: {source}")]
    Object {
        /// Which object, from 1.
        index: usize,
        /// What is wrong; lines are those of the object.
        source: json::Error,
    },
}

/// Reads an allow or deny list.
pub fn parse_filters(text: &str) -> Result<Vec<Filter>, ConfigError> {
    parse(text, json::from_str)
}

/// Reads redaction filters.
pub fn parse_redaction_filters(text: &str) -> Result<Vec<RedactionFilter>, ConfigError> {
    parse(text, json::from_str)
}

/// Reads field filters. Paths may be in snake case, which the JSON form of a field mask does not allow.
pub fn parse_field_filters(text: &str) -> Result<Vec<FieldFilter>, ConfigError> {
    parse(text, |object| {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(object) else {
            return json::from_str(object);
        };
        let Some(Value::String(paths)) = fields.get("fields") else { return json::from_str(object) };
        let paths =
            paths.split(',').map(str::trim).filter(|path| !path.is_empty()).map(ToOwned::to_owned).collect();
        fields.remove("fields");
        let mut filter: FieldFilter = json::from_str(&Value::Object(fields).to_string())?;
        filter.fields = Some(FieldMask { paths });
        Ok(filter)
    })
}

fn parse<T: Message + Name + Default>(
    text: &str,
    read: impl Fn(&str) -> Result<T, json::Error>,
) -> Result<Vec<T>, ConfigError> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<&RawValue>()
        .enumerate()
        .map(|(position, object)| {
            let index = position + 1;
            let object = object.map_err(|source| ConfigError::Syntax { index, source })?;
            read(object.get()).map_err(|source| ConfigError::Object { index, source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::FieldFilterAction;

    use super::*;

    #[test]
    fn any_white_space_separates_objects() {
        assert_eq!(parse_filters("").unwrap(), []);
        assert_eq!(parse_filters(" \n").unwrap(), []);
        let expected = [
            Filter { pid: vec![1], ..Default::default() },
            Filter { health_check: Some(true), ..Default::default() },
        ];
        for text in ["{\"pid\":[1]}\n{\"health_check\":true}\n", "{\"pid\":[1]}{\"healthCheck\":true}"] {
            assert_eq!(parse_filters(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_object() {
        for (text, expected) in [
            ("{} {\"nope\":1}", "object 2 is not usable: not a valid tetragon.Filter: "),
            ("{}\n{\"pid\":[}", "object 2 is not JSON: "),
            ("[{}]", "object 1 is not usable: not a valid tetragon.Filter: "),
            ("{\"pid\":[-1]}", "object 1 is not usable: not a valid tetragon.Filter: "),
            ("{\"event_set\":[\"NOPE\"]}", "object 1 is not usable: not a valid tetragon.Filter: "),
            ("null", "object 1 is not usable: not a valid tetragon.Filter: "),
        ] {
            let error = parse_filters(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(parse_filters("{\"nope\":1}").unwrap_err().to_string().contains("nope"));
    }

    #[test]
    fn paths_of_field_filters_are_in_either_case() {
        let text =
            r#"{"fields":"process.exec_id, parent.execId,","action":"EXCLUDE","eventSet":["PROCESS_EXEC"]}"#;
        let paths = vec!["process.exec_id".to_owned(), "parent.execId".to_owned()];
        let expected = FieldFilter {
            event_set: vec![1],
            fields: Some(FieldMask { paths }),
            action: FieldFilterAction::Exclude as i32,
            invert_event_set: None,
        };
        assert_eq!(parse_field_filters(text).unwrap(), [expected]);
        assert!(parse_field_filters(r#"{"fields":"pid","nope":1}"#).is_err());
        assert!(parse_field_filters(r#"{"fields":["pid"]}"#).is_err());
        assert_eq!(parse_field_filters("{}").unwrap(), [FieldFilter::default()]);
    }

    #[test]
    fn the_old_field_of_redaction_filters_is_read() {
        let text = r#"{"match":[{"pid":[1]}],"redact":["--token=(\\S+)"],"binary_regex":["curl"]}"#;
        let filters = parse_redaction_filters(text).unwrap();
        assert_eq!(filters[0].redact, [r"--token=(\S+)"]);
    }
}
