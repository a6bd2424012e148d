"""A play as text: each step with its prompt, then what it said on standard output (`| `) and on standard error (`! `), then its status."""

import pathlib
from collections.abc import Iterable, Iterator

from conformance.normalise import Normaliser
from conformance.player import Turn
from conformance.steps import MORE, PYTHON, SHELL, Step

OUT, ERR, STATUS, SECTION = "| ", "! ", "= ", "## "


def normalised(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Identities are numbered anew in each section, so that one can be played alone."""
    section, normaliser = None, Normaliser()
    for turn in turns:
        if turn.step.section != section:
            section, normaliser = turn.step.section, Normaliser()
        stdout, stderr = (normaliser.text(said) for said in (turn.stdout, turn.stderr))
        yield Turn(turn.step, turn.status, ended(stdout), ended(stderr))


def ended(text: str) -> str:
    """With its last line ended: a transcript does not tell whether it was."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def write(path: pathlib.Path, turns: list[Turn]) -> None:
    path.write_text("\n".join(_lines(turns)) + "\n")


def _lines(turns: list[Turn]) -> Iterator[str]:
    section = None
    for turn in turns:
        if turn.step.section != section:
            section = turn.step.section
            yield SECTION + section
        yield turn.step.text()
        yield from (OUT + line for line in turn.stdout.split("\n")[:-1])
        yield from (ERR + line for line in turn.stderr.split("\n")[:-1])
        yield STATUS + ("killed" if turn.status is None else str(turn.status))


def read(path: pathlib.Path) -> list[Turn]:
    turns, section, code, said = [], "", [], {OUT: [], ERR: []}
    for line in path.read_text().split("\n")[:-1]:
        mark, text = (line[:4], line[4:]) if line.startswith((PYTHON, MORE)) else (line[:2], line[2:])
        if line.startswith(SECTION):
            section = line.removeprefix(SECTION)
        elif mark in (SHELL, PYTHON, MORE):
            code.append((mark, text))
        elif mark in said:
            said[mark].append(text)
        elif mark == STATUS:
            step = Step(section, code[0][0], "\n".join(text for _, text in code))
            status = None if text == "killed" else int(text)
            turns.append(Turn(step, status, *("".join(f"{line}\n" for line in said[mark]) for mark in (OUT, ERR))))
            code, said = [], {OUT: [], ERR: []}
        else:
            raise SystemExit(f"{path}: not a line of a transcript: {line}")
    return turns
