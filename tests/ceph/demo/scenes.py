"""The five scenes. Each returns whether the clone was flattened."""

import errno

from demo.player import Call, Failed
from demo.story import result_words
from demo.trial import Trial

# Writes of each client in the race.
WRITES = 48
# Progress at which a flatten counts as under way, in objects.
UNDER_WAY = 25
# Writes of client 1 before it freezes, and how many of them are in flight at any moment.
BEFORE, IN_FLIGHT = 32, 8
# Blocks that client 1 writes late, over what client 2 wrote there meanwhile; their writes' version.
LATE, LATE_VERSION = 6, 9


def race(trial: Trial) -> bool:
    """Three clients write at once: neighbouring blocks, so that they race for the objects' copy-up as well as for the lock."""
    calls = []
    for number in (1, 2, 3):
        calls += [(number, index * 3 + number - 1) for index in range(WRITES)]
    calls = [(number, index, trial.begin_write(number, index)) for number, index in calls]
    failures = [text for number, index, call in calls if (text := _failure(call))]
    trial.check("every write was acknowledged", not failures, failures[0] if failures else f"3 clients, {WRITES} writes each")
    for number, index, _ in calls:
        trial.model.acknowledged(index, number, 0)
    if trial.story:
        _check_the_lock_moved_by_request(trial)
    return False


def _check_the_lock_moved_by_request(trial: Trial) -> None:
    story = trial.story
    story.read()
    owners, acquired, released = story.owners(), story.messages("AcquiredLock"), story.messages("ReleasedLock")
    granted = [event for _, event in story.messages("RequestLock") if any(result == 0 for _, result in story.answers(event["notify_id"]))]
    all_owned = all(player.gid in owners for player in trial.players)
    trial.check("each client owned the lock at some time", all_owned, f"{len(owners)} owners in a row")
    found = f"{len(granted)} RequestLock acked 0, {len(released)} ReleasedLock, {len(acquired)} AcquiredLock"
    trial.check("the lock moved by request", len(granted) >= 2 and len(released) >= 2 and len(acquired) >= 3, found)
    broken = len(story.of_kind("lock_broken"))
    trial.check("nobody was fenced", broken == 0, f"{broken} locks broken")


def forward(trial: Trial) -> bool:
    """Client 2 flattens, client 1 owns the lock and does the work."""
    _client_1_takes_the_lock(trial)
    call = trial.client(2).begin("flatten")
    _check_succeeded(trial, call)
    trial.check("client 1 is still the owner", trial.client(1).call("is_owner"), "asked when the flatten had ended")
    if trial.story:
        _check_forwarded(trial)
        story, owner, requester = trial.story, trial.gid(1), trial.gid(2)
        progress = [event for said, event in story.messages("AsyncProgress") if said.concerns == requester and event["gid"] == owner]
        trial.check("client 1 reported progress", progress, f"{len(progress)} AsyncProgress")
        completions = story.completions(requester)
        trial.check("client 1 sent AsyncComplete(0)", completions and not any(completions), f"AsyncComplete {completions}")
        found = f"the lock was taken by {trial.named(story.owners())}"
        trial.check("client 2 never became owner", story.owners() == [owner], found)
    return True


def hand_over(trial: Trial) -> bool:
    """Client 3 needs the lock in the middle of the forwarded flatten."""
    _client_1_takes_the_lock(trial)
    call = _flatten_under_way(trial)
    for index in (1, trial.model.count() - 1):
        trial.write(3, index)
    _check_succeeded(trial, call)
    if trial.story:
        _check_forwarded(trial)
        story, owner, requester, writer = trial.story, trial.gid(1), trial.gid(2), trial.gid(3)
        completions = story.completions(requester)
        found = f"AsyncComplete {', '.join(map(result_words, completions))}"
        trial.check("client 1 cancelled it: AsyncComplete(ERESTART)", -errno.ERESTART in completions, found)
        # Client 2 starts over when client 1 lets go, and may be the first to find the lock free.
        owners = story.owners()
        trial.check("the lock went on to client 3", owners[0] == owner and writer in owners[1:], f"it was taken by {trial.named(owners)}")
        requests = [said.request for said, event in story.messages("FlattenPayload") if event["gid"] == requester]
        trial.check("client 2 asked again, by the same request", len(requests) >= 2 and len(set(requests)) == 1, f"requests {requests}")
    return True


def killed(trial: Trial) -> bool:
    """Client 1 is killed in the middle of the forwarded flatten."""
    _client_1_takes_the_lock(trial)
    call = _flatten_under_way(trial)
    trial.client(1).kill()
    _check_succeeded(trial, call)
    trial.check("client 2 is the owner", trial.client(2).call("is_owner"), "asked when the flatten had ended")
    if trial.story:
        _check_forwarded(trial)
        completions = [said.result for said, event in trial.story.messages("AsyncComplete") if event["gid"] == trial.gid(1)]
        trial.check("client 1 died while it was flattening", not completions, f"AsyncComplete of client 1: {completions}")
        _check_fenced_in_order(trial)
    return True


