"""What is asked of the owner of the lock, and is not answered as it should be."""

import os
import unittest

from hazards.hazard import EEXIST, FEATURES, Hazard
from hazards.session import Session

# How librbd's messages of these kinds begin: version, length, kind.
QUIESCE = "07011c00000012000000"
ASYNC_COMPLETE = "07012000000005000000"
TWO_WATCHERS = "(?s)watcher=.*watcher="


class OperationsTest(Hazard):
    def test_a_snapshot_that_is_asked_of_the_owner_never_ends_beside_a_mute_watcher(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            self.own(session, "i", "--rbd_quiesce_notification_attempts 1")
            session("hold --id mute i &")
            session.until("rbd status i", TWO_WATCHERS)
            session(f"rbd-client fault add notify drop --client mute --payload-prefix {QUIESCE}")
            session("rbd-client fault add request delay=1ms --client req --op lock.get_info")
            session("rbd --id req snap create --no-progress i@s & REQ=$!")
            # It asks who has the lock in each round of its circle, and the circle has no pause.
            session.until("rbd-client fault ls", r"(?m)^2 .* \d{3,} +\d+ +0 ")
            session.until("rbd-client fault ls", r"(?m)^2 .* ([3-9]\d\d|\d{4,}) +\d+ +0 ")
            self.assertEqual(session("rbd snap ls i"), "")
            session("rbd-client fault rm 1")
            rounds = int(session.until("rbd-client fault ls", r"(?m)^2 .* (\d+) +\d+ +0 ")[1])
            session.until("rbd-client fault ls", rf"(?m)^2 .* (?!{rounds} )\d+ +\d+ +0 ")
            session("kill -0 $REQ; echo $?")
            session("kill $OWN")
            self.assertEqual(session("wait $REQ; echo $?"), "0")
            self.assertIn(" s ", session("rbd snap ls i"))

        self.play(story, "snapshot-beside-a-mute-watcher")

    def test_a_snapshot_for_which_nobody_is_asked_to_quiesce_ends(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            self.own(session, "i", "--rbd_quiesce_notification_attempts 1")
            session("hold --id mute i &")
            session.until("rbd status i", TWO_WATCHERS)
            session(f"rbd-client fault add notify drop --client mute --payload-prefix {QUIESCE}")
            session("time rbd --id req snap create --skip-quiesce --no-progress i@skipped; echo $?")
            ignored = session("time rbd --id req snap create --ignore-quiesce-error --no-progress i@ignored; echo $?")
            self.assertGreater(self.seconds(ignored), 4, "it waited for who is mute")
            said = session("rbd snap ls i")
            self.assertTrue(" skipped " in said and " ignored " in said, said)

        self.play(story, "snapshot-without-quiesce")

    def test_a_snapshot_that_is_refused_is_said_to_be_made_when_nobody_is_asked_to_quiesce(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            session("rbd-client fault add request error=EIO --op rbd.snapshot_add --times 1")
            self.assertEqual(session("rbd snap create --skip-quiesce --no-progress i@s; echo $?"), "0")
            self.assertEqual(session("rbd snap ls i"), "")
            session("rbd-client fault reset")
            session("rbd-client fault add request error=EIO --op rbd.snapshot_add --times 1")
            self.assertEqual(session("rbd snap create --no-progress i@s; echo $?").split()[-1], "5")

        self.play(story, "refused-snapshot-without-quiesce")

    def test_an_rbd_client_is_told_that_a_snapshot_was_refused(self):
        def story(session: Session, _version: int) -> None:
            session(f"rbd create --size 16M --image-feature {FEATURES} i")
            session("rbd-client fault add request error=EIO --op rbd.snapshot_add --times 1")
            self.assertIn("EIO", session("rbd-client snap create --no-progress i@s; echo $?"))
            self.assertEqual(session("rbd snap ls i"), "")

        self.play(story)

    def test_an_rbd_client_that_owns_the_lock_makes_the_snapshot_beside_a_mute_watcher(self):
        def story(session: Session, _version: int) -> None:
            session(f"rbd create --size 16M --image-feature {FEATURES} i")
            self.grpc_client(1, "i").call("write", 0, "a1")
            session("hold --id mute i &")
            session.until("rbd status i", TWO_WATCHERS)
            session("rbd-client fault add notify drop --client mute")
            session("rbd-client --name req snap create i@one")
            session("rbd --id req snap create --no-progress i@two")
            self.assertNotRegex(session("rbd-client fault ls"), "(?m)^1 .* 0 +0 +0 ", "it was mute")

        self.play(story)

    def test_who_asked_an_owner_that_died_after_it_was_done_is_told_what_comes_of_a_second_time(self):
        def story(session: Session, version: int) -> None:
            session("rbd create --size 16M i")
            self.own(session, "i")
            session(f"rbd-client fault add request drop --client own --op notify --payload-prefix {ASYNC_COMPLETE}")
            session("rbd --id req --rbd_request_timed_out_seconds 3 snap create --no-progress i@s & REQ=$!")
            session.until("rbd-client fault ls", " 1 +1 +0 ")
            session("kill -9 $OWN")
            said = session("wait $REQ; echo $?")
            self.assertEqual(said.splitlines()[-1], str(EEXIST if version >= 18 else 0), said)
            self.assertIn("listed 1 entries", session("ceph osd blocklist ls"), "it took the lock itself")
            self.assertIn(" s ", session("rbd snap ls i"))

        self.play(story, "owner-died-after-it-was-done")

    def test_rbd_client_is_told_that_it_was_done_by_an_owner_that_died(self):
        def story(session: Session, _version: int) -> None:
            session(f"rbd create --size 16M --image-feature {FEATURES} i")
            owner = self.grpc_client(1, "i")
            owner.call("write", 0, "a1")
            session("rbd-client fault add request drop --client 'client 1' --op notify --notify async-complete")
            session("rbd-client --name req snap create i@s & REQ=$!")
            session.until("rbd-client fault ls", " 1 +1 +0 ")
            session("kill -0 $REQ")
            owner.kill()
            self.assertEqual(session("wait $REQ; echo $?"), "0")
            self.assertIn(" s ", session("rbd snap ls i"))

        self.play(story)

    @unittest.skipUnless(os.environ.get("RBD_SIM_LONG"), "an answer that is lost comes again after five seconds")
    def test_an_answer_that_comes_twice_or_late_harms_nobody(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            self.own(session, "i")
            session(f"rbd-client fault add notify duplicate --client req --payload-prefix {ASYNC_COMPLETE} --times 1")
            session("rbd --id req snap create --no-progress i@twice")
            session(f"rbd-client fault add notify drop --client req --payload-prefix {ASYNC_COMPLETE} --times 1")
            session("rbd --id req snap create --no-progress i@late")
            self.assertIn(" 1     0 ", session("rbd-client fault ls"))

        self.play(story)
