//! XML as Ceph's formatter writes it: an element for each field and item, no attributes.

use super::Value;

/// An element with its content. With `is_pretty` each element is on a line of its own, one space deeper than its parent, and
/// an empty line follows the last.
pub(super) fn element(name: &str, value: &Value, is_pretty: bool) -> String {
    let mut text = String::new();
    write(&mut text, name, value, is_pretty.then_some(0));
    text
}

/// `depth` is `None` where everything is on one line.
fn write(text: &mut String, name: &str, value: &Value, depth: Option<usize>) {
    indent(text, depth);
    text.push_str(&format!("<{name}>"));
    let inside = match value {
        Value::Object(object) => Some(object.fields()),
        Value::List(items) => Some(items.as_slice()),
        Value::Text(content) => {
            text.push_str(&escaped(content));
            None
        }
        Value::Number(number) => {
            text.push_str(&number.to_string());
            None
        }
        Value::Truth(truth) => {
            text.push_str(&truth.to_string());
            None
        }
    };
    if let Some(inside) = inside {
        end_line(text, depth);
        for (name, value) in inside {
            write(text, name, value, depth.map(|depth| depth + 1));
        }
        indent(text, depth);
    }
    text.push_str(&format!("</{name}>"));
    end_line(text, depth);
}

fn indent(text: &mut String, depth: Option<usize>) {
    text.extend(std::iter::repeat_n(' ', depth.unwrap_or(0)));
}

fn end_line(text: &mut String, depth: Option<usize>) {
    if depth.is_some() {
        text.push('\n');
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_ascii_control() => escaped.push_str(&format!("&#x{:02x};", control as u32)),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::{Object, list};
    use super::*;

    fn value() -> Value {
        let features = list("feature", ["layering"]);
        let none = list("flag", [""; 0]);
        Object::default().with("name", "a<b\n").with("features", features).with("flags", none).into()
    }

    #[test]
    fn everything_is_on_one_line_and_marks_are_escaped() {
        let expected = "<image><name>a&lt;b&#x0a;</name><features><feature>layering</feature></features>\
                        <flags></flags></image>";
        assert_eq!(element("image", &value(), false), expected);
    }

    #[test]
    fn pretty_elements_are_indented_by_one_space() {
        let expected = "<image>\n <name>a&lt;b&#x0a;</name>\n <features>\n  <feature>layering</feature>\n \
                        </features>\n <flags>\n </flags>\n</image>\n";
        assert_eq!(element("image", &value(), true), expected);
    }
}
