//! The rows.

use std::fmt;

macro_rules! marks {
    ($(
        $(#[doc = $tables:literal])+
        $group:ident = $title:literal {
            $($(#[doc = $row:literal])+ $mark:ident $(=> $why:literal)?,)*
        }
    )*) => {
        /// The table that a row stands in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Group {
            $($(#[doc = $tables])+ $group,)*
        }

        impl Group {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$group,)*];

            /// As the report has it.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$group => $title,)*
                }
            }
        }

        /// A row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark {
            $($($(#[doc = $row])+ $mark,)*)*
        }

        impl Mark {
            /// All of them, in the order of the tables.
            pub const ALL: &'static [Self] = &[$($(Self::$mark,)*)*];

            /// The table that it stands in.
            pub const fn group(self) -> Group {
                match self {
                    $($(Self::$mark)|* => Group::$group,)*
                }
            }

            /// What happens when.
            pub fn row(self) -> String {
                let row = match self {
                    $($(Self::$mark => concat!($($row,)+).trim_ascii(),)*)*
                };
                match self.is_out_of_reach() {
                    None => row.to_owned(),
                    Some(why) => format!("{row} (out of reach: {why})"),
                }
            }

            /// Why the simulation cannot reach it; `None`: it must.
            pub const fn is_out_of_reach(self) -> Option<&'static str> {
                match self {
                    $($($(Self::$mark => Some($why),)?)*)*
                    _ => None,
                }
            }
        }
    };
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

marks! {
    /// `rbd_protocol::lock::ExclusiveLock`.
    Lock = "lock" {
        /// UNINITIALIZED, Init: INITIALIZING
        LockInit,
        /// INITIALIZING, Initialized: UNLOCKED
        LockInitialized,
        /// UNLOCKED or waiting, wanted: ACQUIRING
        LockAcquires,
        /// UNLOCKED, wanted without a watch: WAITING_FOR_REGISTER
        LockWithoutWatch,
        /// UNLOCKED, wanted soon after it was given to a peer: WAITING_FOR_LOCK
        LockYields,
        /// UNLOCKED, wanted and an owner announced itself: WAITING_FOR_LOCK, RequestLock
        LockAsksKnownOwner,
        /// UNLOCKED, Release: Ok
        LockNothingToRelease,
        /// ACQUIRING, Locked: POST_ACQUIRING
        LockTaken,
        /// UNLOCKED or ACQUIRING, would wait, and only TryAcquire is there: UNLOCKED, Ok without ownership
        LockTriedInVain,
        /// ACQUIRING, would wait, and ShutDown is queued: UNLOCKED, ESHUTDOWN
        LockClosesInstead,
        /// ACQUIRING, OwnerAlive: WAITING_FOR_LOCK, RequestLock
        LockAsksOwner,
        /// ACQUIRING, Foreign, others than I/O joined: ACQUIRING
        LockForeignJoined => "no client of the simulation locks by hand",
        /// ACQUIRING, Foreign, I/O waits: WAITING_FOR_LOCK
        LockForeignWaits => "no client of the simulation locks by hand",
        /// ACQUIRING, Foreign: UNLOCKED, EBUSY or EROFS
        LockForeign => "no client of the simulation locks by hand",
        /// ACQUIRING, Failed: UNLOCKED, the error
        LockAcquireFailed,
        /// ACQUIRING or POST_ACQUIRING, ended after Dead: UNLOCKED, the errno
        LockAcquiredDead,
        /// POST_ACQUIRING, Ok: LOCKED, announced
        LockInstalled,
        /// POST_ACQUIRING, error: RELEASING
        LockReverted,
        /// WAITING_FOR_REGISTER, WatchRegistered: ACQUIRING
        LockWatchCame,
        /// WAITING_FOR_LOCK, WatchRegistered: ACQUIRING
        LockWatchRenewed,
        /// WAITING_FOR_LOCK, PeerReleased: ACQUIRING
        LockPeerReleased,
        /// WAITING_FOR_LOCK, PeerAcquired: RequestLock
        LockPeerAcquired,
        /// WAITING_*, the timer: ACQUIRING
        LockLooksAgain,
        /// WAITING_FOR_LOCK, answer 0: waits on
        LockPromised,
        /// WAITING_FOR_LOCK, the first answer that there is no owner: ACQUIRING
        LockNoOwner,
        /// WAITING_FOR_LOCK, that answer again: a back-off
        LockNoOwnerAgain,
        /// WAITING_FOR_LOCK, answer EROFS: UNLOCKED, EROFS
        LockRefused,
        /// WAITING_FOR_LOCK, two owners once more: UNLOCKED, EIO
        LockTwoOwners,
        /// WAITING_FOR_LOCK, EROFS or EIO, and somebody joined since the question: ACQUIRING
        LockRefusedButJoined,
        /// WAITING_FOR_LOCK, another answer: waits on
        LockUnclear,
        /// WAITING_*, ShutDown: ESHUTDOWN
        LockWaitingShutDown,
        /// WAITING_*, Dead: UNLOCKED, the errno
        LockWaitingDead,
        /// WAITING_*, Release, others wait: Ok
        LockWaitingRelease,
        /// WAITING_*, Release, only the lock's own wish waits: UNLOCKED
        LockWishReleased,
        /// LOCKED, WatchRegistered under the handle as before: announced again
        LockAnnouncesAgain,
        /// LOCKED, WatchRegistered: REACQUIRING
        LockReacquires,
        /// LOCKED, reacquire without a watch: PRE_RELEASING, then acquire
        LockReacquiresWithoutWatch,
        /// LOCKED, RequestLock, nothing runs: PRE_RELEASING
        LockGivesAway,
        /// LOCKED, RequestLock, operations run: promised
        LockHolds,
        /// LOCKED, promised, the operations have ended: PRE_RELEASING
        LockHeldToTheEnd,
        /// LOCKED, promised, the hold is over: PRE_RELEASING
        LockHoldOver,
        /// LOCKED or about to be, RequestLock under the standard policy: EROFS
        LockKept,
        /// LOCKED, Release or Dead or another reason: PRE_RELEASING
        LockReleases,
        /// LOCKED, Dead: PRE_RELEASING
        LockDied,
        /// REACQUIRING, Ok: LOCKED, announced
        LockCookieSet,
        /// REACQUIRING, error: PRE_RELEASING, then acquire
        LockCookieRefused,
        /// PRE_RELEASING, PreReleased: RELEASING
        LockDrained,
        /// PRE_RELEASING, PreReleased after Dead: UNLOCKED
        LockDrainedDead,
        /// PRE_RELEASING, RequestLock: 0
        LockAskedWhileReleasing,
        /// RELEASING, Unlocked: UNLOCKED, announced
        LockUnlocked,
        /// LOCKED, ShutDown: PRE_SHUTTING_DOWN
        LockShutDownOwned,
        /// UNLOCKED, ShutDown: SHUTDOWN
        LockShutDown,
        /// PRE_SHUTTING_DOWN, PreReleased: SHUTTING_DOWN
        LockClosingDrained,
        /// PRE_SHUTTING_DOWN, PreReleased after Dead: SHUTDOWN
        LockClosingDead,
        /// SHUTTING_DOWN, Unlocked: SHUTDOWN, announced
        LockClosingUnlocked,
        /// SHUTDOWN or on the way there, TryAcquire or Acquire: ESHUTDOWN
        LockAskedTooLate => "a client of the simulation closes an image when its calls have ended",
        /// Dead, TryAcquire or Acquire: the errno
        LockAskedDead,
    }

    /// `rbd_protocol::watcher::ImageWatcher`: its states, then its messages, then what it sends.
    Watcher = "watcher" {
        /// unregistered, Registered: registered
        WatcherRegistered,
        /// registered, Registered anew: MarkStale, own requests end
        WatcherRegisteredAnew,
        /// registered, Interrupted: owner unknown
        WatcherInterrupted,
        /// registered, Interrupted, this client is the owner: nothing
        WatcherInterruptedOwner,
        /// registered, SendRequest: Notify
        WatcherSends,
        /// Closing: own requests end
        WatcherCloses,
        /// Dead: own requests end
        WatcherDies,
        /// unregistered, SendRequest: ENOTCONN
        WatcherSendsUnregistered => "an image is opened with its watch, and keeps the handle until that is renewed",
        /// closing, SendRequest: Closed
        WatcherSendsClosing => "a client of the simulation closes an image when its calls have ended",
        /// dead, SendRequest: Dead
        WatcherSendsDead,
        /// closing or dead, any message: empty
        WatcherIsDeaf,
        /// a message that names another instance than its sender: empty
        WatcherForged => "no client of the simulation lies",
        /// AcquiredLock, own: empty
        WatcherAcquiredOwn,
        /// AcquiredLock of another at a non-owner, the owner changed: own requests end
        WatcherOwnerChanged,
        /// AcquiredLock of another at a non-owner, the owner is who it was: wakes the lock
        WatcherOwnerAgain,
        /// AcquiredLock of another at an owner, who believes itself: wakes the lock
        WatcherAcquiredAtOwner,
        /// ReleasedLock of the recorded owner at a non-owner: own requests end
        WatcherOwnerReleased,
        /// ReleasedLock without a name
        WatcherNamelessReleased => "only very old clients of Ceph leave their name out",
        /// ReleasedLock of another: wakes the lock
        WatcherOtherReleased,
        /// RequestLock, own: empty
        WatcherLockAskedOwn,
        /// RequestLock at a non-owner: empty
        WatcherLockAskedElsewhere,
        /// RequestLock at an owner that does not know itself: empty
        WatcherLockAskedUnsure,
        /// RequestLock of another at the owner: the lock's answer
        WatcherLockAsked,
        /// HeaderUpdate: MarkStale
        WatcherHeaderUpdate,
        /// AsyncProgress of an own request, further than before: told
        WatcherProgress,
        /// AsyncProgress of an own request, not further: restarts the timer
        WatcherProgressAgain,
        /// no progress for `rbd_request_timed_out_seconds`: NoProgress
        WatcherNoProgress,
        /// AsyncComplete of an own request, from whoever accepted it: Complete
        WatcherCompleted,
        /// AsyncComplete 0 of an own request, not yet acked: Complete
        WatcherCompletedEarly,
        /// AsyncComplete with an error of an own request, not yet acked: kept
        WatcherFailedEarly,
        /// the ack names who sent the error that was kept: Complete
        WatcherFailedEarlyCounts,
        /// Request at a non-owner: empty
        WatcherAskedElsewhere,
        /// Request, own: ERESTART
        WatcherAskedOwn,
        /// Request below the low-water mark of its open: ESTALE
        WatcherAskedTooLate,
        /// Request that runs: 0
        WatcherAskedRunning,
        /// Request that was completed: 0, AsyncComplete again
        WatcherAskedCompleted,
        /// Request that arrives: acked with the first one
        WatcherAskedArriving,
        /// Request that arrives in too many copies: EAGAIN
        WatcherAskedTooOften => "16 copies of one request do not wait for one refresh",
        /// Request at an owner that is leaving: empty
        WatcherAskedLeaving,
        /// Request beyond the room for requests: EAGAIN
        WatcherAskedBeyondRoom => "the few clients of the simulation do not have 1024 requests at once",
        /// Request that is not known: Refresh
        WatcherAsked,
        /// the refresh has failed: its error
        WatcherRefreshFailed,
        /// refreshed, ownership is gone: empty
        WatcherRefreshedTooLate,
        /// refreshed: 0, StartOperation
        WatcherAccepted,
        /// Unknown at the owner: EOPNOTSUPP
        WatcherUnknownAtOwner => "every client of the simulation knows every message",
        /// Unknown elsewhere: empty
        WatcherUnknown => "every client of the simulation knows every message",
        /// OperationEnded with a final result: remembered, AsyncComplete
        WatcherEnded,
        /// OperationEnded, interrupted: AsyncComplete ERESTART
        WatcherEndedToRestart,
        /// OperationEnded while a progress notify is under way: AsyncComplete follows it
        WatcherEndedBehindProgress,
        /// AsyncComplete reached the requester: over
        WatcherDelivered,
        /// AsyncComplete that the requester did not ack: sent again after a back-off
        WatcherDeliversAgain,
        /// AsyncComplete that was sent ten times: given up
        WatcherDeliveryGivenUp => "who is silent for ten notifies in a row does not watch any more",
        /// AsyncComplete when there is nobody any more to tell: over
        WatcherDeliveryPointless,
    }

    /// `rbd_protocol::acquire::AcquireRequest`.
    Acquire = "acquire" {
        /// LOCK, Ok: Locked
        AcquireLocked,
        /// LOCK, EBUSY, a foreign lock was seen: Foreign
        AcquireForeign => "no client of the simulation locks by hand",
        /// LOCK, EBUSY, an error instead of the owner: finish with it
        AcquireOwnerUnread,
        /// LOCK, EBUSY, nobody was seen: LOCK
        AcquireNobodySeen,
        /// LOCK, EBUSY, the owner is this client instance: OwnerAlive
        AcquireOwnInstance,
        /// LOCK, EBUSY, an owner was seen: BREAK
        AcquireBreaks,
        /// LOCK, other error: finish with it
        AcquireFailed,
        /// LOCK, changed hands in eight rounds: EAGAIN
        AcquireRoundsOver => "with four clients at most the lock does not change hands at eight looks in a row",
        /// BREAK, Broken: LOCK
        AcquireBroken,
        /// BREAK, the owner lives or changed: OwnerAlive
        AcquireOwnerLives,
        /// BREAK, error: finish with it
        AcquireBreakFailed,
    }

    /// `rbd_protocol::break_lock::BreakRequest`.
    Break = "break" {
        /// start, the owner is me: OwnerIsSelf
        BreakSelf => "an acquire does not come here with a lock of its own instance, and nobody calls lock break",
        /// start, forced: GET_LOCKER
        BreakForced => "no client of the simulation calls lock break",
        /// start, else: LOOK
        BreakLooks,
        /// LOOK, error: finish with it
        BreakLookFailed,
        /// LOOK, the owner's instance watches: OwnerAlive
        BreakOwnerWatches,
        /// LOOK, nobody of the owner's watches: GET_LOCKER
        BreakNobodyWatches,
        /// GET_LOCKER, nobody: Broken
        BreakNobodyLocks,
        /// GET_LOCKER, another than the one to break: OwnerChanged
        BreakOwnerChanged,
        /// GET_LOCKER, foreign: OwnerChanged
        BreakForeign => "no client of the simulation locks by hand",
        /// GET_LOCKER, other error: finish with it
        BreakOwnerUnread,
        /// GET_LOCKER, the same: LOOK_AGAIN
        BreakSameOwner,
        /// LOOK_AGAIN, error: finish with it
        BreakSecondLookFailed,
        /// LOOK_AGAIN, the owner's instance watches: OwnerAlive
        BreakOwnerWatchesAgain,
        /// LOOK_AGAIN, else: BLOCKLIST
        BreakFences,
        /// LOOK_AGAIN, else, without fence: BREAK_LOCK
        BreakWithoutFence => "rbd_blocklist_on_break_lock is on in the simulation",
        /// BLOCKLIST, EBUSY: OwnerAlive
        BreakSpared,
        /// BLOCKLIST, other error: finish with it
        BreakFenceFailed,
        /// BLOCKLIST, Ok: BREAK_LOCK
        BreakFenced,
        /// BREAK_LOCK, Ok: Broken
        BreakDone,
        /// BREAK_LOCK, ENOENT: Broken
        BreakDoneBefore,
        /// BREAK_LOCK, other error: finish with it
        BreakFailed,
    }

    /// Of a maintenance operation: `rbd_protocol::invoke` and the loop in librbd.
    Invoke = "invoke" {
        /// REFRESH, error: finish with it
        InvokeRefreshFailed,
        /// ACQUIRE, the image is not writable: finish with its error
        InvokeNotWritable,
        /// ACQUIRE, the lock is not in use: LOCAL
        InvokeWithoutLock => "every image of the simulation has the feature exclusive-lock",
        /// ACQUIRE, asks the owner for the lock
        InvokeAsksForLock,
        /// ACQUIRE, tries the lock
        InvokeTries,
        /// handle, owner now: LOCAL
        InvokeLocal,
        /// handle, not the owner: REMOTE
        InvokeRemote,
        /// handle, fenced, session over, closed or gone: finish with that
        InvokeEnded,
        /// handle, other error: finish EROFS
        InvokeNoLock,
        /// REMOTE, done: finish
        InvokeRemoteDone,
        /// REMOTE, the owner stopped it: REFRESH
        InvokeRemoteStopped,
        /// REMOTE, the owner changed: REFRESH
        InvokeOwnerChanged,
        /// REMOTE, the own watch was registered anew: REFRESH
        InvokeWatchRenewed,
        /// REMOTE, no progress: REFRESH, the pacing begins anew
        InvokeNoProgress,
        /// REMOTE, two owners: REFRESH
        InvokeTwoOwners,
        /// REMOTE, two owners once more: finish EIO
        InvokeTwoOwnersAgain,
        /// REMOTE, no owner: REFRESH
        InvokeNoOwner,
        /// REMOTE, the owner has no room: REFRESH
        InvokeNoRoom => "the few clients of the simulation do not fill the owner's table of requests",
        /// REMOTE, EOPNOTSUPP: REFRESH, asks for the lock
        InvokeNotSupported => "every owner of the simulation knows every operation, and a rollback asks for the lock first",
        /// REMOTE, the answer does not decode: finish EBADMSG
        InvokeUndecodable => "no client of the simulation answers what does not decode",
        /// REMOTE, refused: finish with it
        InvokeRefused,
        /// REMOTE, the notify failed in a way that passes: REFRESH
        InvokeNotifyFailed,
        /// REMOTE, the notify failed: finish with it
        InvokeNotifyFailedForGood,
        /// REMOTE, failed: finish with it
        InvokeRemoteFailed,
        /// REMOTE, the image closes or is lost: finish with that
        InvokeRemoteOver,
        /// LOCAL, done: finish
        InvokeLocalDone,
        /// LOCAL, ERESTART: REFRESH
        InvokeLocalStopped,
        /// LOCAL, other error: finish with it
        InvokeLocalFailed,
        /// REFRESH, an owner has said meanwhile that it is done: finish
        InvokeHeardOfEnd,
        /// finish with an error, the record says that it is done: 0
        InvokeRecordedDone,
        /// finish with an error, the record says that it failed: what the record says
        InvokeRecordedFailed,
        /// finish with an error, nothing is recorded: withdrawn
        InvokeWithdrawn,
        /// finish with an error, an owner was faster than the withdrawal: what it says
        InvokeWithdrawnTooLate,
        /// finish with an error, the image is as it was to be: 0
        InvokeReached,
        /// finish with an error by which an owner without records may have done it: 0
        InvokeMayBeDone => "every owner of the simulation leaves records",
        /// an owner has ended the request before: its record is the result
        InvokeEndedBefore,
        /// a late copy of a request whose record has gone: ESTALE
        InvokeForgotten,
        /// finish with an error at the owner: recorded
        InvokeFailureRecorded,
    }

    /// `osd::Osd`: instances, fences, tids.
    Sessions = "sessions" {
        /// connect: live
        SessionStarted,
        /// connect beyond the room for sessions: EAGAIN
        SessionBeyondRoom => "the few clients of the simulation do not fill sessions_max",
        /// connect at the other door: live
        SessionOfCeph => "the clients of the simulation are our own",
        /// live, disconnect: ended
        SessionDisconnected,
        /// live, neither stream nor call for a while: ended
        SessionSilent,
        /// live, blocklisted: fenced
        SessionFenced,
        /// ended, blocklisted: fenced
        SessionFencedLate,
        /// ended, a call: ENOTCONN
        SessionOver,
        /// fenced, a call: EBLOCKLISTED
        SessionIsFenced,
        /// its address is blocklisted, a call: EBLOCKLISTED
        SessionIsListed => "only Ceph's commands blocklist addresses",
        /// live, the OSD is opened anew: live
        SessionRestored,
        /// fenced in the last moment, the OSD is opened anew: fenced
        SessionRestoredFenced,
        /// blocklisted by who is over itself: refused
        FenceOfDeadRefused,
        /// blocklisted unless it watches, and it does: EBUSY
        FenceOfWatcherRefused,
        /// blocklisted by itself: EINVAL
        FenceOfSelfRefused => "an acquire does not break a lock of its own instance",
        /// blocklisted once more: the entry's end moves
        FenceMoved,
        /// the entry's time is over: the instance stays fenced
        FenceExpired => "an entry lives for six minutes, and a universe is over before",
        /// the entry is removed: the instance stays fenced
        FenceRemoved => "no operator of the simulation takes an entry away",
        /// more than fenced_instances_max: the oldest is forgotten
        FenceForgotten => "the few clients of the simulation do not come to fenced_instances_max",
        /// the OSD is opened anew: fenced still
        FenceRestored,
        /// a tid that is new: runs
        TidNew,
        /// a vector's tid again: its stored reply
        TidAgain,
        /// a snapshot id's tid again: the same id
        TidOfSnapIdAgain => "our clients get a snapshot's id with the snapshot",
        /// a tid again for something else: EINVAL
        TidMixedUp => "our clients never use a tid for two things",
        /// a tid below the watermark: ESTALE
        TidTooLate,
        /// no tid: EINVAL
        TidMissing => "our clients number what changes something",
        /// replies beyond the limit that the watermark has not passed: EAGAIN
        TidsTooMany => "the few calls of a client of the simulation do not come to the limits",
        /// the watermark goes on: stored replies go
        WatermarkPassed,
        /// a reply's record is found when the OSD is opened anew: stored
        ReplyRestored,
    }

    /// `osd::watch`: watches, then notifies.
    WatchTable = "watch table" {
        /// register: connected
        WatchRegistered,
        /// any, register: connected, its whole new time
        WatchRegisteredAgain,
        /// register at a missing object: ENOENT
        WatchOfNothing,
        /// register beyond the room for watches: EMFILE
        WatchBeyondRoom => "the few clients of the simulation do not fill the limits of watches",
        /// connected, ping of its stream: its whole time
        WatchPinged,
        /// connected, stream lost: disconnected
        WatchLost,
        /// connected, stream replaced: disconnected
        WatchReplaced,
        /// connected, reconnect: connected
        WatchReconnectedConnected => "our clients reconnect on a new stream, which disconnects what the old one carried",
        /// disconnected, reconnect: connected
        WatchReconnected,
        /// gone, reconnect: ENOTCONN
        WatchReconnectedTooLate,
        /// connected, expired: gone, told so
        WatchExpired,
        /// disconnected, expired: gone
        WatchExpiredDisconnected,
        /// any, expired on purpose: gone
        WatchExpiredOnPurpose => "a fault of osd-sim's, which the simulation does not make",
        /// any, object removed: gone
        WatchObjectRemoved,
        /// any, fenced: gone
        WatchFenced,
        /// any, unwatch: gone
        WatchUnwatched,
        /// gone, unwatch: fine
        WatchUnwatchedAgain,
        /// any, session ended: gone
        WatchSessionEnded,
        /// any, the OSD is opened anew: disconnected, its whole time
        WatchRestored,
        /// session gone when the OSD is opened anew: gone
        WatchRestoredNobody,
        /// notify: sent to a watch
        NotifySent,
        /// notify, a watch is disconnected: waited for
        NotifyWaitsForDisconnected,
        /// notify, nobody watches: ends at once
        NotifyOfNobody,
        /// notify at a missing object: ENOENT
        NotifyOfNothing,
        /// notify beyond the room for notifies: EAGAIN
        NotifyBeyondRoom => "the few clients of the simulation do not fill the limits of notifies",
        /// pending, its watch comes back: sent again
        NotifySentAgain,
        /// pending, ack: counted
        NotifyAcked,
        /// ended, ack: ignored
        NotifyAckedTooLate,
        /// pending, ack of who is not waited for: ignored
        NotifyAckedAgain,
        /// pending, ack above a limit: counts without payload
        NotifyAckTooLarge => "acks of our clients are small",
        /// pending, time over: who has not answered has missed it
        NotifyTimedOut,
        /// pending, its watch is gone: not waited for
        NotifyStopsWaiting,
        /// pending, its stream was cut with the notify inside: missed unless acked
        NotifyUnheard => "streams of the simulation take what they are sent",
    }

    /// What a call hears (facts 4.6): by what a maintenance call ends, then what stays inside.
    Errors = "errors" {
        /// 0: done
        ErrorNone,
        /// EIO: two owners, or the store
        ErrorEio,
        /// EINVAL: no parent to flatten, or a bad argument
        ErrorEinval,
        /// EROFS: read-only, the peer keeps the lock, or it cannot be had
        ErrorErofs,
        /// EBLOCKLISTED: this client was fenced
        ErrorEblocklisted,
        /// EBUSY: protected, or it has children
        ErrorEbusy,
        /// ENOENT: header or snapshot gone
        ErrorEnoent,
        /// EEXIST: the name exists
        ErrorEexist => "the simulation gives snapshots and images fresh names",
        /// ESHUTDOWN: the image closes
        ErrorEshutdown,
        /// ENOTCONN: the session has ended
        ErrorEnotconn => "no client that lives is silent for as long as a session lasts",
        /// ESTALE: a late copy of a request that has ended
        ErrorEstale => "a call's own request is no late copy while it waits",
        /// EDQUOT: the snapshot limit
        ErrorEdquot => "no image of the simulation has a limit of snapshots",
        /// EOPNOTSUPP: neither the owner nor this client can
        ErrorEopnotsupp => "after EOPNOTSUPP a call asks for the lock, as long as its attempts are not limited",
        /// EBADMSG: the answer does not decode
        ErrorEbadmsg => "no client of the simulation answers what does not decode",
        /// ENOSYS: the feature is missing
        ErrorEnosys => "every image of the simulation has what its operations need",
        /// ERESTART: to be started over, which calls do themselves
        ErrorErestart => "a call starts over as long as its attempts are not limited",
        /// ETIMEDOUT: no owner, or no progress, which calls start over by themselves
        ErrorEtimedout => "a call starts over as long as neither its attempts nor its time are limited",
        /// any other number
        ErrorOther => "no other one leaves a call",
        /// ERESTART inside: stopped, the owner changed or its watch was renewed, no progress: starts over
        InsideErestart,
        /// ETIMEDOUT inside, no owner answered: starts over
        InsideEtimedout,
        /// EIO inside, two owners for the first time: starts over
        InsideEio,
        /// EOPNOTSUPP inside, the owner cannot run it: asks for the lock
        InsideEopnotsupp => "every owner of the simulation knows every operation, and a rollback asks for the lock first",
        /// ENOTCONN inside, the watch is lost: starts over
        InsideEnotconn => "an image keeps its handle until the watch is renewed, and no session of a client that lives ends",
        /// EAGAIN inside, no room: starts over
        InsideEagain => "the few clients of the simulation fill neither the table of requests nor that of notifies",
        /// another number inside
        InsideOther => "a round starts over by no other one",
        /// EAGAIN of the acquire, the owner lives: not the owner
        InsideOwnerLives,
        /// ERESTART of the owner, who is me: starts over
        InsideOwnerIsMe,
        /// EBUSY of the commit, the lock is lost: starts over
        InsideEbusy,
        /// ECANCELED of the commit, a record of the requester came in between: looked at again
        InsideEcanceled,
        /// ESTALE of a read, its snapshot was removed meanwhile: ENOENT
        InsideEstale,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("it is part of the project") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Names that stand behind `Mark::` in the code that decides.
    fn placed() -> BTreeSet<String> {
        let mut files = Vec::new();
        for name in ["rbd-protocol", "osd", "librbd"] {
            sources(&root().join("crates").join(name).join("src"), &mut files);
        }
        let mut names = BTreeSet::new();
        for file in files {
            let text = fs::read_to_string(file).expect("it is UTF-8");
            let after = text.split("Mark::").skip(1);
            let name = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
            names.extend(after.map(name));
        }
        names
    }

    #[test]
    fn every_mark_is_placed() {
        let placed = placed();
        let missing: Vec<_> = Mark::ALL.iter().filter(|mark| !placed.contains(&mark.to_string())).collect();
        assert!(missing.is_empty(), "no code reaches {missing:?}");
    }

    /// The numbers are those of the run that the page names.
    #[test]
    fn the_published_table_has_every_mark() {
        let page = fs::read_to_string(root().join("docs/marks.md")).expect("it is part of the project");
        let of_table =
            |line: &&str| Group::ALL.iter().any(|group| line.starts_with(&format!("| {group} | ")));
        let published: Vec<_> = page.lines().filter(of_table).collect();
        assert_eq!(published.len(), Mark::ALL.len(), "rows of docs/marks.md");
        for (line, mark) in published.into_iter().zip(Mark::ALL) {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [group, name, hits, row] = cells[..] else { panic!("{line}") };
            assert_eq!(
                (group, name, row),
                (mark.group().title(), &*mark.to_string(), &*mark.row()),
                "{line}"
            );
            let hits: u64 = hits.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(hits == 0 || mark.is_out_of_reach().is_none(), "{line}");
        }
    }
}
