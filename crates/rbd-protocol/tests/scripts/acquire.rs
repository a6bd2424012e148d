//! Taking and breaking the lock at the OSD, as scripted traces.

use crate::trace;

/// Catalogue rows 2, 59.
#[test]
fn free_lock_is_taken() {
    trace::check("free_lock_is_taken", include_str!("free_lock_is_taken.txt"));
}

/// Catalogue rows 4, 60, 64: read the owner, try, no watcher, read again, still no watcher, fence, break, lock.
#[test]
fn dead_locker_is_fenced_and_broken() {
    trace::check("dead_locker_is_fenced_and_broken", include_str!("dead_locker_is_fenced_and_broken.txt"));
}

/// Catalogue rows 45, 67.
#[test]
fn live_owner_is_left_alone() {
    trace::check("live_owner_is_left_alone", include_str!("live_owner_is_left_alone.txt"));
}

/// Any watch of the owner's instance means that it lives.
#[test]
fn owner_with_another_watch_is_alive() {
    trace::check("owner_with_another_watch_is_alive", include_str!("owner_with_another_watch_is_alive.txt"));
}

/// The look is repeated right before the fence.
#[test]
fn owner_that_comes_back_before_the_fence_is_alive() {
    trace::check(
        "owner_that_comes_back_before_the_fence_is_alive",
        include_str!("owner_that_comes_back_before_the_fence_is_alive.txt"),
    );
}

/// The OSD looks once more, in the step of the fence.
#[test]
fn owner_that_comes_back_during_the_fence_is_alive() {
    trace::check(
        "owner_that_comes_back_during_the_fence_is_alive",
        include_str!("owner_that_comes_back_during_the_fence_is_alive.txt"),
    );
}

/// Catalogue row 61.
#[test]
fn error_while_reading_the_locker_ends_it() {
    trace::check(
        "error_while_reading_the_locker_ends_it",
        include_str!("error_while_reading_the_locker_ends_it.txt"),
    );
}

/// Catalogue row 62: busy though nobody was seen: look again.
#[test]
fn vanished_locker_is_not_missed() {
    trace::check("vanished_locker_is_not_missed", include_str!("vanished_locker_is_not_missed.txt"));
}

/// Design 4.8: every loop has a limit.
#[test]
fn lock_that_changes_hands_all_the_time_is_left_to_the_back_off() {
    trace::check(
        "lock_that_changes_hands_all_the_time_is_left_to_the_back_off",
        include_str!("lock_that_changes_hands_all_the_time_is_left_to_the_back_off.txt"),
    );
}

/// Catalogue row 63.
#[test]
fn break_error_ends_it() {
    trace::check("break_error_ends_it", include_str!("break_error_ends_it.txt"));
}

/// Catalogue rows 5, 6, 46: manual exclusive, manual shared.
#[test]
fn manual_lock_is_not_broken() {
    trace::check("manual_lock_is_not_broken", include_str!("manual_lock_is_not_broken.txt"));
}

/// Facts 9.3 item 8: after a break nobody is known; the next owner is read before it may be broken.
#[test]
fn faster_third_client_is_judged_for_itself() {
    trace::check(
        "faster_third_client_is_judged_for_itself",
        include_str!("faster_third_client_is_judged_for_itself.txt"),
    );
}

/// Catalogue row 73: never oneself; the own instance lives.
#[test]
fn other_open_of_the_same_client_is_alive() {
    trace::check(
        "other_open_of_the_same_client_is_alive",
        include_str!("other_open_of_the_same_client_is_alive.txt"),
    );
}

/// Catalogue rows 47, 48.
#[test]
fn lock_errors_pass_up() {
    trace::check("lock_errors_pass_up", include_str!("lock_errors_pass_up.txt"));
}

/// Catalogue row 65.
#[test]
fn forced_break_ignores_the_watch() {
    trace::check("forced_break_ignores_the_watch", include_str!("forced_break_ignores_the_watch.txt"));
}

/// Catalogue rows 66, 71, 74, 76: a failed fence breaks nothing.
#[test]
fn break_passes_errors_up() {
    trace::check("break_passes_errors_up", include_str!("break_passes_errors_up.txt"));
}

/// Catalogue rows 68, 69: updated, or foreign by now.
#[test]
fn changed_locker_is_not_broken() {
    trace::check("changed_locker_is_not_broken", include_str!("changed_locker_is_not_broken.txt"));
}

/// Catalogue rows 70, 75.
#[test]
fn missing_locker_needs_no_break() {
    trace::check("missing_locker_needs_no_break", include_str!("missing_locker_needs_no_break.txt"));
}

/// Catalogue row 72.
#[test]
fn fencing_can_be_switched_off() {
    trace::check("fencing_can_be_switched_off", include_str!("fencing_can_be_switched_off.txt"));
}

/// Catalogue row 73: EINVAL, also when forced.
#[test]
fn own_instance_is_never_fenced() {
    trace::check("own_instance_is_never_fenced", include_str!("own_instance_is_never_fenced.txt"));
}
