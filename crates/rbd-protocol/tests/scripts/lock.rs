//! The exclusive lock, as scripted traces.

use crate::trace;

/// Catalogue rows 33, 43, 3, 8: states in order, announcements at both ends.
#[test]
fn lock_goes_through_its_whole_life() {
    trace::check("lock_goes_through_its_whole_life", include_str!("lock_goes_through_its_whole_life.txt"));
}

/// Catalogue rows 34, 45: a live owner is not asked; Ok, not owner.
#[test]
fn try_of_a_taken_lock_succeeds_without_ownership() {
    trace::check(
        "try_of_a_taken_lock_succeeds_without_ownership",
        include_str!("try_of_a_taken_lock_succeeds_without_ownership.txt"),
    );
}

/// Catalogue rows 5, 6, 35, 46, 47: a manual lock is EBUSY, an error is itself.
#[test]
fn try_passes_errors_up() {
    trace::check("try_passes_errors_up", include_str!("try_passes_errors_up.txt"));
}

/// Catalogue rows 36, 44.
#[test]
fn acquire_by_the_owner_is_a_no_op() {
    trace::check("acquire_by_the_owner_is_a_no_op", include_str!("acquire_by_the_owner_is_a_no_op.txt"));
}

/// Catalogue rows 10, 37: RequestLock is sent; all who wait get the lock together.
#[test]
fn busy_lock_is_requested_and_taken_after_the_release() {
    trace::check(
        "busy_lock_is_requested_and_taken_after_the_release",
        include_str!("busy_lock_is_requested_and_taken_after_the_release.txt"),
    );
}

/// Catalogue row 11, and no busy loop: the first "no owner" retries at once, the next ones wait.
#[test]
fn nobody_answering_is_retried_at_once_then_after_a_back_off() {
    trace::check(
        "nobody_answering_is_retried_at_once_then_after_a_back_off",
        include_str!("nobody_answering_is_retried_at_once_then_after_a_back_off.txt"),
    );
}

/// Catalogue row 12: acked, but no release is seen for client_notify_timeout.
#[test]
fn request_is_repeated_when_the_owner_keeps_the_lock_it_promised() {
    trace::check(
        "request_is_repeated_when_the_owner_keeps_the_lock_it_promised",
        include_str!("request_is_repeated_when_the_owner_keeps_the_lock_it_promised.txt"),
    );
}

/// Facts 3.10, 3.11: a hand-over needs no look at a lock that is known to be taken.
#[test]
fn announced_owner_is_asked_without_an_attempt() {
    trace::check(
        "announced_owner_is_asked_without_an_attempt",
        include_str!("announced_owner_is_asked_without_an_attempt.txt"),
    );
}

/// Facts 9.1 class 8, invariant I5: an announced owner may be dead or frozen.
#[test]
fn wrong_belief_in_an_owner_costs_one_unanswered_request() {
    trace::check(
        "wrong_belief_in_an_owner_costs_one_unanswered_request",
        include_str!("wrong_belief_in_an_owner_costs_one_unanswered_request.txt"),
    );
}

/// Facts 3.9, 3.11: a belief lives no longer than what it rests on.
#[test]
fn belief_in_an_owner_ends_with_its_release_and_with_the_watch() {
    trace::check(
        "belief_in_an_owner_ends_with_its_release_and_with_the_watch",
        include_str!("belief_in_an_owner_ends_with_its_release_and_with_the_watch.txt"),
    );
}

/// Catalogue row 13: somebody else is faster.
#[test]
fn loser_of_the_race_after_a_release_asks_again() {
    trace::check(
        "loser_of_the_race_after_a_release_asks_again",
        include_str!("loser_of_the_race_after_a_release_asks_again.txt"),
    );
}

/// Facts 3.10: the answer that counts belongs to the wait that is on.
#[test]
fn late_answer_to_an_old_request_changes_nothing() {
    trace::check(
        "late_answer_to_an_old_request_changes_nothing",
        include_str!("late_answer_to_an_old_request_changes_nothing.txt"),
    );
}

