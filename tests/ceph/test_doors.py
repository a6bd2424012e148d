"""Both kinds of clients on one image. RBD_SIM_LONG: the whole table, not only a part of it."""

import concurrent.futures
import os
import unittest

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
