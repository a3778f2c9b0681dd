"""Tool calls of an OpenAI-compatible server, put together from the pieces that it streams.

In the API a call's first piece has its index, id and name, and the others have its index. Servers depart from that in
every part: one index for all calls or a new one for each piece, a new id for each piece or one for all, the name again
or only later. So a piece goes on with a call that it can belong to, and begins another where it cannot
(docs/servers.md, "What a reply holds").
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from mythicd.engines.llm import InlineCall
from mythicd.llm.openai_api.chunks import CallPiece
from mythicd.llm.reply_parser import MAX_CALL, BadCall, decode, read_call
from mythicd.llm.tool_schema import Tool

MAX_CALLS = 16
"""Calls in one reply; more are dropped."""

_BEGINNING = re.compile(r'\s*(?:\{|"\s*\{|"\\?"|\[|null)')
"""How the arguments of a call begin: an object, or one encoded twice."""
_PAIRS = ("{}", "[]", '""')


class _Draft:
    """An unfinished call."""

    def __init__(self, piece: CallPiece, *, may_be_echo: bool = False) -> None:
        self.index = piece.index
        self.call_id = piece.call_id
        self.name = ""
        self.arguments = ""
        self.may_be_echo = may_be_echo
        """Whether it began with the name of the call before it and no arguments: without any it is not a call."""

    @property
    def is_begun(self) -> bool:
        """Whether its arguments have begun and not ended."""
        return bool(self.arguments.strip()) and not self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are complete."""
        text = self.arguments.strip()
        if len(text) < 2 or text[0] + text[-1] not in _PAIRS:  # decoding each time would be slow
            return False
        try:
            decode(text)
        except ValueError:
            return False
        return True

    def may_have_index(self, piece: CallPiece) -> bool:
        """Tell whether a piece has the same index, or none is known."""
        return None in (self.index, piece.index) or self.index == piece.index

    def is_other(self, piece: CallPiece) -> bool:
        """Tell whether a piece has another id."""
        return bool(piece.call_id and self.call_id and piece.call_id != self.call_id)

    def is_ended_by(self, piece: CallPiece) -> bool:
        """Tell whether a piece without arguments may only repeat the name of this whole call."""
        return self.may_have_index(piece) and self.is_whole and self.name == piece.name

    def is_repeated_by(self, text: str) -> bool:
        """Tell whether whole arguments come again, or after an empty object as which some servers begin them."""
        return self.arguments.strip() in ("{}", text.strip())

    def add(self, piece: CallPiece, text: str) -> None:
        """Append a piece."""
        if piece.name != self.name:
            self.name += piece.name
        self.call_id = self.call_id or piece.call_id
        if self.is_whole and self.is_repeated_by(text) and text.strip():
            self.arguments = text
        elif len(self.arguments) <= MAX_CALL:  # a longer one is dropped in the end
            self.arguments += text


class CallPieces:
    """Puts the calls of one reply together."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._drafts: list[_Draft] = []

    def __bool__(self) -> bool:
        """Whether a call has begun."""
        return bool(self._drafts)

    def add(self, piece: CallPiece, *, whole: bool = False) -> None:
        """Append a piece to its call, or begin a new one. With `whole` the piece is a call of its own."""
        text = _json_text(piece.arguments)
        draft = None
        if self._drafts and not whole:
            draft = self._named(piece, text) if piece.name else self._nameless(piece, text)
        if draft is None:
            echo = bool(self._drafts) and not (whole or text.strip()) and self._drafts[-1].is_ended_by(piece)
            draft = _Draft(piece, may_be_echo=echo)
            if len(self._drafts) <= MAX_CALLS:
                self._drafts.append(draft)
        draft.add(piece, text)

    def calls(self) -> list[InlineCall | BadCall]:
        """Return the calls, after the end of the reply."""
        return [self._call(draft) for draft in self._drafts if draft.arguments.strip() or not draft.may_be_echo]

    def _named(self, piece: CallPiece, text: str) -> _Draft | None:
        """Return the call that a piece with a name goes on with; None if it begins one."""
        goes_on = bool(text.strip()) and _BEGINNING.match(text) is None
        own = self._of_index(piece)
        same = [draft for draft in own if piece.call_id and draft.call_id == piece.call_id]
        draft = (same or own or [self._drafts[-1]])[-1]
        if not own and not (goes_on and draft.is_begun):  # a new index begins a call, unless it counts the pieces
            return None
        if not draft.name:
            return draft
        if draft.name != piece.name:
            in_pieces = draft.name not in self._tools and f"{draft.name}{piece.name}" in self._tools
            return draft if in_pieces and not draft.arguments else None
        if not text.strip():  # the name again
            return None if draft.is_whole or (draft.is_other(piece) and not draft.is_begun) else draft
        if draft.is_whole or (draft.is_begun and draft.is_other(piece) and not goes_on):
            return None
        return draft

    def _nameless(self, piece: CallPiece, text: str) -> _Draft | None:
        """Return the call that a piece without a name goes on with: the unfinished one, otherwise the last."""
        own = self._of_index(piece)
        same = [draft for draft in own or self._drafts if piece.call_id and draft.call_id == piece.call_id]
        known = same or own
        unfinished = [draft for draft in known or self._drafts if not draft.is_whole]
        if not known:  # a new index
            return unfinished[-1] if unfinished and text.strip() else None
        if unfinished:
            return unfinished[-1]
        return known[-1] if not text.strip() or known[-1].is_repeated_by(text) else None

    def _of_index(self, piece: CallPiece) -> list[_Draft]:
        """Return the calls that may have the piece's index."""
        return [draft for draft in self._drafts if draft.may_have_index(piece)]

    def _call(self, draft: _Draft) -> InlineCall | BadCall:
        if len(draft.arguments) > MAX_CALL:
            return BadCall(f"it is longer than {MAX_CALL} characters")
        try:
            arguments = decode(draft.arguments.strip() or "{}")
        except ValueError:
            return BadCall("its arguments are not JSON")
        return read_call(self._tools, draft.name, arguments)


def _json_text(arguments: Any) -> str:
    """Return a piece of arguments as JSON text."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    try:
        return json.dumps(arguments)
    except RecursionError:
        return "[["  # invalid JSON, so that the call is dropped
