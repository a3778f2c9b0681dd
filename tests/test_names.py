"""Names can be found: one thing for each class name, and every path that a document or a comment names exists."""

from __future__ import annotations

import ast
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mythicd"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("worlds/*/*.md")]
)
CODE = sorted(path for part in ("mythicd", "bench", "tests", "training") for path in (ROOT / part).rglob("*.py"))

FOREIGN = {"convert_lora_to_gguf.py", "docs/gguf.md"}
"""Files of llama.cpp's repository that are spoken of."""

_PATH = re.compile(r"(?<![\w/.<{*-])((?:[\w-]+/)*[\w-]+\.(?:py|md))\b")
"""A file as texts name it: a path from the root, from `mythicd/` or from beside the text, or a bare name."""
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_FOLDER = re.compile(r"`((?:[\w-]+/)+)`")


def test_no_class_name_stands_twice() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def exists(name: str, beside: Path) -> bool:
    """Tell whether a path is there, from wherever a text may mean it."""
    bases = (ROOT, PACKAGE, beside, beside.parent, ROOT / "docs", ROOT / "bench", ROOT / "tests", beside / "corpus")
    return name in FOREIGN or any((base / name).exists() for base in bases)


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of a module's comments and docstrings."""
    with path.open(encoding="utf-8") as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
                yield token.start[0], token.string


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_in_documents_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = [*_PATH.findall(text), *_FOLDER.findall(text)]
    missing = sorted({name for name in named if not exists(name, path.parent)})
    missing += sorted({link for link in _LINK.findall(text) if "://" not in link and not (path.parent / link).exists()})
    assert missing == []


def test_paths_in_comments_and_docstrings_exist() -> None:
    missing = []
    for path in CODE:
        for number, text in comments(path):
            for name in _PATH.findall(text):
                if not exists(name, path.parent):
                    missing.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert missing == []
