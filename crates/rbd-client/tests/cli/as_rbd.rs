//! The same commands as in recordings of a real cluster: the same output, the same exit status.

use crate::harness::Lab;

const PLAIN: &str = include_str!("../rbd-16.2.15/plain.txt");

/// Reports of what `PLAIN` makes, with the options that were given to each of them.
const REPORTS: [(&str, &[&str]); 4] = [
    (include_str!("../rbd-16.2.15/json.txt"), &["--format", "json"]),
    (include_str!("../rbd-16.2.15/xml.txt"), &["--format", "xml"]),
    (include_str!("../rbd-16.2.15/pretty.json.txt"), &["--format", "json", "--pretty-format"]),
    (include_str!("../rbd-16.2.15/pretty.xml.txt"), &["--format", "xml", "--pretty-format"]),
];

/// Printed on top of what `rbd` prints: who owns the lock.
const ON_TOP: [&str; 5] = [
    "Lock owner: none\n",
    r#","lockers":[]"#,
    ",\n    \"lockers\": []",
    "<lockers></lockers>",
    " <lockers>\n </lockers>\n",
];

/// Of the recordings, and of the OSD.
const YEAR: &str = " 2026";

/// One command of a recording.
struct Step {
    command: Vec<&'static str>,
    out: String,
    status: i32,
}

fn steps(recording: &'static str) -> Vec<Step> {
    let blocks = recording.split("$ rbd ").filter(|block| !block.is_empty());
    let step = |block: &'static str| {
        let (command, told) = block.split_once('\n').expect("a command is a line");
        let (out, status) = told.trim_end().rsplit_once('[').expect("a status is in brackets");
        let status = status.trim_end_matches(']').parse().expect("a status is a number");
        Step { command: command.split(' ').collect(), out: out.to_owned(), status }
    };
    blocks.map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_exit_statuses_are_those_of_rbd() {
    // A moment of that year: an OSD in a test starts with Unix time.
    let lab = Lab::with(osd_sim::Config { started_unix_ms: 1_795_810_799_000, ..osd_sim::Config::ci() });
    let mut different = Vec::new();
    for (recording, options) in [(PLAIN, &[][..])].into_iter().chain(REPORTS) {
        for Step { command, out, status } in steps(recording) {
            let ended = lab.run([&command, options].concat()).await;
            let ours = String::from_utf8(ended.out).expect("reports are UTF-8");
            let (ours, theirs) = (comparable(&ours), comparable(&out));
            if ended.status != status || ours != theirs {
                let [ours_status, command] = [ended.status.to_string(), command.join(" ")];
                different.push(format!(
                    "{command} {options:?}: [{ours_status}] for [{status}]\n{ours}---\n{theirs}"
                ));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Without what differs between two clusters, and without the width of columns.
fn comparable(text: &str) -> String {
    let text = ON_TOP.iter().fold(text.to_owned(), |text, on_top| text.replace(on_top, ""));
    let lines = text.lines().map(|line| {
        let (indent, words) = line.split_at(line.len() - line.trim_start_matches([' ', '\t']).len());
        let is_row = words.starts_with(|first: char| first.is_ascii_digit());
        let words: Vec<&str> = words.split_whitespace().collect();
        let indent = if is_row { "" } else { indent };
        without_variables(&format!("{indent}{}", words.join(" ")), is_row)
    });
    lines.map(|line| line + "\n").collect()
}

fn without_variables(line: &str, is_row_of_snapshots: bool) -> String {
    let mut rest = line;
    let mut shown = String::new();
    if is_row_of_snapshots {
        shown.push('N');
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    while let Some(first) = rest.chars().next() {
        let (word, length) = variable(rest).unwrap_or((&rest[..first.len_utf8()], first.len_utf8()));
        shown.push_str(word);
        rest = &rest[length..];
    }
    shown
}

/// What a text begins with that is another one in every cluster: what is put for it, and its length.
fn variable(text: &str) -> Option<(&'static str, usize)> {
    let run = |prefix: &str, is_inside: fn(char) -> bool| {
        let rest = text.strip_prefix(prefix)?;
        let length = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        (length > 0).then_some(prefix.len() + length)
    };
    let is_digit: fn(char) -> bool = |c| c.is_ascii_digit();
    let is_hex: fn(char) -> bool = |c| c.is_ascii_hexdigit();
    let is_address: fn(char) -> bool = |c| c.is_ascii_digit() || "/.:".contains(c);
    if let Some(length) = run("client.", is_digit) {
        return Some(("client.GID", length));
    }
    if let Some(length) = run("127.0.0.1:", is_address) {
        return Some(("ADDRESS", length));
    }
    for prefix in ["rbd_data.", "id: ", "\"id\":\"", "\"id\": \"", "<id>"] {
        if let Some(length) = run(prefix, is_hex).filter(|length| length - prefix.len() >= 10) {
            return Some(("ID", length));
        }
    }
    for prefix in ["\"id\":", "\"id\": ", "<id>", "_id\":", "_id\": ", "_id>"] {
        if let Some(length) = run(prefix, is_digit) {
            return Some(("N", length));
        }
    }
    let is_day =
        ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "].iter().any(|day| text.starts_with(day));
    // The day of the month may have lost one of its two spaces.
    is_day.then(|| text.find(YEAR).map(|year| ("TIME", year + YEAR.len()))).flatten()
}