/// 10.10 item 10, catalogue rows 14, 15: I/O waits for a manual lock by polling each second, and goes on when it is removed.
#[test]
fn foreign_lock_is_polled_without_a_busy_loop() {
    trace::check(
        "foreign_lock_is_polled_without_a_busy_loop",
        include_str!("foreign_lock_is_polled_without_a_busy_loop.txt"),
    );
}

/// Catalogue row 15: owner acks, releases, then a manual lock is there.
#[test]
fn foreign_lock_after_the_owners_release_keeps_io_waiting() {
    trace::check(
        "foreign_lock_after_the_owners_release_keeps_io_waiting",
        include_str!("foreign_lock_after_the_owners_release_keeps_io_waiting.txt"),
    );
}

/// Facts 4.6: a manual lock is EROFS to an operation and to an explicit acquire, while I/O goes on waiting.
#[test]
fn operation_does_not_wait_for_a_foreign_lock() {
    trace::check(
        "operation_does_not_wait_for_a_foreign_lock",
        include_str!("operation_does_not_wait_for_a_foreign_lock.txt"),
    );
}

/// Facts 3.10: EROFS from a peer with the standard policy.
#[test]
fn peer_that_keeps_the_lock_fails_the_acquire() {
    trace::check(
        "peer_that_keeps_the_lock_fails_the_acquire",
        include_str!("peer_that_keeps_the_lock_fails_the_acquire.txt"),
    );
}

/// 10.10 item 3: looked at once more, not retried blindly.
#[test]
fn two_owners_fail_the_acquire() {
    trace::check("two_owners_fail_the_acquire", include_str!("two_owners_fail_the_acquire.txt"));
}

/// Facts 3.10: an answer is as old as its question, and the peer may have let go of the lock since.
#[test]
fn refusal_is_not_for_those_who_came_after_the_question() {
    trace::check(
        "refusal_is_not_for_those_who_came_after_the_question",
        include_str!("refusal_is_not_for_those_who_came_after_the_question.txt"),
    );
}

/// Facts 4.6: the manual lock that a look saw may have been removed since.
#[test]
fn foreign_lock_is_looked_for_again_for_those_who_came_after_the_look() {
    trace::check(
        "foreign_lock_is_looked_for_again_for_those_who_came_after_the_look",
        include_str!("foreign_lock_is_looked_for_again_for_those_who_came_after_the_look.txt"),
    );
}

/// Facts 3.10: RequestLock again in 1 s.
#[test]
fn other_answers_are_retried_after_the_retry_delay() {
    trace::check(
        "other_answers_are_retried_after_the_retry_delay",
        include_str!("other_answers_are_retried_after_the_retry_delay.txt"),
    );
}

/// Catalogue rows 38, 47.
#[test]
fn acquire_error_is_returned() {
    trace::check("acquire_error_is_returned", include_str!("acquire_error_is_returned.txt"));
}

/// Catalogue rows 39, 87: the lock is undone and the error returned.
#[test]
fn error_after_the_lock_was_taken_gives_it_back() {
    trace::check(
        "error_after_the_lock_was_taken_gives_it_back",
        include_str!("error_after_the_lock_was_taken_gives_it_back.txt"),
    );
}

/// Catalogue rows 7, 49.
#[test]
fn release_without_a_lock_is_a_no_op() {
    trace::check("release_without_a_lock_is_a_no_op", include_str!("release_without_a_lock_is_a_no_op.txt"));
}

/// Catalogue rows 9, 84: broken by others meanwhile.
#[test]
fn unlock_error_is_ignored() {
    trace::check("unlock_error_is_ignored", include_str!("unlock_error_is_ignored.txt"));
}

/// Catalogue rows 50, 93: lost while draining.
#[test]
fn lost_lock_is_not_unlocked() {
    trace::check("lost_lock_is_not_unlocked", include_str!("lost_lock_is_not_unlocked.txt"));
}

/// Catalogue row 52.
#[test]
fn equal_actions_merge_and_different_ones_queue() {
    trace::check(
        "equal_actions_merge_and_different_ones_queue",
        include_str!("equal_actions_merge_and_different_ones_queue.txt"),
    );
}

