"""docs/hazards.md shows what is played, and nothing else; each play checks its own session."""

import pathlib
import re
import unittest

from hazards.session import GUIDE

HERE = pathlib.Path(__file__).resolve().parent


class GuideTest(unittest.TestCase):
    def test_every_session_of_the_guide_is_played(self):
        tests = [path.read_text() for path in sorted(HERE.glob("test_*.py"))]
        played = [name for text in tests for name in re.findall(r'self\.play\(story, "([^"]+)"\)', text)]
        shown = re.findall(r"^<!-- session: (\S+) -->$", GUIDE.read_text(), re.M)
        self.assertTrue(played)
        self.assertEqual(sorted(shown), sorted(played))
