//! Commands and their answers; the texts are those of a real monitor (16.2.15).

mod fake;

use fake::Lab;
use serde_json::Value;

/// Commands in order, with result and status.
const SCRIPT: &[(&str, i32, &str)] = &[
    (r#"{"prefix":"osd pool create","pool":"a"}"#, 0, "pool 'a' created"),
    (r#"{"prefix":"osd pool create","pool":"a"}"#, 0, "pool 'a' already exists"),
    (r#"{"prefix":"osd pool create","pool":""}"#, -22, "(22) Invalid argument"),
    (r#"{"prefix":"osd pool create"}"#, -22, "(22) Invalid argument"),
    (
        r#"{"prefix":"osd pool application enable","pool":"a","app":"rbd"}"#,
        0,
        "enabled application 'rbd' on pool 'a'",
    ),
    (
        r#"{"prefix":"osd pool application enable","pool":"a","app":"foo"}"#,
        -1,
        "Are you SURE? Pool 'a' already has an enabled application; pass --yes-i-really-mean-it to proceed anyway",
    ),
    (r#"{"prefix":"osd pool application enable","pool":"none","app":"rbd"}"#, -2, "unrecognized pool 'none'"),
    (
        r#"{"prefix":"osd pool application set","pool":"a","app":"rbd","key":"k","value":"v"}"#,
        0,
        "set application 'rbd' key 'k' to 'v' on pool 'a'",
    ),
    (
        r#"{"prefix":"osd pool application set","pool":"a","app":"zz","key":"k","value":"v"}"#,
        -2,
        "application 'zz' is not enabled on pool 'a'",
    ),
    (
        r#"{"prefix":"osd pool application get","pool":"a","app":"zz"}"#,
        -2,
        "pool 'a' has no application 'zz'",
    ),
    (
        r#"{"prefix":"osd pool application rm","pool":"a","app":"rbd","key":"zz"}"#,
        0,
        "application 'rbd' on pool 'a' does not have key 'zz'",
    ),
    (r#"{"prefix":"osd pool get","pool":"a","var":"eio"}"#, -22, "pool 'a': invalid variable: 'eio'"),
    (
        r#"{"prefix":"osd pool get","pool":"a","var":"compression_mode"}"#,
        -2,
        "option 'compression_mode' is not set on pool 'a'",
    ),
    (r#"{"prefix":"osd pool set","pool":"a","var":"zz","val":"1"}"#, -22, "unrecognized variable 'zz'"),
    (
        r#"{"prefix":"osd pool set","pool":"a","var":"size","val":"many"}"#,
        -22,
        "error parsing integer value 'many': Expected option value to be integer, got 'many'",
    ),
    (r#"{"prefix":"osd pool rename","srcpool":"none","destpool":"z"}"#, -2, "unrecognized pool 'none'"),
    (r#"{"prefix":"osd pool rename","srcpool":"rbd","destpool":"a"}"#, -17, "pool 'a' already exists"),
    (r#"{"prefix":"osd pool rename","srcpool":"a","destpool":"b"}"#, 0, "pool 'a' renamed to 'b'"),
    (
        r#"{"prefix":"osd pool rename","srcpool":"a","destpool":"b"}"#,
        0,
        "pool 'a' does not exist; pool 'b' does -- assuming successful rename",
    ),
    (r#"{"prefix":"osd pool rename","srcpool":"b","destpool":"a"}"#, 0, "pool 'b' renamed to 'a'"),
    (r#"{"prefix":"osd pool set","pool":"a","var":"nodelete","val":"1"}"#, 0, "set pool 2 nodelete to 1"),
    (
        r#"{"prefix":"osd pool rm","pool":"a","pool2":"a","yes_i_really_really_mean_it":true}"#,
        -1,
        "pool deletion is disabled; you must unset nodelete flag for the pool first",
    ),
    (r#"{"prefix":"osd pool set","pool":"a","var":"nodelete","val":"0"}"#, 0, "set pool 2 nodelete to 0"),
    (
        r#"{"prefix":"osd pool rm","pool":"a","pool2":"b","yes_i_really_really_mean_it":true}"#,
        -1,
        "WARNING: this will *PERMANENTLY DESTROY* all data stored in pool a.  If you are *ABSOLUTELY CERTAIN* that is what \
         you want, pass the pool name *twice*, followed by --yes-i-really-really-mean-it.",
    ),
    (
        r#"{"prefix":"osd pool rm","pool":"a","pool2":"a","yes_i_really_really_mean_it":true}"#,
        0,
        "pool 'a' removed",
    ),
    (
        r#"{"prefix":"osd pool delete","pool":"a","pool2":"a","sure":"--yes-i-really-really-mean-it"}"#,
        0,
        "pool 'a' does not exist",
    ),
    (
        r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"1.2.3.4:0/77"}"#,
        0,
        "blocklisting 1.2.3.4:0/77 until 2026-11-27T21:00:00.000000+0000 (3600 sec)",
    ),
    (
        r#"{"prefix":"osd blacklist","blacklistop":"add","addr":"1.2.3.6","expire":100.0}"#,
        0,
        "blocklisting 1.2.3.6:0/0 until 2026-11-27T20:01:40.000000+0000 (100 sec)",
    ),
    (
        r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"garbage"}"#,
        -22,
        "unable to parse address garbage",
    ),
    (r#"{"prefix":"osd blocklist ls"}"#, 0, "listed 2 entries"),
    (
        r#"{"prefix":"osd blocklist","blocklistop":"rm","addr":"1.2.3.4:0/77"}"#,
        0,
        "un-blocklisting 1.2.3.4:0/77",
    ),
    (
        r#"{"prefix":"osd blocklist","blocklistop":"rm","addr":"1.2.3.4:0/77"}"#,
        0,
        "1.2.3.4:0/77 isn't blocklisted",
    ),
    (r#"{"prefix":"osd blocklist clear"}"#, 0, " removed all blocklist entries"),
    (r#"{"prefix":"config get","who":"client.admin","key":"zz"}"#, -2, "unrecognized key 'zz'"),
    (
        r#"{"prefix":"config set","who":"client","name":"zz","value":"1"}"#,
        -22,
        "unrecognized config option 'zz'",
    ),
    (r#"{"prefix":"config set","who":"client","name":"zz","value":"1","force":true}"#, 0, ""),
    (r#"{"prefix":"config get","who":"client","key":"zz"}"#, 0, ""),
    (r#"{"prefix":"log","logtext":["a"],"level":"loud"}"#, -22, "unrecognized log level 'loud'"),
    (r#"{"prefix":"config-key get","key":"rbd/mirror/site_name"}"#, -2, ""),
    (r#"{"prefix":"config-key set","key":"zz","val":"1"}"#, 0, "set zz"),
    (r#"{"prefix":"config-key exists","key":"zz"}"#, 0, "key 'zz' exists"),
    (r#"{"prefix":"config-key rm","key":"zz"}"#, 0, "key deleted"),
    (
        r#"{"prefix":"osd set-require-min-compat-client","version":"mimic"}"#,
        0,
        "set require_min_compat_client to mimic",
    ),
    (r#"{"prefix":"nonsense command"}"#, -22, "command not known"),
    ("", -22, "unparseable JSON "),
    ("{", -22, "unparseable JSON {"),
    ("[]", -22, "not JSON object []"),
    ("{}", -22, "command prefix not found"),
    (r#"{"prefix":1}"#, -22, "command prefix not found"),
];

#[test]
fn commands_answer_as_a_real_monitor_does() {
    let mut lab = Lab::new();
    for (command, result, status) in SCRIPT {
        let (got, said, _) = lab.command(command);
        assert_eq!((got, said.as_str()), (*result, *status), "{command}");
    }
}

#[test]
fn output_is_that_of_a_real_monitor() {
    let mut lab = Lab::new();
    lab.command(r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"1.2.3.4:0/77"}"#);
    lab.command(r#"{"prefix":"config set","who":"client","name":"rbd_cache","value":"false"}"#);
    for (command, output) in [
        (r#"{"prefix":"fsid"}"#, "30313233-3435-3637-3839-616263646566\n"),
        (r#"{"prefix":"fsid","format":"json"}"#, r#"{"fsid":"30313233-3435-3637-3839-616263646566"}"#),
        (r#"{"prefix":"osd pool ls"}"#, "rbd\n"),
        (r#"{"prefix":"osd pool ls","format":"json"}"#, r#"["rbd"]"#),
        (r#"{"prefix":"osd lspools"}"#, "1 rbd\n"),
        (r#"{"prefix":"osd blocklist ls"}"#, "1.2.3.4:0/77 2026-11-27T21:00:00.000000+0000\n"),
        (
            r#"{"prefix":"osd blocklist ls","format":"json"}"#,
            r#"[{"addr":"1.2.3.4:0/77","until":"2026-11-27T21:00:00.000000+0000"}][]"#,
        ),
        (r#"{"prefix":"config get","who":"client.admin","key":"rbd_cache"}"#, "false\n"),
        (
            r#"{"prefix":"config get","who":"client.admin"}"#,
            "WHO     MASK  LEVEL     OPTION     VALUE  RO\nclient        advanced  rbd_cache  false    \n",
        ),
        (r#"{"prefix":"osd pool get","pool":"rbd","var":"size"}"#, "size: 1\n"),
        (
            r#"{"prefix":"osd pool get","pool":"rbd","var":"crush_rule","format":"json"}"#,
            r#"{"crush_rule":"replicated_rule","pool":"rbd","pool_id":1}"#,
        ),
        (r#"{"prefix":"osd getmaxosd"}"#, "max_osd = 1 in epoch 2\n"),
        (r#"{"prefix":"health"}"#, "HEALTH_OK\n"),
    ] {
        let (result, _, got) = lab.command(command);
        assert_eq!((result, got.as_str()), (0, output), "{command}");
    }
}

/// Everything that scripts read by `-f json` is JSON, pretty or not.
#[test]
fn every_answer_to_a_script_is_json() {
    let mut lab = Lab::new();
    for prefix in [
        "fsid",
        "status",
        "health",
        "df",
        "versions",
        "features",
        "quorum_status",
        "mon dump",
        "mon stat",
        "mgr stat",
        "mgr dump",
        "osd dump",
        "osd stat",
        "osd ls",
        "osd getmaxosd",
        "osd crush rule ls",
        "osd lspools",
        "osd pool ls",
        "osd pool application get",
        "config dump",
        "config-key ls",
        "get_command_descriptions",
    ] {
        for format in ["json", "json-pretty"] {
            let (result, _, output) = lab.command(&format!(r#"{{"prefix":"{prefix}","format":"{format}"}}"#));
            assert_eq!(result, 0, "{prefix}");
            serde_json::from_str::<Value>(&output)
                .unwrap_or_else(|error| panic!("{prefix}: {error}: {output}"));
        }
        let (result, _, output) = lab.command(&format!(r#"{{"prefix":"{prefix}"}}"#));
        assert!(result == 0 && !output.is_empty() || prefix.starts_with("config"), "{prefix}");
    }
}

#[test]
fn clones_are_of_format_2_unless_told_otherwise() {
    let mut lab = Lab::new();
    let compat = |lab: &mut Lab| {
        let (_, _, output) = lab.command(r#"{"prefix":"osd dump","format":"json"}"#);
        serde_json::from_str::<Value>(&output).expect("JSON")["require_min_compat_client"].clone()
    };
    assert_eq!(compat(&mut lab), "mimic");
    lab.command(r#"{"prefix":"osd set-require-min-compat-client","version":"luminous"}"#);
    assert_eq!(compat(&mut lab), "luminous");
}

#[test]
fn an_option_that_nobody_has_set_has_its_default() {
    let mut lab = Lab::new();
    let mut get =
        |key: &str| lab.command(&format!(r#"{{"prefix":"config get","who":"client","key":"{key}"}}"#)).2;
    assert_eq!(get("rbd_cache"), "true\n");
    assert_eq!(get("rbd_default_features"), "61\n");
    let set = r#"{"prefix":"config set","who":"client","name":"rbd_cache","value":"false"}"#;
    assert_eq!(lab.command(set).0, 0);
    assert_eq!(lab.command(r#"{"prefix":"config get","who":"client.admin","key":"rbd-cache"}"#).2, "false\n");
}

/// `ceph` refuses by itself what is not among the choices.
#[test]
fn whatever_of_a_pool_may_be_chosen_is_answered() {
    let mut lab = Lab::new();
    let (_, _, described) = lab.command(r#"{"prefix":"get_command_descriptions"}"#);
    let described: Value = serde_json::from_str(&described).expect("JSON");
    let get = described.as_object().expect("commands").values().find(|command| {
        let words = command["sig"].as_array().expect("a signature");
        words.starts_with(&["osd".into(), "pool".into(), "get".into()])
    });
    let choices = get.expect("osd pool get")["sig"][4]["strings"].as_str().expect("choices").to_owned();
    for choice in choices.split('|') {
        let (result, status, _) =
            lab.command(&format!(r#"{{"prefix":"osd pool get","pool":"rbd","var":"{choice}"}}"#));
        assert!([0, -2].contains(&result), "{choice}: {result} {status}");
    }
}
