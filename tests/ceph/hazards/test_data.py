"""Bytes that are lost, and images that cannot be opened, after a crash or a fault at the wrong moment."""

from demo.player import Failed

from hazards.hazard import ENOENT, EROFS, FEATURES, WRITE, Hazard
from hazards.session import Session

OBJECT = 4 << 20


class DataTest(Hazard):
    def crash_in_the_copy_up(self, session: Session, image: str) -> None:
        """The object map says that object 0 exists; it does not."""
        rule = session("rbd-client fault add request drop --client a --op rbd.sparse_copyup").split()[1]
        session(f"rbd --id a {WRITE} {image} > a.log 2>&1 & A=$!")
        session.until("rbd-client fault ls", rf"(?m)^{rule} .* 1 +1 +0 ")
        session("kill -9 $A")
        session(f"rbd-client fault rm {rule}")

    def test_flatten_trusts_the_object_map_of_a_client_that_died(self):
        def story(session: Session, version: int) -> None:
            self.parent_and_clone(session)
            self.crash_in_the_copy_up(session, "c")
            session("rbd export --no-progress c before")
            session("rbd flatten --no-progress c; echo $?")
            session("rbd export --no-progress c after")
            session("sha256sum raw before after")
            raw, before, after = (session.bytes(name) for name in ("raw", "before", "after"))
            self.assert_equal_bytes(before, raw, "nothing is lost before the flatten")
            lost = bytes(OBJECT) + raw[OBJECT:]
            self.assert_equal_bytes(after, lost if version < 18 else raw, "after the flatten")

        self.play(story, "flatten-trusts-the-object-map")

    def test_rbd_client_trusts_no_object_map(self):
        def story(session: Session, _version: int) -> None:
            self.parent_and_clone(session)
            self.crash_in_the_copy_up(session, "c")
            said = session("rbd-client flatten c; echo $?")
            self.assertIn("does not maintain its features object-map, fast-diff", said)
            self.assertTrue(said.endswith(f"\n{EROFS}"), said)
            session("rbd feature disable c fast-diff object-map")
            session("rbd-client flatten c")
            session("rbd export --no-progress c after")
            session("sha256sum raw after")
            self.assert_equal_bytes(session.bytes("after"), session.bytes("raw"), "after the flatten")

        self.play(story, "rbd-client-trusts-no-object-map")

    def test_flatten_without_the_object_map_loses_nothing(self):
        def story(session: Session, _version: int) -> None:
            self.parent_and_clone(session)
            self.crash_in_the_copy_up(session, "c")
            session("rbd feature disable c fast-diff object-map")
            session("rbd flatten --no-progress c")
            session("rbd export --no-progress c after")
            self.assert_equal_bytes(session.bytes("after"), session.bytes("raw"), "after the flatten")

        self.play(story)

    def test_a_flatten_that_died_before_its_last_step_leaves_a_child_that_cannot_be_opened(self):
        def story(session: Session, _version: int) -> None:
            self.parent_and_clone(session, "--image-feature", FEATURES)
            session("rbd-client fault add request drop --client a --op rbd.parent_detach")
            session("rbd --id a flatten --no-progress c > a.log 2>&1 & A=$!")
            session.until("rbd-client fault ls", " 1 +1 +0 ")
            session("kill -9 $A")
            self.assertEqual(session("rbd children p@s"), "", "nobody refers to the snapshot")
            session("rbd snap rm --no-progress p@s")
            self.assertTrue(session("rbd info c; echo $?").endswith(f"error opening image c: (2) No such file or directory\n{ENOENT}"))
            self.assertTrue(session("rbd flatten c; echo $?").endswith(f"\n{ENOENT}"))
            session("rbd-client export c out")
            self.assert_equal_bytes(session.bytes("out"), session.bytes("raw"), "by rbd-client")
            session("rbd-client flatten c")
            session("rbd export --no-progress c healed")
            session("sha256sum raw out healed")
            self.assert_equal_bytes(session.bytes("healed"), session.bytes("raw"), "by rbd, after rbd-client's flatten")

        self.play(story, "flatten-died-before-its-last-step")

    def test_flatten_again_heals_a_child_whose_parent_is_still_there(self):
        def story(session: Session, _version: int) -> None:
            self.parent_and_clone(session)
            session("rbd-client fault add request drop --client a --op rbd.parent_detach")
            session("rbd --id a flatten --no-progress c > a.log 2>&1 & A=$!")
            session.until("rbd-client fault ls", " 1 +1 +0 ")
            session("kill -9 $A")
            session("rbd flatten --no-progress c")
            session("rbd snap rm --no-progress p@s")
            self.assertEqual(session("rbd info c | grep parent; echo $?"), "1", "no parent")

        self.play(story, "flatten-again-heals")

    def test_the_export_of_a_snapshot_that_is_removed_meanwhile_goes_on_with_zeros(self):
        def story(session: Session, _version: int) -> None:
            self.image(session, "i")
            session("rbd snap create --no-progress i@s")
            session("rbd bench --io-type write --io-size 4M --io-total 16M --io-threads 1 --io-pattern seq i > bench.log")
            session("rbd-client fault add request hold --client exp --op '*read' --object 'rbd_data.*' --skip 2 --times 1")
            session("rbd --id exp --rbd_concurrent_management_ops 1 export i@s out 2> export.log & EXPORT=$!")
            session.until("rbd-client fault ls", " 3 +1 +1 ")
            session("rbd snap rm --no-progress i@s")
            session("rbd-client fault release")
            self.assertEqual(session("wait $EXPORT; echo $?"), "0")
            said = session("tail -c 24 export.log; cmp raw out; sha256sum raw out")
            self.assertIn("100% complete...done.", said)
            raw, out = session.bytes("raw"), session.bytes("out")
            self.assert_equal_bytes(out, raw[: 2 * OBJECT] + bytes(2 * OBJECT), "zeros from the third object on")

        self.play(story, "export-of-a-removed-snapshot")

    def test_rbd_clients_export_of_a_snapshot_that_is_removed_meanwhile_fails(self):
        def story(session: Session, _version: int) -> None:
            self.image(session, "i")
            session("rbd snap create --no-progress i@s")
            session("rbd-client fault add request hold --client exp --op '*read' --object 'rbd_data.*' --skip 2 --times 1")
            session("rbd-client --name exp --rbd-concurrent-management-ops 1 export i@s out 2> export.log & EXPORT=$!")
            session.until("rbd-client fault ls", " 3 +1 +1 ")
            session("rbd snap rm --no-progress i@s")
            session("rbd-client fault release")
            said = session("wait $EXPORT; echo $?; cat export.log; ls")
            self.assertTrue(said.startswith(f"{ENOENT}\n"), said)
            self.assertNotIn("out", said.split())

        self.play(story, "rbd-client-export-of-a-removed-snapshot")

    def test_a_copy_up_that_is_refused_hides_the_parents_data_in_a_clone_with_snapshots(self):
        def story(session: Session, _version: int) -> None:
            self.parent_and_clone(session)
            session("rbd snap create --no-progress c@t")
            session("rbd export --no-progress c before")
            session("rbd-client fault add request error=EIO --op rbd.sparse_copyup --times 1")
            self.assertEqual(session("rbd flatten --no-progress c; echo $?").split()[-1], "5")
            session("rbd export --no-progress c after")
            self.assertEqual(session("cmp before after; echo $?").split()[-1], "1")

        self.play(story, "copy-up-that-is-refused")

    def test_rbd_client_loses_nothing_by_a_copy_up_that_is_refused(self):
        def story(session: Session, _version: int) -> None:
            self.parent_and_clone(session, f"--image-feature {FEATURES}")
            session("rbd snap create --no-progress c@t")
            session("rbd export --no-progress c before")
            session("rbd-client fault add request error=EIO --op 'rbd.*copyup' --times 1")
            self.assertIn("EIO", session("rbd-client flatten --no-progress c; echo $?"))
            session("rbd export --no-progress c after")
            self.assertEqual(session("cmp before after; echo $?"), "0")

        self.play(story)

    def test_one_failed_update_switches_the_object_map_off_for_good(self):
        def story(session: Session, _version: int) -> None:
            session("rbd create --size 16M i")
            session("rbd-client fault add request error=EIO --op rbd.object_map_update --times 1")
            session(f"rbd {WRITE} i > bench.log; echo $?")
            invalid = "flags: object map invalid, fast diff invalid"
            self.assertIn(invalid, session("rbd info i | grep flags"))
            self.assertIn("fast-diff map is invalid for i. operation may be slow", session("rbd du i"))
            session(f"rbd {WRITE} i > bench.log; echo $?")
            self.assertIn(invalid, session("rbd info i | grep flags"))
            session("rbd object-map rebuild --no-progress i")
            self.assertEqual(session("rbd info i | grep flags").split(), ["flags:"])
            # Whoever maintains no object map cannot spoil one.
            client = self.grpc_client(1, "i")
            with self.assertRaisesRegex(Failed, "does not maintain its features object-map, fast-diff"):
                client.call("write", 0, "b1")

        self.play(story, "object-map-invalid")

    def test_who_has_lost_its_watch_writes_into_the_snapshot_that_it_has_not_heard_of(self):
        def story(session: Session, _version: int) -> None:
            self.image(session, "i")
            session("hold --id late i & LATE=$!")
            session.until("rbd status i", "watcher=")
            session("rbd-client fault add request disconnect --client late")
            session.until("rbd status i", "Watchers: none")
            session("rbd snap create --no-progress i@s")
            session("rbd export --no-progress i@s before")
            session("rbd-client fault add reply hold --client late --op reconnect")
            session("rbd-client fault rm 1")
            session.until("rbd-client fault ls", r"(?m)^2 .* [1-9] +[1-9] +[1-9] ")
            session("kill -USR2 $LATE")
            session.until("rm -f now; rbd export --no-progress i now; cmp raw now; echo $?", "1$")
            session("rbd export --no-progress i@s after")
            session("cmp before after; echo $?")
            before, after = session.bytes("before"), session.bytes("after")
            self.assert_equal_bytes(before, session.bytes("raw"), "it was taken of what was there")
            self.assert_equal_bytes(after, b"\x5a" * 4096 + before[4096:], "and holds what was written after it")

        self.play(story, "write-without-a-watch")
