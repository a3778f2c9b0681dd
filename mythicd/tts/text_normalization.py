"""Text normalisation for a voice: what it says differently than it is written, by the language that it speaks."""

from __future__ import annotations

from collections.abc import Collection

from mythicd.text.english.normalization import Replacement, normalize


def replacements(text: str, languages: Collection[str]) -> list[Replacement]:
    """Return the words for numbers, signs and abbreviations; a voice without English reads them as they are written."""
    return normalize(text) if speaks_english(languages) else []


def speaks_english(languages: Collection[str]) -> bool:
    """Tell whether English is among the languages, given as in "en", "en-us+f2", "en_GB-alba"."""
    return any(language.lower()[:3] in ("en", "en-", "en_", "eng") for language in languages)
