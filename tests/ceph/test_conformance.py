"""The conformance play's own rules: what the normaliser hides and what it does not, transcripts, what counts as a difference."""

import pathlib
import tempfile
import unittest

import bounded
from conformance import compare, steps, transcript
from conformance.normalise import Normaliser
from conformance.player import Turn
from conformance.steps import Step

INFO = """\
rbd image 'i1':
\tsize 20 MiB in 5 objects
\torder 22 (4 MiB objects)
\tsnapshot_count: 0
\tid: {id}
\tblock_name_prefix: rbd_data.{id}
\tfeatures: layering, exclusive-lock, object-map, fast-diff, deep-flatten
\tcreate_timestamp: {created}
"""
HERE = INFO.format(id="10106b8b4567", created="Fri Nov 27 22:38:24 2026")
THERE = INFO.format(id="1767692423a3", created="Sat Nov 28 01:02:03 2026")
STATUS = """\
Watchers:
\twatcher=127.0.0.1:0/{nonce} client.{gid} cookie={cookie}
"""


def normal(*texts: str) -> list[str]:
    """The texts of one play."""
    normaliser = Normaliser()
    return [normaliser.text(text) for text in texts]


class NormaliserTest(unittest.TestCase):
    def assert_alike(self, here: str, there: str):
        self.assertEqual(normal(here), normal(there))

    def assert_seen(self, here: str, there: str):
        self.assertNotEqual(normal(here), normal(there), "the difference was hidden")

    def test_what_differs_between_any_two_clusters_is_alike(self):
        self.assert_alike(HERE, THERE)
        self.assert_alike(
            STATUS.format(nonce=381, gid=4123, cookie=94523116), STATUS.format(nonce=99999381, gid=176769242392, cookie=1)
        )
        self.assert_alike("librbd::Image 0x55d0c0ffee00 failed", "librbd::Image 0x7f0000000000 failed")
        self.assert_alike("3b1e4cb1-84e6-4e6b-8c3a-1d32f6ee4a90\n", "00000000-0000-4000-8000-000000000001\n")
        self.assert_alike("0%\r50%\rResizing image: 100% complete...done.\n", "0%\rResizing image: 100% complete...done.\n")
        rates = "elapsed: {}   ops: 16   ops/sec: {}   bytes/sec: {} MiB/s\n"
        self.assert_alike(rates.format(0, "1234.5", "5.1"), rates.format(11, "2.51", "0.01"))
        self.assert_alike("blocklisting 192.0.2.1:0/7 until 2026-11-27T23:43:35.1+0000 (3600 sec)", "blocklisting 192.0.2.1:0/7 until 2027-01-01T00:00:00.9+0000 (3600 sec)")

    def test_a_changed_size_name_order_or_count_is_seen(self):
        for old, new in (("20 MiB", "21 MiB"), ("in 5 objects", "in 6 objects"), ("'i1'", "'i2'"), ("order 22", "order 21")):
            self.assert_seen(HERE, THERE.replace(old, new))
        self.assert_seen(HERE, THERE.replace(", fast-diff", ""))
        self.assert_seen(HERE, THERE.replace("snapshot_count: 0", "snapshot_count: 1"))
        self.assert_seen(HERE, "\n".join(reversed(THERE.splitlines())))
        self.assert_seen("[\"a\",\"b\"]", "[\"b\",\"a\"]")
        self.assert_seen("elapsed: 0   ops: 16   ops/sec: 1   bytes/sec: 2 MiB/s", "elapsed: 0   ops: 17   ops/sec: 1   bytes/sec: 2 MiB/s")
        self.assert_seen("blocklisting 192.0.2.1:0/7 until 2026-11-27T23:43:35.1+0000 (3600 sec)", "blocklisting 192.0.2.1:0/7 until 2026-11-27T23:43:35.1+0000 (60 sec)")

    def test_hashes_sizes_and_small_gids_are_no_ids(self):
        digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        for text in (digest, "1073741824", '{"size":25165824}', "client.1", "(22) Invalid argument", "192.0.2.1:0/7"):
            self.assertEqual(normal(text), [text])

    def test_an_error_of_another_kind_or_text_is_seen(self):
        error = "rbd: error opening image i1: (2) No such file or directory"
        self.assert_seen(error, error.replace("(2) No such file or directory", "(22) Invalid argument"))
        self.assert_seen(error, "")
        self.assert_seen(error, error + "\n" + error)

    def test_an_identity_keeps_its_label_and_another_gets_another(self):
        first, second = STATUS.format(nonce=1, gid=4123, cookie=1), STATUS.format(nonce=2, gid=4124, cookie=1)
        self.assertEqual(normal(first, second, first)[2], normal(first)[0])
        self.assertNotEqual(normal(first, second), normal(first, first))
        self.assertEqual(normal(HERE, "rbd_header.10106b8b4567"), normal(THERE, "rbd_header.1767692423a3"))
        self.assertNotEqual(normal(HERE, "rbd_header.10106b8b4567"), normal(THERE, "rbd_header.99999"))


