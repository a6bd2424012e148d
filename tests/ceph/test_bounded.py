"""Processes with a limit leave nothing behind."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import bounded

# It says its pid and that of a child, then waits.
COMMAND = ["bash", "-c", "sleep 600 & echo $$ $!; wait"]


def alive(pid: int) -> bool:
    """Also a child of somebody who is gone; one that is dead and not waited for does not live."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class BoundedTest(unittest.TestCase):
    def assert_gone(self, pids: list[int]):
        self.assertEqual(len(pids), 2)
        # Killed is not yet gone: the kernel takes its time, within the bound of this test.
        for pid in pids:
            end = os.times().elapsed + 20
            while alive(pid) and os.times().elapsed < end:
                os.sched_yield()
            self.assertFalse(alive(pid), f"{pid} lives")

    def test_status_and_output_are_told(self):
        run = bounded.run(["bash", "-c", "pwd; echo e >&2; exit 3"], 20, dict(os.environ), "/")
        self.assertEqual(run, bounded.Run(3, b"/\n", b"e\n"))

    def test_at_the_limit_the_whole_group_is_killed_and_what_it_said_is_kept(self):
        run = bounded.run(COMMAND, 1, dict(os.environ), "/")
        self.assertIsNone(run.status)
        self.assert_gone([int(pid) for pid in run.stdout.split()])

    def test_sigterm_to_the_caller_ends_the_group_too(self):
        with tempfile.TemporaryDirectory(prefix="rbd-sim-") as directory:
            fifo = pathlib.Path(directory) / "said"
            os.mkfifo(fifo)
            code = f"import bounded, os; bounded.end_in_order_on_sigterm(); bounded.run(['bash', '-c', 'sleep 600 & echo $$ $! >{fifo}; wait'], 60, dict(os.environ), '/')"
            here = pathlib.Path(bounded.__file__).parent
            caller = subprocess.Popen([sys.executable, "-c", code], cwd=here)
            pids = [int(pid) for pid in fifo.read_text().split()]
            caller.send_signal(signal.SIGTERM)
            self.assertEqual(caller.wait(20), 143)
        self.assert_gone(pids)


if __name__ == "__main__":
    unittest.main()
