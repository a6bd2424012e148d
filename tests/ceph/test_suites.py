"""The player of Ceph's test programs: what it reads, what it does with a case that hangs or dies, what it calls a failure."""

import argparse
import io
import pathlib
import re
import tempfile
import textwrap
import unittest

from suites import __main__ as play
from suites import commands, gtest, plan, verdict
from suites.gtest import Outcome

# As googletest prints them: a parameter behind the name, a client's log in front of a marker.
OUTPUT = """\
[==========] Running 5 tests from 2 test suites.
[ RUN      ] LibRadosIo.Write
[       OK ] LibRadosIo.Write (12 ms)
warning: [ RUN      ] Watch/PP.Notify/1
some word
../src/test/watch.cc:62: Failure
Expected equality of these values:
  0
  rados_watch()
    Which is: -95
[  FAILED  ] Watch/PP.Notify/1, where GetParam() = true (3 ms)
[ RUN      ] Snap.Id
[  SKIPPED ] Snap.Id (0 ms)
[ RUN      ] Snap.Hangs
waiting
[  FAILED  ] 1 test, listed below:
[  FAILED  ] Watch/PP.Notify/1, where GetParam() = true
"""

# A test program: lists five cases; plays those of the filter; one hangs, one dies.
PROGRAM = """\
    #!/usr/bin/env python3
    import os, sys, time
    if "--gtest_list_tests" in sys.argv:
        print("Main\\nA.  # type\\n  one\\n  hangs\\n  two  # parameter\\nB/0.\\n  dies\\n  three")
        sys.exit()
    for case in sys.argv[-1].split("=", 1)[1].split(":"):
        print(f"[ RUN      ] {case}", flush=True)
        if case == "A.hangs":
            time.sleep(600)
        if case == "B/0.dies":
            print("last word", flush=True)
            os.abort()
        print(f"[       OK ] {case} (1 ms)", flush=True)
"""


class ReaderTest(unittest.TestCase):
    def test_each_case_has_its_word_its_seconds_and_its_assertions(self):
        reader = gtest.Reader()
        for line in OUTPUT.splitlines():
            reader.line(line)
        reader.cut("HUNG", 90.0)
        self.assertEqual(list(reader.outcomes), ["LibRadosIo.Write", "Watch/PP.Notify/1", "Snap.Id", "Snap.Hangs"])
        self.assertEqual(reader.outcomes["LibRadosIo.Write"], Outcome("OK", 0.012))
        failed = reader.outcomes["Watch/PP.Notify/1"]
        self.assertEqual(failed.word, "FAILED")
        self.assertTrue(failed.said.startswith("../src/test/watch.cc:62: Failure"), failed.said)
        self.assertTrue(failed.said.endswith("Which is: -95"), failed.said)
        self.assertEqual(reader.outcomes["Snap.Id"].word, "SKIPPED")
        self.assertEqual((reader.outcomes["Snap.Hangs"].word, reader.outcomes["Snap.Hangs"].seconds), ("HUNG", 90.0))


class PlayTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="rbd-sim-")
        self.addCleanup(directory.cleanup)
        self.program = pathlib.Path(directory.name) / "ceph_test"
        self.program.write_text(textwrap.dedent(PROGRAM))
        self.program.chmod(0o755)

    def test_a_case_that_hangs_or_dies_is_named_and_the_rest_is_played(self):
        command, log, begun = [str(self.program)], io.BytesIO(), []
        cases = gtest.listed(command, {})
        self.assertEqual(cases, ["A.one", "A.hangs", "A.two", "B/0.dies", "B/0.three"])
        notes = iter(["note 1", "note 2", None])
        outcomes = gtest.play_all(command, cases, 1.0, {}, log, begun.append, lambda: next(notes))
        words = {case: outcome.word for case, outcome in outcomes.items()}
        expected = {"A.one": "OK", "A.hangs": "HUNG", "A.two": "OK", "B/0.dies": "CRASH", "B/0.three": "OK"}
        self.assertEqual(words, expected)
        self.assertEqual(begun.count("A.hangs"), 1)
        self.assertEqual(outcomes["A.hangs"].said, "note 1")
        self.assertEqual(outcomes["B/0.dies"].said, "last word\nnote 2")
        self.assertIn(b"[ RUN      ] B/0.three", log.getvalue())

    def test_a_program_that_ends_before_its_first_case_has_played_nothing(self):
        self.program.write_text("#!/bin/sh\nexit 1\n")
        outcomes = gtest.play_all([str(self.program)], ["A.one", "A.two"], 1.0, {}, io.BytesIO(), lambda _: None)
        self.assertEqual([outcome.word for outcome in outcomes.values()], ["NOTRUN", "NOTRUN"])