def frozen(trial: Trial) -> bool:
    """Client 1 freezes in the middle of its writes, and wakes up fenced."""
    calls = [(index, trial.begin_write(1, index)) for index in range(LATE, LATE + BEFORE)]
    for index, call in calls:
        call.result()
        trial.model.acknowledged(index, 1, 0)
    in_flight = [(index, trial.begin_write(1, index)) for index in range(LATE + BEFORE, LATE + BEFORE + IN_FLIGHT)]
    trial.client(1).freeze()
    # Client 2 takes over: watch expiry, fence, break. Then it writes where client 1 will write late.
    for index in range(LATE):
        trial.write(2, index)
    asleep = [trial.begin_write(1, index, LATE_VERSION) for index in range(LATE // 2)]
    trial.client(1).wake()
    awake = [trial.begin_write(1, index, LATE_VERSION) for index in range(LATE // 2, LATE)]
    late = [_failure(call) for call in asleep + awake]
    for index, call in in_flight:
        trial.model.maybe(index, 1, 0) if _failure(call) else trial.model.acknowledged(index, 1, 0)
    fenced = [text for text in late if text and f"errno {errno.ESHUTDOWN}" in text]
    found = f"{len(fenced)} of {len(late)}" + "".join(f", one: {text or 'acknowledged'}" for text in late if text not in fenced)[:80]
    trial.check("writes of client 1 after it was fenced fail with error 108", len(fenced) == LATE, found)
    if trial.story:
        _check_fenced_in_order(trial)
    _check_reopened(trial, LATE + BEFORE + IN_FLIGHT)
    return False


def _check_reopened(trial: Trial, index: int) -> None:
    old, new = trial.gid(1), trial.client(1).call("reopen")
    trial.names[new] = "client 1*"
    failure = _failure(trial.begin_write(1, index))
    if not failure:
        trial.model.acknowledged(index, 1, 0)
    found = f"a new instance: {new != old}, its write: {failure or 'acknowledged'}"
    trial.check("client 1 works again as a new instance", new != old and not failure, found)


def _failure(call: Call) -> str | None:
    try:
        call.result()
    except Failed as failed:
        return str(failed)
    return None


def _client_1_takes_the_lock(trial: Trial) -> None:
    trial.write(1, 0)
    trial.check("client 1 owns the lock", trial.client(1).call("is_owner"), "it says so")


def _flatten_under_way(trial: Trial) -> Call:
    call = trial.client(2).begin("flatten")
    call.progress_beyond(UNDER_WAY)
    found = "it was at object {} of {}".format(*call.progress[-1]) if call.progress else "no progress"
    trial.check("client 2's flatten was under way", not call.is_over(), found)
    return call


def _check_succeeded(trial: Trial, call: Call) -> None:
    failure = _failure(call)
    trial.check("client 2's call succeeded", not failure, failure or "success")


def _check_forwarded(trial: Trial) -> None:
    """The first FlattenPayload of client 2 was accepted by client 1 and by nobody else."""
    story = trial.story
    story.read()
    first = next((event for _, event in story.messages("FlattenPayload") if event["gid"] == trial.gid(2)), None)
    answers = story.answers(first["notify_id"]) if first else []
    found = ", ".join(f"{trial.named([gid])}: {result_words(result)}" for gid, result in answers) or "nobody answered"
    trial.check("client 1 accepted the flatten of client 2", answers == [(trial.gid(1), 0)], found)


def _check_fenced_in_order(trial: Trial) -> None:
    """Watch gone, instance fenced, lock broken, lock taken."""
    story, old, new = trial.story, trial.gid(1), trial.gid(2)
    story.read()
    broken = next(iter(story.of_kind("lock_broken")), None)
    steps = [story.first("watch_expired", old), story.first("blocklisted", old), broken, story.first("lock", new)]
    numbers = [step["sequence"] if step else None for step in steps]
    is_ordered = None not in numbers and numbers == sorted(numbers)
    found = f"events {', '.join('missing' if number is None else str(number) for number in numbers)}"
    trial.check("watch expired, blocklisted, lock broken, lock taken: in this order", is_ordered, found)


SCENES = {
    "a": ("race", "race: three clients write at once, the lock moves by request", race),
    "b": ("forward", "forward: client 2 flattens, client 1 owns the lock and does the work", forward),
    "c": ("hand-over", "hand-over: client 3 needs the lock in the middle of the forwarded flatten", hand_over),
    "d": ("owner killed", "owner killed in the middle of the forwarded flatten", killed),
    "e": ("owner frozen", "owner frozen in the middle of its writes, woken up after it was fenced", frozen),
}
