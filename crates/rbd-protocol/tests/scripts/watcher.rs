//! The image watcher, as scripted traces.

use crate::trace;

/// Catalogue row 16.
#[test]
fn header_update_marks_the_image_stale() {
    trace::check(
        "header_update_marks_the_image_stale",
        include_str!("header_update_marks_the_image_stale.txt"),
    );
}

/// Catalogue row 17.
#[test]
fn flatten_is_forwarded_with_progress() {
    trace::check(
        "flatten_is_forwarded_with_progress",
        include_str!("flatten_is_forwarded_with_progress.txt"),
    );
}

/// Catalogue row 18.
#[test]
fn resize_is_forwarded() {
    trace::check("resize_is_forwarded", include_str!("resize_is_forwarded.txt"));
}

/// Catalogue rows 21, 22: EEXIST from the owner is passed on.
#[test]
fn snap_create_is_forwarded() {
    trace::check("snap_create_is_forwarded", include_str!("snap_create_is_forwarded.txt"));
}

/// Catalogue row 25.
#[test]
fn snap_remove_is_forwarded() {
    trace::check("snap_remove_is_forwarded", include_str!("snap_remove_is_forwarded.txt"));
}

/// Catalogue row 29.
#[test]
fn silence_of_all_is_no_owner() {
    trace::check("silence_of_all_is_no_owner", include_str!("silence_of_all_is_no_owner.txt"));
}

/// Catalogue row 30: an error in the ack, no waiting.
#[test]
fn refusal_ends_the_request() {
    trace::check("refusal_ends_the_request", include_str!("refusal_ends_the_request.txt"));
}

/// Catalogue row 31, 10.10 item 8: ESHUTDOWN, and ETIMEDOUT that the operation itself returned.
#[test]
fn error_in_the_completion_is_the_operations() {
    trace::check(
        "error_in_the_completion_is_the_operations",
        include_str!("error_in_the_completion_is_the_operations.txt"),
    );
}

/// Catalogue row 32; progress restarts the timer.
#[test]
fn request_without_progress_times_out() {
    trace::check(
        "request_without_progress_times_out",
        include_str!("request_without_progress_times_out.txt"),
    );
}

/// 10.10 item 1: the later ack finds no entry.
#[test]
fn completion_before_the_ack_wins() {
    trace::check("completion_before_the_ack_wins", include_str!("completion_before_the_ack_wins.txt"));
}

/// 10.10 item 1: a former owner's error does not end what the new owner carries out.
#[test]
fn error_before_the_ack_counts_if_the_ack_names_its_sender() {
    trace::check(
        "error_before_the_ack_counts_if_the_ack_names_its_sender",
        include_str!("error_before_the_ack_counts_if_the_ack_names_its_sender.txt"),
    );
}

/// 10.10 item 13, facts 4.3: a watcher that never acks stops nobody.
#[test]
fn partial_answers_of_a_notify_that_timed_out_count() {
    trace::check(
        "partial_answers_of_a_notify_that_timed_out_count",
        include_str!("partial_answers_of_a_notify_that_timed_out_count.txt"),
    );
}

/// 10.10 item 3, facts 9.3 item 13.
#[test]
fn two_owners_are_both_named() {
    trace::check("two_owners_are_both_named", include_str!("two_owners_are_both_named.txt"));
}

/// Facts 4.3, 4.6: undecodable, not supported, notify failed.
#[test]
fn answers_that_do_not_decode_or_do_not_come() {
    trace::check(
        "answers_that_do_not_decode_or_do_not_come",
        include_str!("answers_that_do_not_decode_or_do_not_come.txt"),
    );
}

/// Facts 9.3 item 14.
#[test]
fn progress_never_runs_backwards_within_an_attempt() {
    trace::check(
        "progress_never_runs_backwards_within_an_attempt",
        include_str!("progress_never_runs_backwards_within_an_attempt.txt"),
    );
}

/// Facts 4.4: unknown ids, requests at a non-owner, unknown messages.
#[test]
fn messages_for_others_are_acked_and_ignored() {
    trace::check(
        "messages_for_others_are_acked_and_ignored",
        include_str!("messages_for_others_are_acked_and_ignored.txt"),
    );
}

/// Facts 4.4: forged progress and completion.
#[test]
fn completion_from_another_than_the_owner_is_ignored() {
    trace::check(
        "completion_from_another_than_the_owner_is_ignored",
        include_str!("completion_from_another_than_the_owner_is_ignored.txt"),
    );
}

