//! What a history must look like.

use check::{History, HistoryError, HistoryWriter, Operation, Outcome, Record, What};
use errno::Errno;

const HEAD: &str = r#"{"history":1,"block_bytes":512}"#;

fn read(lines: &[&str]) -> Result<History, HistoryError> {
    let text: Vec<_> = [HEAD].iter().chain(lines).copied().collect();
    History::read(text.join("\n").as_bytes())
}

/// The last line is refused, and the rule has these words.
fn refused(lines: &[&str], words: &str) {
    let error = read(lines).expect_err(words);
    assert_eq!(error.line, lines.len() as u64 + 1, "{error}");
    assert!(error.rule.contains(words), "{error}");
    assert_eq!(error.input, lines[lines.len() - 1]);
}

fn invoke(id: u64, op: &str, args: &str) -> String {
    format!(r#"{{"id":{id},"client":"a","time_ms":1,"kind":"invoke","op":"{op}","image":"i","args":{args}}}"#)
}

fn complete(id: u64, rest: &str) -> String {
    format!(r#"{{"id":{id},"client":"a","time_ms":1,"kind":"complete",{rest}}}"#)
}

fn refused_call(op: &str, args: &str, words: &str) {
    refused(&[&invoke(1, op, args)], words);
}

#[test]
fn the_example_of_the_readme_can_be_read() {
    let example =
        include_str!("../README.md").split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let history = History::read(example.as_bytes()).unwrap();
    assert_eq!(history.calls.len(), 3);
    assert_eq!(history.calls[2].tags(), Some(&[Some(77), Some(0)][..]));
    assert_eq!(history.calls[1].completed.as_ref().unwrap().1, Outcome::Error { errno: Errno::EROFS });
    assert_eq!(history.calls[1].invoked.osd_sequence, Some(118));
}

#[test]
fn what_is_written_is_read_back() {
    let operations = [
        Operation::Create { size: 1_024 },
        Operation::Write { offset: 0, length: 512, tag: u64::MAX - 1 },
        Operation::Discard { offset: 512, length: 512 },
        Operation::SnapCreate { snap: "s".into() },
        Operation::Read { offset: 0, length: 512, snap: Some("s".into()) },
        Operation::Read { offset: 0, length: 512, snap: None },
        Operation::SnapProtect { snap: "s".into() },
        Operation::SnapUnprotect { snap: "s".into() },
        Operation::SnapRollback { snap: "s".into() },
        Operation::SnapRename { snap: "s".into(), to: "t".into() },
        Operation::SnapRemove { snap: "t".into() },
        Operation::SnapPurge,
        Operation::Resize { size: 0 },
        Operation::Flatten,
        Operation::Flush,
        Operation::Acquire,
        Operation::Release,
        Operation::Reopen,
        Operation::Rename { to: "j".into() },
        Operation::Remove,
    ];
    let mut records = Vec::new();
    for (id, operation) in (1..).zip(operations) {
        let outcome = match (&operation, id % 3) {
            (Operation::Read { .. }, _) => Outcome::Ok { tags: vec![None] },
            (_, 0) => Outcome::Ok { tags: Vec::new() },
            (_, 1) => Outcome::Error { errno: Errno::EBLOCKLISTED },
            _ => Outcome::Unknown,
        };
        let invoke = What::Invoke { image: "i".into(), operation, deadline_ms: (id == 3).then_some(250) };
        for what in [invoke, What::Complete(outcome)] {
            let osd_sequence = (id == 2).then_some(9);
            records.push(Record { id, client: "a".into(), time_ms: id, osd_sequence, what });
        }
    }
    let mut writer = HistoryWriter::new(Vec::new(), 512).unwrap();
    records.iter().for_each(|record| writer.write(record).unwrap());
    let bytes = writer.finish().unwrap();
    let expected = History::from_records(512, records).unwrap();
    assert_eq!(History::read(&bytes[..]).unwrap(), expected);
}

#[test]
fn a_history_begins_with_its_head() {
    for text in ["", "{}", r#"{"history":2,"block_bytes":512}"#, r#"{"history":1,"block_bytes":0}"#] {
        assert_eq!(History::read(text.as_bytes()).unwrap_err().line, 1, "{text}");
    }
}

#[test]
fn lines_that_are_no_records_are_refused() {
    refused(&["nonsense"], "expected");
    refused(&[&complete(1, r#""outcome":"ok","what":1"#)], "unknown field");
    refused_call("fly", "{}", "unknown variant");
    refused_call("write", r#"{"offset":0,"length":512}"#, "missing field `tag`");
    refused_call("write", r#"{"offset":0,"length":512,"tag":1,"snap":"s"}"#, "unknown field");
    refused_call("flatten", r#"{"size":1}"#, "invalid type");
}

#[test]
fn fields_of_the_other_kind_are_refused() {
    let line =
        r#"{"id":1,"client":"a","time_ms":1,"kind":"invoke","op":"flatten","image":"i","outcome":"ok"}"#;
    refused(&[line], "belong to a completion");
    let line = r#"{"id":1,"client":"a","time_ms":1,"kind":"invoke","op":"flatten"}"#;
    refused(&[line], "names its image");
    let line = r#"{"id":1,"client":"a","time_ms":1,"kind":"invoke","image":"i"}"#;
    refused(&[line], "names its op");
    refused(&[&complete(1, r#""outcome":"ok","image":"i""#)], "belong to an invocation");
    refused(&[&complete(1, r#""tags":[1]"#)], "has an outcome");
}

#[test]
fn an_outcome_has_what_belongs_to_it() {
    refused(&[&complete(1, r#""outcome":"error""#)], "names its errno");
    refused(&[&complete(1, r#""outcome":"error","errno":"EWHAT""#)], "no errno's name");
    refused(&[&complete(1, r#""outcome":"ok","errno":"EIO""#)], "belongs to outcome error");
    refused(&[&complete(1, r#""outcome":"unknown","tags":[1]"#)], "belong to outcome ok");
}

#[test]
fn calls_begin_and_end_once_and_by_one_client() {
    let begin = invoke(1, "flatten", "null");
    let end = complete(1, r#""outcome":"ok""#);
    refused(&[&end], "was not invoked");
    refused(&[&begin, &begin], "invoked before");
    refused(&[&begin, &end, &end], "ended before");
    refused(&[&begin, &end.replace(r#""client":"a""#, r#""client":"b""#)], "belongs to client a");
}

#[test]
fn time_does_not_run_backwards() {
    let begin = invoke(1, "flatten", "null");
    refused(&[&begin, &complete(1, r#""outcome":"ok""#).replace(":1,\"kind", ":0,\"kind")], "backwards");
}

#[test]
fn ranges_and_sizes_are_whole_blocks() {
    refused_call("discard", r#"{"offset":1,"length":512}"#, "whole blocks");
    refused_call("discard", r#"{"offset":0,"length":100}"#, "whole blocks");
    refused_call("discard", r#"{"offset":0,"length":0}"#, "whole blocks");
    refused_call("discard", r#"{"offset":18446744073709551104,"length":512}"#, "below 2^64");
    refused_call("resize", r#"{"size":100}"#, "whole blocks");
}

#[test]
fn tags_name_their_write() {
    refused_call("write", r#"{"offset":0,"length":512,"tag":0}"#, "tag 0");
    refused_call(
        "write",
        r#"{"offset":0,"length":512,"tag":18446744073709551615}"#,
        "tag 18446744073709551615",
    );
    let write = |id| invoke(id, "write", r#"{"offset":0,"length":512,"tag":7}"#);
    refused(&[&write(1), &write(2)], "tag 7 belongs");
    let read = invoke(1, "read", r#"{"offset":0,"length":512}"#);
    refused(&[&read, &complete(1, r#""outcome":"ok","tags":[1,2]"#)], "no more tags");
    let flatten = invoke(1, "flatten", "null");
    refused(&[&flatten, &complete(1, r#""outcome":"ok","tags":[1]"#)], "only a read");
}

/// Under whichever name it was called.
#[test]
fn a_call_is_about_an_image_by_its_first_name() {
    let create = invoke(1, "create", r#"{"size":512}"#);
    let renamed = |id, op: &str, args: &str| invoke(id, op, args).replace(r#""image":"i""#, r#""image":"j""#);
    let lines = [&create, &invoke(2, "rename", r#"{"to":"j"}"#), &renamed(3, "flatten", "null")];
    let history = read(&lines.map(String::as_str)).unwrap();
    assert_eq!(history.calls[2].image, "i");
    assert_eq!((history.first_name("j"), history.first_name("k")), ("i", "k"));
}

#[test]
fn a_snapshot_is_called_by_its_first_name_and_its_names_are_used_once() {
    let of = |id, op: &str, snap: &str| invoke(id, op, &format!(r#"{{"snap":"{snap}"}}"#));
    let rename =
        |id, snap: &str, to: &str| invoke(id, "snap_rename", &format!(r#"{{"snap":"{snap}","to":"{to}"}}"#));
    let made = of(1, "snap_create", "s");
    let history = read(&[&made, &rename(2, "s", "t"), &of(3, "snap_remove", "t")]).unwrap();
    assert_eq!(history.calls[2].operation, Operation::SnapRemove { snap: "s".into() });
    refused(&[&made, &rename(2, "s", "t"), &of(3, "snap_create", "t")], "not used again");
    refused(&[&made, &rename(2, "s", "t"), &of(3, "snap_create", "s")], "not used again");
    refused(&[&made, &of(2, "snap_create", "t"), &rename(3, "s", "t")], "no other snapshot");
    refused(&[&made, &invoke(2, "snap_purge", "null"), &of(3, "snap_create", "s")], "not used again");
}

#[test]
fn names_are_used_once() {
    let snap = |id, op| invoke(id, op, r#"{"snap":"s"}"#);
    refused(&[&snap(1, "snap_remove"), &snap(2, "snap_create")], "not used again");
    let create = |id, size| invoke(id, "create", &format!(r#"{{"size":{size}}}"#));
    assert!(read(&[&create(1, 512), &create(2, 512)]).is_ok(), "two may try to make it");
    refused(&[&create(1, 512), &create(2, 1024)], "asks for the same");
    let create = |id| create(id, 512);
    refused(&[&create(1), &invoke(2, "remove", "null"), &create(3)], "is not used again");
    let rename = |id, to| invoke(id, "rename", &format!(r#"{{"to":"{to}"}}"#));
    refused(&[&create(1), &rename(2, "j"), &create(3)], "is not used again");
    refused(
        &[&create(1), &create(2).replace(r#""image":"i""#, r#""image":"j""#), &rename(3, "j")],
        "no other image",
    );
    refused_call("clone", r#"{"parent":"i","snap":"s"}"#, "before it is cloned");
    let clone = invoke(1, "clone", r#"{"parent":"p","snap":"s"}"#);
    refused(&[&clone, &create(2).replace(r#""image":"i""#, r#""image":"p""#)], "before it is cloned");
}