/// Catalogue rows 41, 53, 82.
#[test]
fn changed_cookie_is_set_and_announced() {
    trace::check(
        "changed_cookie_is_set_and_announced",
        include_str!("changed_cookie_is_set_and_announced.txt"),
    );
}

/// Catalogue row 57, 10.10 item 6: no server op with fencing on.
#[test]
fn rewatch_with_the_same_cookie_announces_again() {
    trace::check(
        "rewatch_with_the_same_cookie_announces_again",
        include_str!("rewatch_with_the_same_cookie_announces_again.txt"),
    );
}

/// Facts 3.9: without fencing somebody may have broken the lock in between.
#[test]
fn same_cookie_without_fencing_is_proved_by_a_new_acquire() {
    trace::check(
        "same_cookie_without_fencing_is_proved_by_a_new_acquire",
        include_str!("same_cookie_without_fencing_is_proved_by_a_new_acquire.txt"),
    );
}

/// Catalogue rows 56, 83.
#[test]
fn failed_reacquire_releases_and_acquires() {
    trace::check(
        "failed_reacquire_releases_and_acquires",
        include_str!("failed_reacquire_releases_and_acquires.txt"),
    );
}

/// Facts 3.9: a new owner lives and nobody here needs the lock.
#[test]
fn lock_lost_in_a_rewatch_is_not_taken_from_a_peer_that_nobody_waits_for() {
    trace::check(
        "lock_lost_in_a_rewatch_is_not_taken_from_a_peer_that_nobody_waits_for",
        include_str!("lock_lost_in_a_rewatch_is_not_taken_from_a_peer_that_nobody_waits_for.txt"),
    );
}

/// Catalogue rows 54, 48.
#[test]
fn reacquire_without_a_watch_waits_for_registration_until_shut_down() {
    trace::check(
        "reacquire_without_a_watch_waits_for_registration_until_shut_down",
        include_str!("reacquire_without_a_watch_waits_for_registration_until_shut_down.txt"),
    );
}

/// Catalogue row 55.
#[test]
fn reacquire_without_a_watch_is_owner_again_after_registration() {
    trace::check(
        "reacquire_without_a_watch_is_owner_again_after_registration",
        include_str!("reacquire_without_a_watch_is_owner_again_after_registration.txt"),
    );
}

/// Facts 3.6: WAITING_FOR_REGISTER has a timer; a registration wakes it.
#[test]
fn acquire_without_a_watch_waits_for_registration() {
    trace::check(
        "acquire_without_a_watch_waits_for_registration",
        include_str!("acquire_without_a_watch_waits_for_registration.txt"),
    );
}

/// Catalogue row 58.
#[test]
fn shut_down_ends_a_waiting_acquire() {
    trace::check("shut_down_ends_a_waiting_acquire", include_str!("shut_down_ends_a_waiting_acquire.txt"));
}

/// Facts 3.6: nothing waits behind a shut-down.
#[test]
fn shut_down_during_an_acquire_does_not_wait_for_the_owner() {
    trace::check(
        "shut_down_during_an_acquire_does_not_wait_for_the_owner",
        include_str!("shut_down_during_an_acquire_does_not_wait_for_the_owner.txt"),
    );
}

/// Facts 3.6: shut down in every state.
#[test]
fn shut_down_of_an_unused_lock() {
    trace::check("shut_down_of_an_unused_lock", include_str!("shut_down_of_an_unused_lock.txt"));
}

/// Catalogue rows 48, 99, 102, facts 9.1 class 4: EBLOCKLISTED wakes each waiter, now and later.
#[test]
fn fence_fails_everybody_who_waits() {
    trace::check("fence_fails_everybody_who_waits", include_str!("fence_fails_everybody_who_waits.txt"));
}

/// Catalogue row 48.
#[test]
fn fence_found_by_an_acquire_is_remembered() {
    trace::check(
        "fence_found_by_an_acquire_is_remembered",
        include_str!("fence_found_by_an_acquire_is_remembered.txt"),
    );
}

