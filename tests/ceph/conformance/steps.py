"""The script: steps/*.steps. A line that begins with `$ ` is a shell step, with `>>> ` a Python step, `... ` goes on with it, `#` is a remark."""

import dataclasses
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
SHELL, PYTHON, MORE = "$ ", ">>> ", "... "


@dataclasses.dataclass(frozen=True)
class Step:
    """One step; `section` is its file's name, `code` the text behind the prompts."""

    section: str
    kind: str
    code: str

    def text(self) -> str:
        first, *more = self.code.split("\n")
        return "\n".join([self.kind + first, *(MORE + line for line in more)])


def parse(section: str, text: str) -> list[Step]:
    found: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith((SHELL, PYTHON)):
            kind = SHELL if line.startswith(SHELL) else PYTHON
            found.append(Step(section, kind, line.removeprefix(kind)))
        elif line.startswith(MORE) and found and found[-1].kind == PYTHON:
            found[-1] = dataclasses.replace(found[-1], code=f"{found[-1].code}\n{line.removeprefix(MORE)}")
        elif line and not line.startswith("#"):
            raise SystemExit(f"{section}, line {number}: neither a step nor a remark: {line}")
    return found


def script(sections: list[str] | None = None) -> list[Step]:
    """All steps in their order, or those of some sections."""
    files = sorted((HERE / "steps").glob("*.steps"))
    names = [file.stem for file in files]
    for section in sections or []:
        if section not in names:
            raise SystemExit(f"conformance: --section: there is no '{section}'; there are {', '.join(names)}")
    return [step for file in files if not sections or file.stem in sections for step in parse(file.stem, file.read_text())]
