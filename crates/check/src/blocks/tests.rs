use errno::Errno;

use super::*;
use crate::history::Outcome;
use crate::testing::{BLOCK, Script, clone, discard, done, read, refused, seen, snap_create, write};

fn judged(script: &Script) -> Vec<(Rule, Vec<At>)> {
    let found = blocks_are_linearizable(&script.history());
    found.into_iter().map(|violation| (violation.rule, violation.at)).collect()
}

fn stuck_at(call: u64) -> Vec<(Rule, Vec<At>)> {
    vec![(Rule::NotLinearizable, vec![At::Call(call)])]
}

fn with_image() -> Script {
    let mut script = Script::new();
    script.ok("i", Operation::Create { size: 8 * BLOCK });
    script
}

#[test]
fn reads_that_see_the_last_write_or_discard_are_fine() {
    let mut script = with_image();
    script.read("i", None, 0);
    script.ok("i", write(1));
    script.read("i", None, 1);
    script.ok("i", discard());
    script.read("i", None, 0);
    assert_eq!(judged(&script), []);
}

#[test]
fn a_lost_acknowledged_write_is_found() {
    let mut script = with_image();
    script.ok("i", write(1));
    let lost = script.read("i", None, 0);
    assert_eq!(judged(&script), stuck_at(lost));
}

#[test]
fn a_stale_read_after_a_newer_one_is_found() {
    let mut script = with_image();
    let writing = script.invoke("i", write(1));
    let newer = script.read("i", None, 1);
    script.read("i", None, 0);
    script.complete(writing, done());
    // The two reads contradict each other; the one that ended first is named.
    assert_eq!(judged(&script), stuck_at(newer));
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    let mut script = with_image();
    let foreign = script.read("i", None, 9);
    assert_eq!(judged(&script), stuck_at(foreign));
}

#[test]
fn a_discard_that_had_no_effect_is_found() {
    let mut script = with_image();
    script.ok("i", write(1));
    script.ok("i", discard());
    let left = script.read("i", None, 1);
    assert_eq!(judged(&script), stuck_at(left));
}

#[test]
fn a_write_of_unknown_outcome_may_land_at_any_later_time_but_once() {
    let mut script = with_image();
    script.call("i", write(1), Outcome::Unknown);
    script.ok("i", write(2));
    script.read("i", None, 2);
    script.read("i", None, 1);
    assert_eq!(judged(&script), []);
    script.ok("i", write(3));
    let again = script.read("i", None, 1);
    assert_eq!(judged(&script), stuck_at(again));
}

#[test]
fn a_refused_write_may_have_happened_before_its_answer_but_not_after() {
    let mut script = with_image();
    script.call("i", write(1), refused(Errno::EIO));
    script.read("i", None, 1);
    assert_eq!(judged(&script), []);

    let mut script = with_image();
    script.call("i", write(1), refused(Errno::EIO));
    let zeros = script.read("i", None, 0);
    script.read("i", None, 1);
    // The second read proves that the write happened, so the first one is what cannot be.
    assert_eq!(judged(&script), stuck_at(zeros));
}

#[test]
fn a_write_whose_wait_timed_out_may_land_later() {
    let mut script = with_image();
    script.call("i", write(1), refused(Errno::ETIMEDOUT));
    script.read("i", None, 0);
    script.read("i", None, 1);
    assert_eq!(judged(&script), []);
}

#[test]
fn shrinking_and_growing_again_leaves_zeros() {
    let mut script = with_image();
    script.ok("i", write(1));
    script.ok("i", Operation::Resize { size: 0 });
    script.ok("i", Operation::Resize { size: 8 * BLOCK });
    script.read("i", None, 0);
    assert_eq!(judged(&script), []);
    let back = script.read("i", None, 1);
    assert_eq!(judged(&script), stuck_at(back));
}

#[test]
fn a_clone_shows_the_snapshots_data_until_it_is_written() {
    let mut script = with_image();
    script.ok("i", write(1));
    script.ok("i", snap_create("s"));
    script.ok("i", write(2));
    script.ok("j", clone("i", "s"));
    script.read("j", None, 1);
    script.ok("j", write(3));
    script.read("j", None, 3);
    script.read("i", None, 2);
    assert_eq!(judged(&script), []);
}

