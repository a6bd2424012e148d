"""Both kinds of clients on one image. RBD_SIM_LONG: the whole table, not only a part of it."""

import concurrent.futures
import errno
import json
import os
import struct
import unittest

import rados
import rbd

from clusters import OsdSim
from doors import table
from doors.stage import GRPC, MIB, REAL, SIZE, Stage

# Rows that are played at a time: they wait more than they work.
WIDTH = 6


class DoorsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sim = cls.enterClassContext(OsdSim("--preset", "ci"))
        cls.stage = Stage(cls.sim)

    def test_every_row_of_the_table_comes_to_what_it_must(self):
        rows = list(table.rows() if os.environ.get("RBD_SIM_LONG") else table.few())
        with concurrent.futures.ThreadPoolExecutor(WIDTH) as pool:
            played = {pool.submit(table.play, self.stage, row): row for row in rows}
            for done in concurrent.futures.as_completed(played):
                with self.subTest(str(played[done])):
                    done.result()

    def test_rbd_client_removes_an_image_whose_snapshot_a_librbd_left_in_the_trash(self):
        """librbd puts each snapshot there before it removes it; this one has died in between. One that it is about to remove stays."""
        stage = self.stage
        stage.make("trashed")
        stage.rbd("snap", "create", "--no-progress", "trashed@s")
        header = f"rbd_header.{stage.info(REAL, 'trashed')['id']}"
        (snapshot,) = json.loads(stage.rbd("--format", "json", "snap", "ls", "trashed"))
        with rados.Rados(conffile=stage.sim.conf) as cluster, cluster.open_ioctx("rbd") as pool:
            pool.execute(header, "rbd", "snapshot_trash_add", struct.pack("<Q", snapshot["id"]))
            with rbd.Image(pool, "trashed"):
                run = stage.run(GRPC, "rm", "--no-progress", "trashed")
                self.assertEqual(run.returncode, errno.EBUSY, run.stderr)
            stage.must(GRPC, "rm", "--no-progress", "trashed")
            self.assertEqual([each.key for each in pool.list_objects() if header.removeprefix("rbd_header.") in each.key], [])

    def test_an_image_with_features_that_rbd_client_does_not_maintain_is_read_and_not_changed(self):
        stage = self.stage
        run = stage.run(GRPC, "pool", "create", "data")
        self.assertEqual(run.returncode, 0, run.stderr)
        images = {
            "object-map, fast-diff": ("layering,exclusive-lock,object-map,fast-diff,deep-flatten",),
            "data-pool": ("layering", "--data-pool", "data"),
        }
        for features, how in images.items():
            image = features.replace(", ", "-")
            stage.make(image, *how)
            stage.rbd("snap", "create", "--no-progress", f"{image}@s")
            info = stage.info(GRPC, image)
            self.assertEqual((info["features"], info["size"]), (stage.info(REAL, image)["features"], SIZE))
            self.assertEqual(stage.snapshots(GRPC, image), {"s"})
            self.assertTrue(stage.export(GRPC, image) == stage.content, image)
            self.assertTrue(stage.export(GRPC, f"{image}@s") == stage.content, image)
            self.assertIn(image, stage.must(GRPC, "ls"))
            for change in (
                ("resize", "--size", str(SIZE // MIB + 1), image),
                ("snap", "create", f"{image}@t"),
                ("snap", "rm", f"{image}@s"),
                ("snap", "rollback", f"{image}@s"),
                ("snap", "protect", f"{image}@s"),
                ("flatten", image),
                ("rename", image, f"{image}-other"),
                ("rm", image),
            ):
                run = stage.run(GRPC, *change)
                self.assertNotEqual(run.returncode, 0, change)
                self.assertIn(f"does not maintain its features {features}", run.stderr, change)
            self.assertTrue(stage.export(REAL, image) == stage.content, image)
            self.assertEqual(stage.snapshots(REAL, image), {"s"})


if __name__ == "__main__":
    unittest.main()
