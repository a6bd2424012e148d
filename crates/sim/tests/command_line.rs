//! What cannot be played is refused by name, and nothing is played.

use std::process::Command;

#[test]
fn a_wrong_command_line_names_the_input_and_the_rule() {
    let directory = std::env::temp_dir().join(format!("sim-command-line-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the directory is made");
    let file = |name: &str, text: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("the file is written");
        path.to_str().expect("it is UTF-8").to_owned()
    };
    let plan = toml::to_string(&sim::Plan::draw(1)).expect("a plan is written");
    let cases = [
        (vec!["--seed".to_owned(), "abc".to_owned()], 2, "'abc'"),
        (vec!["--count".to_owned(), "0".to_owned()], 2, "'0'"),
        (vec!["--seed".to_owned(), u64::MAX.to_string()], 1, "seeds go up to"),
        (
            vec!["--seed".to_owned(), (u64::MAX - 1).to_string(), "--count".to_owned(), "2".to_owned()],
            1,
            "--count 2",
        ),
        (vec!["--replay".to_owned(), directory.join("missing").display().to_string()], 1, "No such file"),
        (vec!["--replay".to_owned(), file("garbage", b"garbage [[")], 1, "garbage is no plan"),
        (vec!["--replay".to_owned(), file("empty", b"")], 1, "missing field"),
        (vec!["--replay".to_owned(), file("binary", b"\xff\xfe")], 1, "UTF-8"),
        (vec!["--replay".to_owned(), file("typo", format!("shedule = 1\n{plan}").as_bytes())], 1, "shedule"),
    ];
    for (arguments, status, told) in cases {
        let ended = Command::new(env!("CARGO_BIN_EXE_sim")).args(&arguments).output().expect("it starts");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {err}");
        assert!(err.contains(told), "{arguments:?}: {err}");
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
    std::fs::remove_dir_all(&directory).expect("it was made here");
}
