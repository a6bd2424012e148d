"""The exclusive lock that is not had, not given or taken away."""

import os
import time
import unittest

from demo.player import Failed

from hazards.hazard import EBLOCKLISTED, EROFS, FEATURES, WRITE, Hazard
from hazards.session import Session

# How librbd's messages of these kinds begin: version, length, kind.
RELEASED_LOCK = "07011400000001000000"
REQUEST_LOCK = "07011500000002000000"
BLOCK = 4096
SHUTDOWN = "(108) Cannot send after transport endpoint shutdown"


class LockTest(Hazard):
    def test_a_write_to_an_image_that_is_locked_by_hand_never_returns_and_never_rests(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            session("rbd lock add i mine")
            session("rbd-client fault add request delay=1ms --client w --op lock.get_info")
            session(f"rbd --id w {WRITE} i > w.log & W=$!")
            began = time.monotonic()
            session.until("rbd-client fault ls", r"(?m)^1 .* [2-9]\d\d +\d+ +0 ")
            self.assertLess(time.monotonic() - began, 10, "200 rounds")
            said = session("rbd resize --size 32M --no-progress i; echo $?")
            self.assertTrue(said.endswith(f"\n{EROFS}"), said)
            session("kill -0 $W; echo $?")
            session("rbd lock rm i mine $(rbd lock ls i | awk '/mine/ { print $1 }')")
            self.assertEqual(session("wait $W; echo $?"), "0")

        self.play(story, "lock-by-hand")

    def test_an_rbd_client_that_waits_for_a_lock_by_hand_asks_ten_times_a_second(self):
        def story(session: Session, _version: int) -> None:
            session(f"rbd create --size 16M --image-feature {FEATURES} i")
            session("rbd lock add i mine")
            session("rbd-client fault add request delay=1ms --client 'client 1' --op lock.get_info")
            client = self.grpc_client(1, "i")
            began = time.monotonic()
            call = client.begin("write", 0, "a1")
            asked = int(session.until("rbd-client fault ls", r"(?m)^1 .* (\d{2,}) +\d+ +0 ")[1])
            took = time.monotonic() - began
            self.assertLessEqual(asked / took, 20, "--rbd-retry-delay is 0.1 s in preset ci")
            self.assertFalse(call.is_over())
            session("rbd lock rm i mine $(rbd lock ls i | awk '/mine/ { print $1 }')")
            call.result()

        self.play(story)

    def test_who_is_fenced_in_the_middle_is_told_at_once(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            for cache, status in (("false", EBLOCKLISTED), ("true", 0)):
                fence = "rbd-client fault add request blocklist --client w --op 'write*' --object 'rbd_data.*'"
                session(f"{fence} --skip 5 --times 1")
                bench = "bench --io-type write --io-size 4K --io-total 64K --io-threads 1 --io-pattern seq"
                said = session(f"time rbd --id w --rbd_cache {cache} {bench} i; echo $?")
                self.assertIn(SHUTDOWN, said)
                self.assertEqual(said.splitlines()[-1], str(status))
                self.assertLess(self.seconds(said), 3)
                session("rbd-client fault reset")

        self.play(story, "fenced-in-the-middle")

    def test_who_is_fenced_while_it_waits_for_the_lock_is_told_at_once(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            self.own(session, "i")
            session(f"rbd-client fault add request blocklist --client b --op notify --payload-prefix {REQUEST_LOCK} --times 1")
            said = session(f"time rbd --id b {WRITE} i; echo $?")
            self.assertTrue(SHUTDOWN in said and said.endswith(f"\n{EBLOCKLISTED}"), said)
            self.assertLess(self.seconds(said), 3)

        self.play(story, "fenced-while-it-waits")

    def test_a_fenced_rbd_client_is_told_at_once_and_can_begin_anew(self):
        def story(session: Session, _version: int) -> None:
            session(f"rbd create --size 16M --image-feature {FEATURES} i")
            client = self.grpc_client(1, "i")
            client.call("write", 0, "a1")
            session("rbd-client fault add request blocklist --client 'client 1' --op 'write*' --object 'rbd_data.*' --times 1")
            with self.assertRaises(Failed) as fenced:
                client.call("write", 0, "b2" * BLOCK)
            self.assertEqual(fenced.exception.errno, EBLOCKLISTED)
            client.call("reopen")
            client.call("write", 0, "c3" * BLOCK)

        self.play(story)

    def hand_over_without_its_release(self, session: Session, *options: str) -> float:
        """Seconds until the write of who wants the lock is done."""
        session("rbd create --size 16M i")
        self.own(session, "i")
        session(f"rbd-client fault add notify drop --client b --payload-prefix {RELEASED_LOCK} --times 1")
        took = self.seconds(session(" ".join(["time rbd --id b", *options, WRITE, "i > b.log"])))
        self.assertIn(" 1     0 ", session("rbd-client fault ls"))
        return took

    def test_who_does_not_hear_that_the_lock_is_free_asks_anew_after_client_notify_timeout(self):
        def story(session: Session, _version: int) -> None:
            took = self.hand_over_without_its_release(session, "--client_notify_timeout 2")
            self.assertTrue(1.5 < took < 8, took)

        self.play(story, "release-that-is-not-heard-in-2-seconds")

    @unittest.skipUnless(os.environ.get("RBD_SIM_LONG"), "ten seconds, and more with each version")
    def test_who_does_not_hear_that_the_lock_is_free_waits_for_ten_seconds(self):
        def story(session: Session, _version: int) -> None:
            took = self.hand_over_without_its_release(session)
            self.assertTrue(9 < took < 16, took)

        self.play(story, "release-that-is-not-heard")

    def test_an_rbd_client_asks_anew_when_a_release_was_not_heard(self):
        def story(session: Session, _version: int) -> None:
            session(f"rbd create --size 16M --image-feature {FEATURES} i")
            self.grpc_client(1, "i").call("write", 0, "a1")
            session("rbd-client fault add notify drop --client 'client 2' --notify released-lock --times 1")
            client = self.grpc_client(2, "i", "--client-notify-timeout", "2s")
            began = time.monotonic()
            client.call("write", 0, "b2")
            took = time.monotonic() - began
            self.assertTrue(1.5 < took < 8, took)
            self.assertIn(" 1     0 ", session("rbd-client fault ls"))

        self.play(story)

    def test_an_owner_whose_release_meets_the_refresh_after_a_snapshot_does_nothing_more(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            self.own(session, "i")
            session("rbd-client fault add request hold --client own --op allocate_snap_id")
            session("rbd --id req snap create --no-progress i@s & REQ=$!")
            session.until("rbd-client fault ls", r"(?m)^1 .* 1 +1 +1 ")
            session("rbd image-meta set i k v")
            session("rbd-client fault add reply hold --client own --op rbd.get_snapcontext")
            session("kill -USR1 $OWN")
            session.until("rbd-client fault ls", r"(?m)^2 .* 1 +1 +1 ")
            session("rbd-client fault rm 1")
            self.assertEqual(session("wait $REQ; echo $?"), "0")
            session("rbd-client fault rm 2")
            session("rbd-client fault add request delay=1ms --client b --op notify --notify request-lock")
            session(f"rbd --id b {WRITE} i > b.log & B=$!")
            session.until("rbd-client fault ls", r"(?m)^3 .* [2-9] +[2-9] +0 ")
            self.assertIn(" auto ", session("rbd lock ls i"))
            self.assertEqual(session("kill -0 $B; echo $?"), "0")
            session("kill -9 $OWN")
            self.assertEqual(session("wait $B; echo $?"), "0")

        self.play(story, "release-meets-refresh")