class CompareTest(unittest.TestCase):
    STEP = Step("images", steps.SHELL, "rbd info i1")

    def turn(self, status: int | None = 0, stdout: str = "", stderr: str = "", step: Step = STEP) -> Turn:
        return Turn(step, status, stdout, stderr)

    def compare(self, there: Turn, here: Turn, reasons: dict[str, str] | None = None) -> list[compare.Difference]:
        return compare.compare([there], [here], reasons or {})

    def test_status_output_and_errors_are_compared(self):
        self.assertEqual(self.compare(self.turn(stdout="a\n"), self.turn(stdout="a\n")), [])
        for here in (self.turn(status=2), self.turn(status=None), self.turn(stdout="a\n"), self.turn(stderr="a\n")):
            self.assertEqual(len(self.compare(self.turn(), here)), 1)

    def test_a_step_that_is_played_twice_is_compared_each_time(self):
        there = [self.turn(stdout="before\n"), self.turn(stdout="after\n")]
        self.assertEqual(compare.compare(there, there, {}), [])
        self.assertEqual(len(compare.compare(there, list(reversed(there)), {})), 2)
        self.assertEqual(len(compare.compare(there, [*there, there[1]], {})), 1)

    def test_a_listed_difference_has_a_reason_unless_the_status_differs(self):
        reasons = {self.STEP.text(): "statistics"}
        self.assertEqual(self.compare(self.turn(), self.turn(stdout="a\n"), reasons)[0].reason, "statistics")
        self.assertIsNone(self.compare(self.turn(), self.turn(status=2), reasons)[0].reason)

    def test_a_step_that_was_not_recorded_is_a_failure(self):
        other = Step("images", steps.SHELL, "rbd info i2")
        self.assertIsNone(self.compare(self.turn(), self.turn(step=other), {other.text(): "any"})[0].reason)

    def test_a_listed_difference_that_is_none_is_found(self):
        reasons = {self.STEP.text(): "statistics", "$ rbd gone": "no step"}
        there, here = [self.turn()], [self.turn()]
        found = compare.needless(there, compare.compare(there, here, reasons), [self.STEP], reasons)
        self.assertEqual(found, list(reasons))
        here = [self.turn(stdout="a\n")]
        found = compare.needless(there, compare.compare(there, here, reasons), [self.STEP], reasons)
        self.assertEqual(found, ["$ rbd gone"])

    def test_sixteen_differences_are_too_many(self):
        with tempfile.TemporaryDirectory(prefix="rbd-sim-") as directory:
            path = pathlib.Path(directory) / "differences.toml"
            path.write_text("".join(f'[[difference]]\nstep = "$ {n}"\nreason = "r"\n' for n in range(15)))
            self.assertEqual(len(compare.listed(path)), 15)
            path.write_text(path.read_text() + '[[difference]]\nstep = "$ 15"\nreason = "r"\n')
            with self.assertRaises(SystemExit):
                compare.listed(path)


class ToolsTest(unittest.TestCase):
    """What the steps have on their PATH."""

    def run_step(self, code: str) -> bounded.Run:
        environment = {"PATH": f"{steps.HERE / 'bin'}:/usr/bin:/bin"}
        return bounded.run(["bash", "-c", code], 20, environment, "/")

    def test_show_tells_values_by_their_paths_and_refuses_what_is_no_json(self):
        run = self.run_step("""echo '{"a": [{"b": "c"}, 2], "d": null}' | show a.0.b a.1 d a.2 x.y""")
        self.assertEqual(run, bounded.Run(0, b'a.0.b "c"\na.1 2\nd null\na.2 -\nx.y -\n', b""))
        self.assertEqual(self.run_step("echo no | show a").status, 1)

    def test_last_keeps_status_output_and_the_last_line_of_the_errors(self):
        run = self.run_step("last bash -c 'echo out; echo help >&2; echo error >&2; exit 22'")
        self.assertEqual(run, bounded.Run(22, b"out\n", b"error\n"))


class ScriptTest(unittest.TestCase):
    def test_the_script_is_recorded_step_by_step(self):
        recorded = transcript.read(steps.HERE / "recorded.txt")
        self.assertEqual([turn.step for turn in recorded], steps.script())
        self.assertGreaterEqual(len(recorded), 150)
        self.assertEqual([turn.step.text() for turn in recorded if turn.status is None], [], "killed on the real cluster")

    def test_identities_are_numbered_anew_in_each_section(self):
        def turn(section: str, gid: int) -> Turn:
            return Turn(Step(section, steps.SHELL, "rbd status i1"), 0, f"client.{gid}\n", "")

        whole = list(transcript.normalised([turn("a", 4101), turn("a", 4102), turn("b", 4103)]))
        self.assertEqual([found.stdout for found in whole], ["client.<gid 1>\n", "client.<gid 2>\n", "client.<gid 1>\n"])
        self.assertEqual(list(transcript.normalised([turn("b", 5000)])), whole[2:])

    def test_a_transcript_is_read_as_it_was_written(self):
        turns = [
            Turn(Step("a", steps.SHELL, "rbd ls"), 0, "| one\n\n= 3\n", "! no\n"),
            Turn(Step("b", steps.PYTHON, "for name in names:\n    print(name)"), None, "", "$ said\n"),
        ]
        with tempfile.TemporaryDirectory(prefix="rbd-sim-") as directory:
            path = pathlib.Path(directory) / "transcript"
            transcript.write(path, turns)
            self.assertEqual(transcript.read(path), turns)

    def test_a_line_that_is_no_step_is_refused(self):
        self.assertEqual(len(steps.parse("s", "# remark\n\n$ one\n>>> two\n... three\n")), 2)
        for text in ("one", "... two", "$ one\n... two"):
            with self.assertRaises(SystemExit):
                steps.parse("s", text)


if __name__ == "__main__":
    unittest.main()
