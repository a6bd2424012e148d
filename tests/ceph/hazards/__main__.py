"""Plays the hazards; the exit status is 0 when each came to what it must."""

import argparse
import os
import sys
import unittest

from bounded import end_in_order_on_sigterm
from clusters import HERE


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/hazards", description="Hazards of librbd, played with Ceph's own clients: docs/hazards.md.")
    parser.add_argument("part", nargs="*", help="play those with such a part in their name, e.g. fenced; without any, all of them")
    parser.add_argument("--long", action="store_true", help="the slow ones too, and everything with rbd of 18.2.7 too")
    parser.add_argument("--write-docs", action="store_true", help="renew the sessions in docs/hazards.md")
    arguments = parser.parse_args()
    end_in_order_on_sigterm()
    os.environ |= {name: "1" for name, on in (("RBD_SIM_LONG", arguments.long), ("RBD_SIM_WRITE_DOCS", arguments.write_docs)) if on}
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{part}*" for part in arguments.part] or None
    tests = loader.discover(str(HERE / "hazards"), top_level_dir=str(HERE))
    result = unittest.TextTestRunner(verbosity=2).run(tests)
    if result.testsRun == 0:
        raise SystemExit(f"scripts/hazards: no hazard has such a part in its name: {' '.join(arguments.part)}")
    sys.exit(not result.wasSuccessful())


main()
