use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::PrettyFormatter;

use crate::failure::Failure;

/// A value of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Truth(bool),
    Object(Object),
    /// Each item with the name of its XML element; JSON has none.
    List(Vec<(&'static str, Value)>),
}

/// Fields in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object(Vec<(&'static str, Value)>);

/// A list whose items have the same XML element.
pub(crate) fn list<V: Into<Value>>(element: &'static str, items: impl IntoIterator<Item = V>) -> Value {
    Value::List(items.into_iter().map(|item| (element, item.into())).collect())
}

impl Object {
    /// With one more field.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    /// With one more field where there is a value.
    pub(crate) fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(super) fn fields(&self) -> &[(&'static str, Value)] {
        &self.0
    }
}

impl Value {
    /// One line, or with an indentation of four spaces as `rbd` has it.
    pub(crate) fn to_json(&self, is_pretty: bool) -> Result<String, Failure> {
        let mut text = Vec::new();
        let written = match is_pretty {
            false => self.serialize(&mut serde_json::Serializer::new(&mut text)),
            true => {
                let indented = PrettyFormatter::with_indent(b"    ");
                self.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indented))
            }
        };
        written.map_err(|error| Failure::io("standard output", &error.into()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::List(items) => serializer.collect_seq(items.iter().map(|(_, item)| item)),
            Self::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.0.len()))?;
                for (key, value) in &object.0 {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}