class CommandsTest(unittest.TestCase):
    def test_a_command_passes_by_its_status_and_is_killed_at_the_limit(self):
        told = {
            "makes": "echo made >file",
            "reads": "grep made file",
            "pipe": "echo why; false | cat",
            "hangs": "echo begun; sleep 600",
            "last": "! grep other file",
        }
        notes, begun, log = iter([None, None, "it died", None, None]), [], io.BytesIO()
        outcomes = commands.play_all(told, 1.0, {}, log, begun.append, lambda: next(notes))
        words = {case: outcome.word for case, outcome in outcomes.items()}
        self.assertEqual(words, {"makes": "OK", "reads": "OK", "pipe": "FAILED", "hangs": "HUNG", "last": "OK"})
        self.assertEqual((outcomes["pipe"].said, outcomes["hangs"].said), ("why\nit died", "begun"))
        self.assertEqual(begun, list(told))
        self.assertEqual(log.getvalue(), b"made\nwhy\nbegun\n")


class VerdictTest(unittest.TestCase):
    REAL = {"A.one": Outcome("OK", 1.0), "A.two": Outcome("OK", 2.0), "A.three": Outcome("HUNG", 90.0)}

    def verdict(self, excuses=None, **here: str) -> verdict.Verdict:
        outcomes = {f"A.{case}": Outcome(word, 0.1) for case, word in here.items()}
        return verdict.Verdict("ceph_test", self.REAL, outcomes, excuses or {})

    def test_what_passes_there_must_pass_here(self):
        found = self.verdict(one="OK", two="FAILED", three="FAILED")
        self.assertEqual(found.failures(), ["A.two"])
        self.assertEqual(self.verdict(one="OK", two="SKIPPED").failures(), ["A.two"])
        self.assertEqual(self.verdict(one="OK", two="OK", three="HUNG").failures(), [])

    def test_a_case_that_the_record_does_not_know_must_pass(self):
        self.assertEqual(self.verdict(four="FAILED").failures(), ["A.four"])
        self.assertEqual(self.verdict(four="OK").failures(), [])

    def test_a_program_that_dies_by_itself_may_do_so_in_any_case_and_nothing_else(self):
        found = self.verdict({"ceph_test *": plan.DIES}, one="CRASH", two="FAILED")
        self.assertEqual((found.failures(), found.excused()), (["A.two"], ["A.one"]))

    def test_an_excuse_is_for_one_case_by_name_and_is_shown(self):
        excuses = {"ceph_test A.two": "cache tiers", "ceph_other A.one": "cache tiers"}
        found = self.verdict(excuses, one="FAILED", two="FAILED")
        self.assertEqual((found.failures(), found.excused()), (["A.one"], ["A.two"]))
        self.assertIn("A.two: cache tiers, A.one fails |", found.row())
        self.assertEqual(self.verdict(excuses, two="OK").needless_excuses(), ["A.two"])

    def test_the_row_counts_and_adds_up(self):
        row = self.verdict(one="OK", two="OK", three="OK").row()
        self.assertEqual(row, "| ceph_test | 3 | OK 2, HUNG 1 | OK 3 | 93.0 | 0.3 | A.three passes here |")

    def test_many_different_cases_are_counted_and_not_named(self):
        real = {f"A.{n}": Outcome("OK") for n in range(7)}
        found = verdict.Verdict("ceph_test", real, dict.fromkeys(real, Outcome("FAILED")), {})
        self.assertTrue(found.row().endswith("| 7 fail |"), found.row())
        self.assertEqual(len(found.failures()), 7)

    def test_rows_of_suites_that_were_not_played_stay(self):
        table = f"{verdict.HEAD}| other | kept |\n| ceph_test | old |\n| gone | old |\n"
        document = f"before\n<!-- suites -->\n{table}<!-- end of suites -->\nafter\n"
        order = ["ceph_test", "other", "ceph_new"]
        renewed = verdict.with_rows(document, [self.verdict(one="OK")], order)
        self.assertTrue(renewed.endswith("|\n| other | kept |\n<!-- end of suites -->\nafter\n"), renewed)
        self.assertNotIn("old", renewed)
        self.assertTrue(renewed.startswith("before\n<!-- suites -->\n| suite |"), renewed)
        self.assertEqual(verdict.with_rows(renewed, [self.verdict(one="OK")], order), renewed)