/// Facts 4.1: the id in a message is the sender's own.
#[test]
fn message_that_names_another_sender_is_ignored() {
    trace::check(
        "message_that_names_another_sender_is_ignored",
        include_str!("message_that_names_another_sender_is_ignored.txt"),
    );
}

/// Facts 3.11, AcquiredLock: cancelled when the owner changed, not when it announces again.
#[test]
fn new_owner_cancels_requests_that_are_out() {
    trace::check(
        "new_owner_cancels_requests_that_are_out",
        include_str!("new_owner_cancels_requests_that_are_out.txt"),
    );
}

/// Facts 3.11, ReleasedLock: of another: no cancel; of the owner or nameless: cancel; the lock is woken each time.
#[test]
fn release_by_the_recorded_owner_cancels_requests_that_are_out() {
    trace::check(
        "release_by_the_recorded_owner_cancels_requests_that_are_out",
        include_str!("release_by_the_recorded_owner_cancels_requests_that_are_out.txt"),
    );
}

/// Facts 3.11: the announcement may come after the ack.
#[test]
fn owner_learned_from_the_ack_is_not_a_change() {
    trace::check(
        "owner_learned_from_the_ack_is_not_a_change",
        include_str!("owner_learned_from_the_ack_is_not_a_change.txt"),
    );
}

/// Facts 3.11: known when sent; a late echo of the release does not undo the next acquire.
#[test]
fn own_announcement_changes_nothing() {
    trace::check("own_announcement_changes_nothing", include_str!("own_announcement_changes_nothing.txt"));
}

/// Facts 3.11: a dead owner announced nothing; the loop runs the operation here.
#[test]
fn becoming_owner_cancels_requests_to_the_former_owner() {
    trace::check(
        "becoming_owner_cancels_requests_to_the_former_owner",
        include_str!("becoming_owner_cancels_requests_to_the_former_owner.txt"),
    );
}

/// Facts 3.9: at the error we do not know any more who the owner is.
#[test]
fn lost_stream_forgets_a_foreign_owner() {
    trace::check(
        "lost_stream_forgets_a_foreign_owner",
        include_str!("lost_stream_forgets_a_foreign_owner.txt"),
    );
}

/// 10.10 item 5, catalogue row 101: the id survives, the handle changes, the attempt starts over.
#[test]
fn rewatch_in_the_middle_of_a_request() {
    trace::check(
        "rewatch_in_the_middle_of_a_request",
        include_str!("rewatch_in_the_middle_of_a_request.txt"),
    );
}

/// Catalogue rows 99, 102: EBLOCKLISTED and ENOENT end the watch for good.
#[test]
fn fence_ends_requests_that_are_out() {
    trace::check("fence_ends_requests_that_are_out", include_str!("fence_ends_requests_that_are_out.txt"));
}

/// Facts 3.12, catalogue row 100: messages acked empty, own requests cancelled.
#[test]
fn closing_image_acks_and_does_nothing() {
    trace::check(
        "closing_image_acks_and_does_nothing",
        include_str!("closing_image_acks_and_does_nothing.txt"),
    );
}

/// Design 6: a deadline is honoured.
#[test]
fn caller_that_gave_up_hears_nothing() {
    trace::check("caller_that_gave_up_hears_nothing", include_str!("caller_that_gave_up_hears_nothing.txt"));
}

/// Facts 5.4: no watcher.
#[test]
fn request_without_a_watch_is_not_placed() {
    trace::check(
        "request_without_a_watch_is_not_placed",
        include_str!("request_without_a_watch_is_not_placed.txt"),
    );
}

/// Facts 3.10: own request, non-owner and an owner that does not know itself ack empty.
#[test]
fn lock_request_goes_to_the_owners_lock() {
    trace::check(
        "lock_request_goes_to_the_owners_lock",
        include_str!("lock_request_goes_to_the_owners_lock.txt"),
    );
}

/// Facts 4.2, 4.5: refresh first, ownership again, then ack and start; completion to the requester.
#[test]
fn forwarded_request_is_refreshed_for_acked_and_run() {
    trace::check(
        "forwarded_request_is_refreshed_for_acked_and_run",
        include_str!("forwarded_request_is_refreshed_for_acked_and_run.txt"),
    );
}

/// Design 4.3: ownership is checked again.
#[test]
fn ownership_lost_during_the_refresh_is_an_empty_ack() {
    trace::check(
        "ownership_lost_during_the_refresh_is_an_empty_ack",
        include_str!("ownership_lost_during_the_refresh_is_an_empty_ack.txt"),
    );
}

