use errno::Errno;
use serde_json::{Map, Value};

use crate::cluster::Refusal;

/// How output is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Json,
    JsonPretty,
}

/// A command with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) prefix: String,
    pub(crate) format: Format,
    arguments: Map<String, Value>,
}

impl Request {
    /// The texts of the refusals are a real monitor's.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = String::from_utf8_lossy(bytes);
        let refuse = |text: String| Refusal::new(Errno::EINVAL, text);
        let value = serde_json::from_slice::<Value>(bytes);
        let arguments = match value {
            Ok(Value::Object(arguments)) => arguments,
            Ok(_) => return Err(refuse(format!("not JSON object {text}"))),
            Err(_) => return Err(refuse(format!("unparseable JSON {text}"))),
        };
        let Some(prefix) = arguments.get("prefix").and_then(Value::as_str).map(str::to_owned) else {
            return Err(refuse("command prefix not found".to_owned()));
        };
        let format = match arguments.get("format").and_then(Value::as_str) {
            Some("json") => Format::Json,
            Some("json-pretty") => Format::JsonPretty,
            _ => Format::Plain,
        };
        Ok(Self { prefix, format, arguments })
    }

    /// Its words, as people type them and as later releases spell them.
    pub(crate) fn words(&self) -> String {
        let of_fence = self.text("blocklistop").or_else(|| self.text("blacklistop"));
        let words = of_fence.map_or_else(|| self.prefix.clone(), |op| format!("{} {op}", self.prefix));
        words.replace("blacklist", "blocklist")
    }

    /// A text that may be missing. Numbers are taken as their text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.arguments.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(texts) => texts.first().and_then(Value::as_str).map(str::to_owned),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// Texts, one or many.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.arguments.get(name) {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }

    /// A text that must be there and not empty: EINVAL.
    pub(crate) fn needed(&self, name: &str) -> Result<String, Refusal> {
        let refusal = || Refusal::new(Errno::EINVAL, "(22) Invalid argument");
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(refusal)
    }

    /// A number, or its text.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let refusal = |_| Refusal::new(Errno::EINVAL, format!("bad or missing field '{name}'"));
        text.parse::<f64>().map(Some).map_err(refusal)
    }

    /// A promise like --yes-i-really-mean-it, in any of the forms of releases.
    pub(crate) fn is_promised(&self, name: &str) -> bool {
        let dashed = format!("--{}", name.replace('_', "-"));
        self.arguments.iter().any(|(key, value)| match value {
            Value::Bool(promised) => key == name && *promised,
            Value::String(text) => *text == dashed || (key == name && text == "true"),
            _ => false,
        })
    }
}
