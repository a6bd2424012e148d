"""Holds the guides to the tested code: each code block of docs/python.md, cpp.md and rust.md is a marked region of a tested file.

In a guide, `<!-- python/peer.py: watch -->` stands above a code block; in that file the region is what lies between a line
that ends in `docs: watch` and the next one that ends in `docs: end`. `docs.py --write` puts the regions into the guides.
"""

import pathlib
import re
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCS = ROOT / "docs"
# The tested files of each guide.
GUIDES = {
    "python": HERE.glob("python/*.py"),
    "cpp": HERE.glob("cpp/*.[hc]*"),
    "rust": ROOT.glob("crates/librbd/tests/guide.rs"),
}
BLOCK = re.compile(r"(?:^<!-- (?P<file>\S+): (?P<name>\S+) -->\n)?^```(?P<language>python|cpp|rust)\n(?P<code>.*?)^```$", re.M | re.S)
REGION = re.compile(r"^ *(?:#|//) docs: (?P<name>(?!end$)\S+)\n(?P<code>.*?)^ *(?:#|//) docs: end$", re.M | re.S)


def regions(language: str) -> dict[tuple[str, str], str]:
    """Code by file and name of the region."""
    found = {}
    for path in sorted(GUIDES[language]):
        for region in REGION.finditer(path.read_text()):
            code = textwrap.dedent(region["code"]).strip("\n") + "\n"
            key = (f"{language}/{path.name}", region["name"])
            if key in found:
                raise SystemExit(f"{path}: there are two regions '{region['name']}'")
            found[key] = re.sub(r"\n\n+\n", "\n\n", code)
    return found


def check(language: str, write: bool) -> list[str]:
    """What is wrong with the guide of a language."""
    guide = DOCS / f"{language}.md"
    tested, shown, problems = regions(language), set(), []

    def current(block: re.Match) -> str:
        key = (block["file"], block["name"])
        shown.add(key)
        line = block.string.count("\n", 0, block.start()) + 1
        if key not in tested:
            problems.append(f"{guide}:{line}: the block is not marked with a region of a tested file")
            return block[0]
        if block["code"] != tested[key] and not write:
            problems.append(f"{guide}:{line}: differs from region '{key[1]}' of {key[0]}; docs.py --write copies it")
        return f"<!-- {key[0]}: {key[1]} -->\n```{language}\n{tested[key]}```"

    text = BLOCK.sub(current, guide.read_text())
    problems += [f"{guide}: does not show region '{name}' of {file}" for file, name in sorted(tested.keys() - shown)]
    if not tested:
        problems.append(f"{language}: there are no regions in the tested files")
    if write:
        guide.write_text(text)
    return problems


def main() -> None:
    problems = [problem for language in GUIDES for problem in check(language, "--write" in sys.argv)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise SystemExit(1)
    print("docs: every code block of the guides is tested code")


main()
