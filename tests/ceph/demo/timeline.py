"""The event log as a drawing: who said what to whom, when. As scripts/demo draws it for rbd-client."""

import dataclasses

from demo.story import Story, answered, payload, result_words, said

WIDTH = 110
# Of a longer timeline the middle is left out.
LINES_SHOWN_MAX = 46
STATES = {
    "lock": "owns the exclusive lock",
    "unlock": "gave the exclusive lock back",
    "lock_broken": "its exclusive lock is broken",
    "watch": "watches the header",
    "unwatch": "ended its watch",
    "watch_lost": "its watch lost its connection",
    "watch_expired": "its watch expired",
    "reconnected": "its watch is connected again",
    "blocklisted": "is blocklisted",
    "session_ended": "its session ended",
}
UNANSWERED = ("HeaderUpdate", "AsyncProgress", "AsyncComplete")


@dataclasses.dataclass(frozen=True)
class Line:
    time_ms: int
    who: str
    whom: str
    what: str


class Teller:
    """Tells a story line by line; what comes in swarms (progress, data, refusals) is counted between two other lines."""

    def __init__(self, story: Story, names: dict[int, str]):
        self._story, self._names = story, names
        self._data = story.header.replace("rbd_header.", "rbd_data.") + "."
        self._notifiers: dict[int, tuple[int, str]] = {}
        self._swarms: dict[tuple[str, int, int], list] = {}
        self._lines: list[Line] = []

    def lines(self) -> list[Line]:
        for event in self._story.events:
            self._tell(event)
        self._end_swarms()
        return self._lines

    def _tell(self, event: dict) -> None:
        kind, name, gid = event["kind"], event.get("object", ""), event.get("gid", 0)
        is_header, is_data = name == self._story.header, name.startswith(self._data)
        if kind == "notify" and is_header:
            self._notify(event)
        elif kind == "ack" and is_header:
            self._ack(event)
        elif kind == "notify_done" and is_header:
            self._notify_done(event)
        elif kind == "applied" and is_data:
            self._count(("data", gid, 0), event, "")
        elif kind == "refused" and (is_header or is_data) and gid in self._names and event.get("error") == "EBLOCKLISTED":
            self._count(("fenced", gid, 0), event, "")
        elif kind in STATES and (is_header or not name) and gid in self._names:
            self._line(event, "", STATES[kind])

    def _notify(self, event: dict) -> None:
        message = said(payload(event))
        if not message:
            self._line(event, "all", "a message that is not known here")
            return
        self._notifiers[event["notify_id"]] = (event["gid"], message.name)
        if message.progress:
            self._count(("progress", event["gid"], message.concerns), event, "{}/{}".format(*message.progress))
        elif message.result is not None:
            self._line(event, self._name(message.concerns), f"{message.name} {result_words(message.result)}")
        else:
            request = f" request {message.request}" if message.request else ""
            self._line(event, "all", message.name + request)

    def _ack(self, event: dict) -> None:
        notifier, name = self._notifiers.get(event.get("notify_id"), (0, ""))
        result = answered(payload(event))
        if name and name not in UNANSWERED and result is not None:
            self._line(event, self._name(notifier), f"ack {name}: {result_words(result)}")

    def _notify_done(self, event: dict) -> None:
        notifier, name = self._notifiers.get(event.get("notify_id"), (0, ""))
        if name and name != "AsyncProgress" and event.get("error") == "ETIMEDOUT":
            self._line(event | {"gid": 0}, self._name(notifier), f"{name} timed out: {event.get('detail', '')}")

    def _name(self, gid: int) -> str:
        return self._names.get(gid, f"gid {gid}" if gid else "osd")

    def _count(self, swarm: tuple[str, int, int], event: dict, last: str) -> None:
        counted = self._swarms.setdefault(swarm, [event["time_ms"], 0, ""])
        counted[1] += 1
        counted[2] = last

    def _end_swarms(self) -> None:
        for (kind, who, whom), (begin, count, last) in sorted(self._swarms.items(), key=lambda item: item[1][0]):
            told = {
                "progress": (self._name(whom), f"AsyncProgress x {count}, up to {last}"),
                "data": ("osd", f"op vectors on data objects x {count}"),
                "fenced": ("osd", f"op vectors refused with EBLOCKLISTED x {count}"),
            }
            self._push(begin, self._name(who), *told[kind])
        self._swarms = {}

    def _line(self, event: dict, whom: str, what: str) -> None:
        self._end_swarms()
        self._push(event["time_ms"], self._name(event.get("gid", 0)), whom, what)

    def _push(self, time_ms: int, who: str, whom: str, what: str) -> None:
        begin = self._story.events[0]["time_ms"]
        self._lines.append(Line(max(0, time_ms - begin), who, whom, what))


def draw(lines: list[Line], lines_max: int = LINES_SHOWN_MAX) -> str:
    """A table of at most WIDTH columns and about `lines_max` lines."""
    rows = []
    for line in lines:
        arrow = "->" if line.whom else "  "
        rows.append(f"  {line.time_ms / 1000:8.3f}  {line.who:<9} {arrow} {line.whom:<9} {line.what}".rstrip()[:WIDTH])
    if len(rows) > lines_max:
        left_out = len(rows) - lines_max
        rows[lines_max // 2 : lines_max // 2 + left_out] = [f"            ... {left_out} lines more, all of them with --format json ..."]
    return "".join(f"{row}\n" for row in rows)