/// Facts 4.2.
#[test]
fn failed_refresh_is_the_answer() {
    trace::check("failed_refresh_is_the_answer", include_str!("failed_refresh_is_the_answer.txt"));
}

/// Facts 4.5, self notification: another open of the same client is somebody else.
#[test]
fn own_request_is_refused_with_erestart() {
    trace::check(
        "own_request_is_refused_with_erestart",
        include_str!("own_request_is_refused_with_erestart.txt"),
    );
}

/// Design 6: (gid, open) is the identity; completions of the one do not reach the other.
#[test]
fn second_open_of_the_image_is_somebody_else() {
    trace::check(
        "second_open_of_the_image_is_somebody_else",
        include_str!("second_open_of_the_image_is_somebody_else.txt"),
    );
}

/// 10.10 item 4, facts 4.5: a duplicate notify or a re-send is acked 0.
#[test]
fn running_request_is_not_started_twice() {
    trace::check(
        "running_request_is_not_started_twice",
        include_str!("running_request_is_not_started_twice.txt"),
    );
}

/// An error is its owner's, in the owner's words, at every place that it passes.
#[test]
fn reason_of_a_failure_travels_with_it() {
    trace::check(
        "reason_of_a_failure_travels_with_it",
        include_str!("reason_of_a_failure_travels_with_it.txt"),
    );
}

/// 10.10 item 2, facts 4.5: also for result 0; the result is kept 600 s longer.
#[test]
fn completed_request_is_answered_by_completing_it_again() {
    trace::check(
        "completed_request_is_answered_by_completing_it_again",
        include_str!("completed_request_is_answered_by_completing_it_again.txt"),
    );
}

/// 10.10 item 2: the one under way may have come too early.
#[test]
fn completion_under_way_is_sent_once_more_for_a_resend() {
    trace::check(
        "completion_under_way_is_sent_once_more_for_a_resend",
        include_str!("completion_under_way_is_sent_once_more_for_a_resend.txt"),
    );
}

/// Facts 4.5, design 6: ERESTART, a fence and a closing image are no results.
#[test]
fn interrupted_request_runs_again_when_it_is_sent_again() {
    trace::check(
        "interrupted_request_runs_again_when_it_is_sent_again",
        include_str!("interrupted_request_runs_again_when_it_is_sent_again.txt"),
    );
}

/// Facts 4.5: a completion that is being retried is dropped when the request runs again.
#[test]
fn unheard_erestart_does_not_end_the_next_run() {
    trace::check(
        "unheard_erestart_does_not_end_the_next_run",
        include_str!("unheard_erestart_does_not_end_the_next_run.txt"),
    );
}

/// Facts 4.5, 9.3 item 16: back-off after a time-out; a third watcher that never acks does not matter.
#[test]
fn completion_is_retried_until_the_requester_acked() {
    trace::check(
        "completion_is_retried_until_the_requester_acked",
        include_str!("completion_is_retried_until_the_requester_acked.txt"),
    );
}

/// Facts 4.5, 9.3 item 15: one notify per id under way; newer values replace the one that waits.
#[test]
fn progress_is_coalesced() {
    trace::check("progress_is_coalesced", include_str!("progress_is_coalesced.txt"));
}

/// Design 4.8: who sends one request again and again, while the owner refreshes for it, is answered EAGAIN.
#[test]
fn copies_of_an_arriving_request_are_limited() {
    trace::check(
        "copies_of_an_arriving_request_are_limited",
        include_str!("copies_of_an_arriving_request_are_limited.txt"),
    );
}

/// Facts 4.4: queued progress is dropped, the completion waits for the notify under way.
#[test]
fn completion_follows_the_progress_under_way() {
    trace::check(
        "completion_follows_the_progress_under_way",
        include_str!("completion_follows_the_progress_under_way.txt"),
    );
}

/// Design 6: requests below the mark have ended; a late copy of one does not run again.
#[test]
fn low_water_mark_trims_results() {
    trace::check("low_water_mark_trims_results", include_str!("low_water_mark_trims_results.txt"));
}

/// Facts 9.1 class 4: a fenced owner does not retry completions.
#[test]
fn dead_owner_says_nothing_more() {
    trace::check("dead_owner_says_nothing_more", include_str!("dead_owner_says_nothing_more.txt"));
}
