"""The report of `scripts/bench --ceph=wire`: what is better, what is beyond its limit, and the form for programs."""

import json
import unittest

from bench import report


class ReportTest(unittest.TestCase):
    def test_more_is_better_of_rates_and_less_of_everything_else(self):
        self.assertEqual(report.Row("reads", "1/s", 300.0, 100.0).times, 3)
        self.assertEqual(report.Row("hand-over", "ms", 2.0, 6.0).times, 3)

    def test_only_what_has_a_limit_can_be_beyond_it(self):
        self.assertFalse(report.Row("hand-over", "ms", 20.0, 6.0).is_over)
        self.assertFalse(report.Row("idle memory", "MiB", 12.0, 80.0, 12.0, "").is_over)
        self.assertTrue(report.Row("idle memory", "MiB", 12.1, 80.0, 12.0, "").is_over)

    def test_programs_are_told_what_the_other_bench_tells_them(self):
        rows = [report.Row("flatten of 16 MiB", "s", 0.5, 1.5)]
        told = json.loads(report.document("16.2.15", rows))
        wanted = {"what": "flatten of 16 MiB", "unit": "s", "value": 0.5, "ceph": 1.5, "limit": None, "limit_is": "", "spread": None}
        self.assertEqual(told, {"ceph": "16.2.15", "rows": [wanted]})
        self.assertIn("3.00 x", report.line(rows[0]))


if __name__ == "__main__":
    unittest.main()