class PlanTest(unittest.TestCase):
    # Hours on the real cluster: there it must pass without a record.
    NOT_RECORDED = "ceph_test_librbd_fsx"

    def test_each_suite_is_recorded_and_each_record_is_selected(self):
        record = plan.recorded()
        suites = [suite for suite in plan.suites() if suite.binary != self.NOT_RECORDED]
        self.assertEqual(list(record), [suite.binary for suite in suites])
        for suite in suites:
            cases = list(record[suite.binary])
            self.assertEqual(suite.selected(cases, is_quick=False), cases, suite.binary)
            self.assertIn("OK", [outcome.word for outcome in record[suite.binary].values()], suite.binary)
            if suite.commands:
                self.assertEqual(cases, list(suite.commands))

    def test_what_is_excused_passes_on_the_real_cluster(self):
        record = plan.recorded()
        for name in plan.excuses():
            binary, case = name.split()
            if case == "*":
                self.assertIn("CRASH", [outcome.word for outcome in record[binary].values()], name)
            else:
                self.assertTrue(record[binary][case].passed(), name)

    def test_zero_length_zero_and_erasure_coded_pools_are_never_played(self):
        for suite in plan.suites():
            if suite.binary.startswith("ceph_test_rados"):
                self.assertEqual(suite.selected(["LibRadosIo.ZeroLenZero", "LibRadosIoEC.Write"], is_quick=False), [])

    def test_the_table_has_a_row_for_each_suite(self):
        table = verdict.TABLE.search((plan.HERE.parents[2] / "docs" / "ceph-clients.md").read_text())
        rows = re.findall(r"^\| (?!suite )(\w+) \|", table[0], re.M)
        self.assertEqual([row for row in rows if row != self.NOT_RECORDED], list(plan.recorded()))


class ChosenTest(unittest.TestCase):
    def names(self, **options) -> list[str]:
        defaults = {"suite": None, "leave_out": [], "quick": False}
        return [suite.binary for suite in play.wanted(argparse.Namespace(**(defaults | options)))]

    def test_what_is_left_out_is_not_played_and_the_rest_is(self):
        everything = self.names()
        self.assertEqual(self.names(leave_out=["fio", "qemu"]), [name for name in everything if name not in ("fio", "qemu")])
        self.assertEqual(self.names(suite=["fio", "qemu"], leave_out=["qemu"]), ["fio"])

    def test_a_name_that_there_is_not_is_told(self):
        for options in ({"suite": ["nothing"]}, {"leave_out": ["nothing"]}):
            with self.assertRaisesRegex(SystemExit, "there is no 'nothing'"):
                self.names(**options)



if __name__ == "__main__":
    unittest.main()