/// Catalogue row 50: is_owner is false at once, the gate is closed, no unlock is sent.
#[test]
fn fenced_owner_drains_and_does_not_unlock() {
    trace::check(
        "fenced_owner_drains_and_does_not_unlock",
        include_str!("fenced_owner_drains_and_does_not_unlock.txt"),
    );
}

/// Catalogue row 102.
#[test]
fn deleted_header_fails_waiters_with_enoent() {
    trace::check(
        "deleted_header_fails_waiters_with_enoent",
        include_str!("deleted_header_fails_waiters_with_enoent.txt"),
    );
}

/// Facts 3.10: queue release, ack 0.
#[test]
fn automatic_policy_gives_the_lock_away_on_request() {
    trace::check(
        "automatic_policy_gives_the_lock_away_on_request",
        include_str!("automatic_policy_gives_the_lock_away_on_request.txt"),
    );
}

/// Facts 3.10: an explicit acquire never gives the lock away on request, and still accepts forwarded operations.
#[test]
fn standard_policy_refuses() {
    trace::check("standard_policy_refuses", include_str!("standard_policy_refuses.txt"));
}

/// Facts 3.10, catalogue row 187: the configured policy counts again.
#[test]
fn explicit_release_ends_the_standard_policy() {
    trace::check(
        "explicit_release_ends_the_standard_policy",
        include_str!("explicit_release_ends_the_standard_policy.txt"),
    );
}

/// Facts 3.10: rbd_auto_exclusive_lock_until_manual_request=false.
#[test]
fn standard_policy_from_the_start() {
    trace::check("standard_policy_from_the_start", include_str!("standard_policy_from_the_start.txt"));
}

/// Facts 3.10: who waited for the lock gets the gate opened before the release.
#[test]
fn request_while_the_lock_is_being_installed_is_kept_after_one_turn() {
    trace::check(
        "request_while_the_lock_is_being_installed_is_kept_after_one_turn",
        include_str!("request_while_the_lock_is_being_installed_is_kept_after_one_turn.txt"),
    );
}

/// Design 6: acked at once, released when the operations have ended.
#[test]
fn running_operation_delays_the_promised_release() {
    trace::check(
        "running_operation_delays_the_promised_release",
        include_str!("running_operation_delays_the_promised_release.txt"),
    );
}

/// 10.10 item 9, design 6: rbd_lock_hold_max, doubled with each attempt that was cancelled.
#[test]
fn hold_ends_at_its_deadline() {
    trace::check("hold_ends_at_its_deadline", include_str!("hold_ends_at_its_deadline.txt"));
}

/// Design 4.8: the doubling has a limit.
#[test]
fn hold_is_capped() {
    trace::check("hold_is_capped", include_str!("hold_is_capped.txt"));
}

/// Facts 3.10: the peer that was promised the lock gets it first.
#[test]
fn explicit_acquire_keeps_the_promise_made_before() {
    trace::check(
        "explicit_acquire_keeps_the_promise_made_before",
        include_str!("explicit_acquire_keeps_the_promise_made_before.txt"),
    );
}

/// Facts 3.10: however many writes wait at the owner, the lock goes to the peer that was promised it.
#[test]
fn peer_that_was_promised_the_lock_is_not_overtaken() {
    trace::check(
        "peer_that_was_promised_the_lock_is_not_overtaken",
        include_str!("peer_that_was_promised_the_lock_is_not_overtaken.txt"),
    );
}

/// Facts 3.6: a release never hangs behind a waiting acquire.
#[test]
fn release_while_waiting_has_nothing_to_give() {
    trace::check(
        "release_while_waiting_has_nothing_to_give",
        include_str!("release_while_waiting_has_nothing_to_give.txt"),
    );
}

/// Facts 3.10: whoever gave the lock away by hand does not take it back for itself, whatever a rewatch had lost.
#[test]
fn release_ends_the_locks_own_wish() {
    trace::check("release_ends_the_locks_own_wish", include_str!("release_ends_the_locks_own_wish.txt"));
}