#[test]
fn a_clone_that_shows_zeros_or_later_data_of_its_parent_is_found() {
    for wrong in [0, 2] {
        let mut script = with_image();
        script.ok("i", write(1));
        script.ok("i", snap_create("s"));
        script.ok("i", write(2));
        script.ok("j", clone("i", "s"));
        let read = script.read("j", None, wrong);
        assert_eq!(judged(&script), stuck_at(read), "{wrong}");
    }
}

#[test]
fn a_clone_of_a_clone_shows_the_first_images_data() {
    let mut script = with_image();
    script.ok("i", write(1));
    script.ok("i", snap_create("s"));
    script.ok("j", clone("i", "s"));
    script.ok("j", snap_create("t"));
    script.ok("k", clone("j", "t"));
    script.read("k", None, 1);
    assert_eq!(judged(&script), []);
    let wrong = script.read("k", None, 0);
    assert_eq!(judged(&script), stuck_at(wrong));
}

#[test]
fn blocks_and_images_are_separate_registers() {
    let mut script = with_image();
    script.ok("other", Operation::Create { size: BLOCK });
    script.ok("i", Operation::Write { offset: BLOCK, length: 2 * BLOCK, tag: 1 });
    let wide = Operation::Read { offset: 0, length: 4 * BLOCK, snap: None };
    script.call("i", wide, seen(&[0, 1, 1, 0]));
    script.read("other", None, 0);
    assert_eq!(judged(&script), []);
}

#[test]
fn a_torn_block_is_found() {
    let mut script = with_image();
    let torn = script.call("i", read(None), Outcome::Ok { tags: vec![None] });
    assert_eq!(judged(&script), [(Rule::TornBlock, vec![At::Call(torn)])]);
}

#[test]
fn a_read_that_ends_where_the_image_did_not_is_found() {
    let mut script = with_image();
    script.ok("other", Operation::Resize { size: 0 });
    let short = script.call("i", read(None), seen(&[]));
    assert_eq!(judged(&script), [(Rule::ShortRead, vec![At::Call(short)])]);

    let mut script = with_image();
    script.call("i", Operation::Resize { size: 0 }, Outcome::Unknown);
    script.call("i", read(None), seen(&[]));
    assert_eq!(judged(&script), []);

    let mut script = with_image();
    script.ok("i", snap_create("s"));
    script.ok("i", Operation::Resize { size: 4 * BLOCK });
    let read =
        |snap: Option<&str>| Operation::Read { offset: 0, length: 16 * BLOCK, snap: snap.map(str::to_owned) };
    script.call("i", read(None), seen(&[0; 4]));
    script.call("i", read(Some("s")), seen(&[0; 8]));
    assert_eq!(judged(&script), []);
    let short = script.call("i", read(None), seen(&[0; 3]));
    let of_head = script.call("i", read(Some("s")), seen(&[0; 4]));
    assert_eq!(
        judged(&script),
        [(Rule::ShortRead, vec![At::Call(short)]), (Rule::ShortRead, vec![At::Call(of_head)])]
    );
}

/// librbd: a shrink trims first and commits the size last; after a hand-over it begins anew.
#[test]
fn a_shrink_may_clear_a_block_again_while_it_runs_and_not_afterwards() {
    let mut script = with_image();
    script.ok("i", write(1));
    let shrinking = script.invoke("i", Operation::Resize { size: 0 });
    script.read("i", None, 0);
    script.ok("i", write(2));
    script.read("i", None, 0);
    script.ok("i", write(3));
    script.complete(shrinking, done());
    script.read("i", None, 0);
    assert_eq!(judged(&script), []);
    script.ok("i", write(4));
    let lost = script.read("i", None, 0);
    assert_eq!(judged(&script), stuck_at(lost));
}

#[test]
fn thousands_of_overlapping_calls_on_one_block_are_decided() {
    let mut script = with_image();
    let mut tag = 0;
    for round in 0..1_000 {
        let ids: Vec<_> = (0..4).map(|client| script.invoke("i", write(tag + client + 1))).collect();
        let reading = script.invoke("i", read(None));
        if round % 3 == 0 {
            script.call("i", discard(), Outcome::Unknown);
            script.call("i", write(1_000_000 + round), Outcome::Unknown);
        }
        for id in &ids {
            script.complete(*id, done());
        }
        script.complete(reading, seen(&[tag + 2]));
        script.read("i", None, tag + 3);
        tag += 4;
    }
    assert_eq!(judged(&script), []);
    let stale = script.read("i", None, 1);
    assert_eq!(judged(&script), stuck_at(stale));
}
