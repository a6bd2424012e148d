"""Makes two plays comparable: what differs between any two clusters (ids, addresses, times, rates) gets labels, all else stays as it was said.

An identity keeps one label through a section of the play, numbered in the order in which identities were first said: that an image's id in one
step is that of another step is compared too.
"""

import re
from collections.abc import Callable

# What is replaced by a fixed word before identities are looked for: it looks like some.
FIRST = (
    # A progress line is as its last state.
    (r"(?m)^.*\r(?!\n)", ""),
    (r"\b0x[0-9a-f]{7,}\b", "<pointer>"),
)
# In the order in which they are applied: what is replaced by a label of this kind, its first group or the whole.
LABELLED = (
    ("uuid", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    # Of this machine only: addresses of others are part of the script.
    ("address", r"\b127\.0\.0\.1:\d+/\d+"),
    # Small ones are part of the script.
    ("gid", r"\bclient\.(\d{4,})"),
    ("id", r"\brbd_(?:data|header|object_map|group_header)\.([0-9a-f]+)"),
    ("id", r"(?<=\tid: )[0-9a-f]+"),
    ("id", r'(?<="id":")[0-9a-f]{8,}(?=")'),
    # An id that is told without saying so; with a letter and a digit, so that no size is taken for one.
    ("id", r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{10,16}\b"),
)
# What is replaced by a fixed word after that.
LAST = (
    (r"\d{4}[-.]\d\d[-.]\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d{4}|Z)?", "<time>"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d \d{4}", "<time>"),
    (r"\bcookie[= ]\d+", "cookie=<cookie>"),
    (r"\bauto \d+", "auto <cookie>"),
    (r"elapsed: \d+ +ops: (\d+) +ops/sec: \S+ +bytes/sec: \S+ \S+", r"elapsed: <time> ops: \1 <rates>"),
    (r"\bin epoch \d+", "in epoch <epoch>"),
    # What a bench says every second, if it runs so long.
    (r"(?m)^ +\d+ +\d+ +[\d.e+]+ +[\d.e+]+ ?\S*/s\n", ""),
    # The widths of columns follow the lengths of ids.
    (r"(?<=\S)  +", "  "),
    (r"(?m) +$", ""),
)


class Normaliser:
    """For one section of a play; its steps are given in their order."""

    def __init__(self):
        self._labels: dict[str, dict[str, str]] = {}

    def text(self, said: str) -> str:
        for pattern, word in FIRST:
            said = re.sub(pattern, word, said)
        for kind, pattern in LABELLED:
            said = re.sub(pattern, self._labeller(kind), said)
        for pattern, word in LAST:
            said = re.sub(pattern, word, said)
        return said

    def _labeller(self, kind: str) -> Callable[[re.Match], str]:
        known = self._labels.setdefault(kind, {})

        def label(match: re.Match) -> str:
            group = 1 if match.re.groups else 0
            word = known.setdefault(match[group], f"<{kind} {len(known) + 1}>")
            begin, end = match.start(group) - match.start(), match.end(group) - match.start()
            return match[0][:begin] + word + match[0][end:]

        return label
