"""Files read and checked together: problems are collected instead of raised, and a bad file costs itself only."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mythicd.config.yaml_reader import Document, FileProblem, Key, mistakes, read_document

T = TypeVar("T")


class CheckedFiles:
    """The YAML files of one reading, with everything that is wrong in them."""

    def __init__(self, before: Mapping[Path, Any]) -> None:
        """`before` is `good` of an earlier reading: a file that is bad now keeps its last good content."""
        self._before = before
        self.problems: list[FileProblem] = []
        self.good: dict[Path, Any] = {}
        """The last good content of each file, checked."""
        self.documents: dict[Path, Document] = {}
        """The files that could be parsed."""
        self._bad: set[Path] = set()

    def is_lost(self, file: Path) -> bool:
        """Return whether a file is bad and has no last good content."""
        return file in self._bad and file not in self.good

    def before(self, file: Path) -> Any:
        """Return the last good content of an earlier reading; None if there is none."""
        return self._before.get(file)

    def line(self, file: Path, path: Sequence[Key]) -> int | None:
        """Return the line of a key; None if the text is not the one that is used."""
        document = None if file in self._bad else self.documents.get(file)
        return document.line(path) if document else None

    def add(
        self,
        file: Path,
        complaint: str,
        *,
        remedy: str,
        path: Sequence[Key] = (),
        place: str = "",
        sentence: str = "",
        is_notice: bool = False,
    ) -> FileProblem:
        """Add a problem, with the line of `path`; return it."""
        line = self.line(file, path)
        problem = FileProblem(
            file, complaint, remedy=remedy, place=place, line=line, sentence=sentence, is_notice=is_notice
        )
        self.problems.append(problem)
        return problem

    def add_bad(self, file: Path, problems: Sequence[FileProblem]) -> None:
        """Add the problems of a file that is bad as a whole."""
        self._bad.add(file)
        if file in self._before:
            problems = [problem.extended("Until then its last good version is used.") for problem in problems]
            self.good[file] = self._before[file]
        self.problems += problems

    def document(self, file: Path) -> Document | None:
        """Return a file as read; None if it is absent, or bad, which is added to the problems."""
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise FileProblem(file, "not a regular file", remedy="Replace it with a text file.")
            self.documents[file] = read_document(file)
            return self.documents[file]
        except FileProblem as problem:
            found = problem
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            found = FileProblem(file, f"cannot read it: {reason}", remedy="Check the file.", is_unread=True)
        if not os.path.lexists(file):
            return None  # it was never there, or has vanished
        if file.is_symlink() and not file.exists():
            found = FileProblem(file, "a link to a file that does not exist", remedy="Delete the link.")
        self.add_bad(file, [found])
        return None

    def value(self, file: Path, kind: type[T], empty: Any = None, finish: Callable[[T], T] | None = None) -> T | None:
        """Return a file's checked content; its last good one if it is bad, and None if there is neither.

        `empty` is the content of an empty file. `finish` completes a value, and may raise FileProblem.
        """
        document = self.document(file)
        if document is not None:
            content = empty if document.content is None else document.content
            found = mistakes(content, kind, file, document)
            if not found:
                try:
                    value = msgspec.convert(content, kind)
                    self.good[file] = finish(value) if finish else value
                except FileProblem as problem:
                    found = [problem]
            if found:
                self.add_bad(file, found)
        return self.good.get(file)
