"""docs/conformance.md: what was played, and what differs."""

from conformance.compare import Difference
from conformance.player import Turn

HEAD = """\
# Conformance with Ceph

`scripts/conformance` plays one script of {steps} steps with Ceph's own clients (`ceph`, `rados`, `rbd`, python3-rados, python3-rbd, Debian's
16.2.15) against osd-sim, and compares it with the same play against a real cluster (one monitor, one OSD, 16.2.15), step by step: exit
status, standard output, standard error. Ids, addresses, times and rates are normalised. This file is made by
`scripts/conformance --write-docs`.

The script is `tests/ceph/conformance/steps/`; the real cluster's transcript is `tests/ceph/conformance/recorded.txt`, so that no cluster is
needed; `scripts/conformance --record` brings one up on loopback and records it anew. `scripts/conformance --real` compares the real cluster
with its own record: what is not the same twice would be seen.

| part | steps | as on the real cluster |
|---|---|---|
"""


def document(turns: list[Turn], differences: list[Difference]) -> str:
    text = HEAD.format(steps=len(turns))
    for section in dict.fromkeys(turn.step.section for turn in turns):
        steps = [turn for turn in turns if turn.step.section == section]
        different = sum(difference.here.step.section == section for difference in differences)
        text += f"| {section.split('-', 1)[1]} | {len(steps)} | {len(steps) - different} |\n"
    text += "\n## What differs\n\n"
    if not differences:
        return text + "Nothing.\n"
    text += "Never an exit status. `-` is the real cluster, `+` is osd-sim, `!` standard error.\n"
    for difference in differences:
        text += f"\n{difference.reason or 'Not explained.'}\n\n```\n{difference.text()}\n```\n"
    return text
