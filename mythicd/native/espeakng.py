"""espeak-ng as a library: speech with phoneme and word times, and pronunciations, without a subprocess.

The C library keeps all its state in globals, so there is one `EspeakNg` in a process, with a lock around each call. It
speaks clause by clause into a callback, at about a thousandth of real time; a callback that returns 1 ends the speech.
`speak` passes the chunks to a sink; `synthesize` makes an iterator of them, with a thread that runs ahead of the
reader, so that a slow reader never holds the library's lock.
"""

from __future__ import annotations

import ctypes
import re
import threading
import unicodedata
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, ClassVar

from mythicd.engines.tts import PhonemeOnset, VoiceChunk, WordOnset
from mythicd.errors import EngineUnavailable, ModelError

# From espeak-ng's speak_lib.h, which has been stable since API revision 11.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_PHONEME_IPA = 0x0002
_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_EVENT_PHONEME = 7

_CHUNK_MS = 60
_STRESS = {"ˈ": 1, "ˌ": 2}
_LANGUAGE_SWITCH = re.compile(r"\([a-z][a-z0-9-]*\)")
_SYSTEM_LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib", "libespeak-ng.dll")


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Voice(ctypes.Structure):
    """espeak_VOICE."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

Sink = Callable[[VoiceChunk], bool]
"""Takes the next chunk; returns whether to continue."""


@dataclass
class _Utterance:
    """The running synthesis: its text, the sink of its chunks, and an error of the sink."""

    text: str
    sink: Sink
    last_word_end: int = 0
    error: BaseException | None = None


class EspeakNg:
    """The process's espeak-ng. Get it with `EspeakNg.load()`; every method may be called from any thread.

    Pitfalls of the C interface, all met in practice:

    * Given a wrong data path, `espeak_Initialize` ends the *process* unless `_DONT_EXIT` is set; then it returns 0.
    * `espeak_SetVoiceByName` keeps the old voice when it knows no such voice (returns 2), knows some languages only by
      the name of their file (`en-gb` is `en`), and ignores a variant that does not exist.
    * Control characters in the text are commands (SOH) or end it (NUL). Each is read as a blank here, so that word
      positions stay true.
    * Its word events follow its own rules: "3.5" makes three, "of the" one or none. Words here are what stands between
      blanks, each at its first event; a word without an event has no onset.
    * Speech that is cut off leaves the first letter of its next clause in the reader, and `espeak_TextToPhonemes` puts
      that before whatever it reads next; only `espeak_Synth` begins with an empty reader.
    * The phases of its oscillators continue from one text to the next: the same text gives the same sounds and lengths
      to within a period of the voice, never the same samples.
    """

    sample_rate: int
    """Hertz; 22050 for all of espeak-ng's own voices."""

    version: str
    """Version of the C library, such as `1.52.0`."""

    _loaded: ClassVar[EspeakNg | None] = None
    _loading: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def load(cls) -> EspeakNg:
        """Return the process's espeak-ng, loading it the first time (10–30 ms). Raises EngineUnavailable."""
        with cls._loading:
            if cls._loaded is None:
                cls._loaded = cls(*_find_library())
            return cls._loaded

    def __init__(self, library: ctypes.CDLL, data_path: str | None) -> None:
        """Initialise the library. For `load` only: a second object would corrupt the state of the first."""
        self._lib = library
        self._lock = threading.Lock()
        self._utterance: _Utterance | None = None
        self._voice: str | None = None
        self._cut_off = False
        """Whether the last speech was cut off, so that a letter of it may be left in the reader."""
        _declare(library)
        self.sample_rate = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS,
            _CHUNK_MS,
            data_path.encode() if data_path is not None else None,
            _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA | _DONT_EXIT,
        )
        if self.sample_rate <= 0:
            raise EngineUnavailable(
                f"espeak-ng found no usable data in {data_path or 'its default directory'}.",
                remedy="Reinstall it: pip install --force-reinstall espeakng-loader.",
            )
        self.version = library.espeak_Info(None).decode("ascii", "replace").split()[0]
        # The library keeps only a bare pointer to the callback: this reference keeps it alive.
        self._callback = _SynthCallback(self._on_chunk)
        library.espeak_SetSynthCallback(self._callback)
        self._languages = self._list_languages()
        self._variants = self._list_variants()

    # --- voices ------------------------------------------------------------------------------------------------------

    def voices(self) -> tuple[str, ...]:
        """Return the names of all languages that can be spoken, such as `en-us`; any of them takes a `+variant`."""
        return tuple(sorted(self._languages))

    def variants(self) -> tuple[str, ...]:
        """Return the names of all variants: `m3` in `en-us+m3`."""
        return tuple(sorted(self._variants.values()))

    def has_voice(self, name: str) -> bool:
        """Return whether the voice `name`, with its variant if it has one, exists. Case does not matter."""
        try:
            with self._lock:
                self._select(name)
        except ModelError:
            return False
        return True

    def _select(self, name: str) -> None:
        """Make `name` the current voice. Raises ModelError and keeps the current voice if it does not exist."""
        if name == self._voice:
            return
        language, plus, variant = name.partition("+")
        if plus and variant.lower() not in self._variants:
            raise ModelError(
                f"espeak-ng has no voice variant {variant!r} (in {name!r}).",
                remedy="Choose one that `espeak-ng --voices=variant` lists, such as m1 to m8 or f1 to f5.",
            )
        suffix = f"+{self._variants[variant.lower()]}" if plus else ""
        for candidate in (language, self._languages.get(language.lower(), "")):
            if _is_plain(candidate) and not self._lib.espeak_SetVoiceByName((candidate + suffix).encode()):
                self._voice = name
                return
        raise ModelError(
            f"espeak-ng has no voice {name!r}.",
            remedy="Name a language that it has, with or without a variant, for example en-us, en-gb+m3 or en-us+f2.",
        )

    def _list_languages(self) -> dict[str, str]:
        """Map each language tag, in lower case, to the identifier of the voice that espeak-ng prefers for it."""
        best: dict[str, tuple[int, str]] = {}
        for voice in self._list_voices(None):
            for priority, language in _languages_of(voice):
                rank = (priority, voice.identifier.decode("utf-8", "replace"))
                best[language] = min(rank, best.get(language, rank))
        return {language: identifier for language, (_, identifier) in best.items()}

    def _list_variants(self) -> dict[str, str]:
        """Map each variant's name in lower case to its exact spelling."""
        language = ctypes.create_string_buffer(b"variant")
        found = self._list_voices(_Voice(languages=ctypes.addressof(language)))
        names = [voice.identifier.decode("utf-8", "replace").rpartition("/")[2] for voice in found]
        return {name.lower(): name for name in names}

    def _list_voices(self, like: _Voice | None) -> list[Any]:
        listed = self._lib.espeak_ListVoices(ctypes.byref(like) if like is not None else None)
        voices: list[Any] = []
        while listed[len(voices)]:
            voices.append(listed[len(voices)].contents)
        return voices

    # --- pronunciation -----------------------------------------------------------------------------------------------

    def phonemes(self, text: str, voice: str = "en-us") -> str:
        """Return how `text` is pronounced: IPA with stress marks (ˈ ˌ), words separated by single spaces.

        Words that are spoken as one, such as "of the", come as one. Empty when nothing would be said. Raises
        ModelError when there is no such voice.
        """
        encoded = ctypes.create_string_buffer(_readable(text).encode())
        with self._lock:
            self._select(voice)
            if self._cut_off:
                self._synth(b" \0")
            rest = ctypes.c_void_p(ctypes.addressof(encoded))
            clauses: list[str] = []
            while rest.value:
                spoken = self._lib.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEMES_IPA)
                clauses.append((spoken or b"").decode("utf-8", "replace"))
        return " ".join(_LANGUAGE_SWITCH.sub(" ", " ".join(clauses)).split())

    # --- speech ------------------------------------------------------------------------------------------------------

    def speak(self, text: str, voice: str, rate: int, pitch: int, sink: Sink) -> None:
        """Speak `text` into `sink`, chunk by chunk (60 ms, the last one shorter), until it returns False.

        `rate` is in words per minute (80–450), `pitch` 0–99. Blocks until the end; the sink runs on this thread
        and must not call back into this object. Sample indexes count from the start of the text, at `sample_rate`.
        Raises ModelError when there is no such voice, and whatever the sink raised.
        """
        encoded = _readable(text).encode() + b"\0"
        utterance = _Utterance(text, sink)
        with self._lock:
            self._select(voice)
            self._lib.espeak_SetParameter(_PARAMETER_RATE, rate, 0)
            self._lib.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
            self._utterance = utterance
            try:
                self._synth(encoded)
            finally:
                self._utterance = None
        if utterance.error is not None:
            raise utterance.error

    def synthesize(self, text: str, voice: str, rate: int = 165, pitch: int = 50) -> Generator[VoiceChunk, None, None]:
        """Speak `text`, yielding chunks as soon as they exist. Closing the iterator cuts the voice off within a chunk.

        The same arguments and errors as `speak`.
        """
        chunks: SimpleQueue[VoiceChunk | BaseException | None] = SimpleQueue()
        closed = threading.Event()

        def sink(chunk: VoiceChunk) -> bool:
            chunks.put(chunk)
            return not closed.is_set()

        def run() -> None:
            try:
                self.speak(text, voice, rate, pitch, sink)
            except BaseException as error:  # raised again by the reader
                chunks.put(error)
            else:
                chunks.put(None)

        thread = threading.Thread(target=run, name="espeak-ng")
        thread.start()
        try:
            while (item := chunks.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            closed.set()
            thread.join()

    def _synth(self, encoded: bytes) -> None:
        """Speak a text that ends with NUL into the current utterance, if there is one."""
        self._cut_off = False
        self._lib.espeak_Synth(encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)

    def _on_chunk(self, wav: Any, samples: int, events: Any) -> int:
        """Receive a chunk from the library; return 1 to end the speech, else 0."""
        utterance = self._utterance
        if utterance is None or not wav:  # no wav: the end of the speech
            return 0
        try:
            chunk = _chunk(utterance, ctypes.string_at(wav, samples * 2), events)
            self._cut_off = not utterance.sink(chunk)
        except BaseException as error:  # an exception cannot pass through C: `speak` raises it
            utterance.error = error
            self._cut_off = True
        return int(self._cut_off)


def _chunk(utterance: _Utterance, pcm: bytes, events: Any) -> VoiceChunk:
    """Return the audio with the events that the library attached to it."""
    phonemes: list[PhonemeOnset] = []
    words: list[WordOnset] = []
    index = 0
    while events[index].type != _EVENT_LIST_TERMINATED:
        event = events[index]
        if event.type == _EVENT_PHONEME:
            address = ctypes.addressof(event) + _Event.id.offset
            # Eight bytes at most, with no NUL after the eighth: a longer symbol is cut, perhaps within a character.
            symbol = ctypes.string_at(address, 8).partition(b"\0")[0].decode("utf-8", "ignore")
            stress = max((_STRESS.get(mark, 0) for mark in symbol[:1]), default=0)
            phonemes.append(PhonemeOnset(event.sample, symbol.strip("ˈˌ"), stress))
        elif event.type == _EVENT_WORD:
            word = _word_at(utterance.text, event.text_position - 1)
            if word is not None and word[0] >= utterance.last_word_end:
                utterance.last_word_end = word[1]
                words.append(WordOnset(event.sample, *word))
        index += 1
    return VoiceChunk(pcm, tuple(phonemes), tuple(words))


def _word_at(text: str, position: int) -> tuple[int, int] | None:
    """Return start and end of what stands between blanks around `position`; None where there is only a blank."""
    if not 0 <= position < len(text) or text[position].isspace():
        return None
    start = position
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    end = position + 1
    while end < len(text) and not text[end].isspace():
        end += 1
    return start, end


def _readable(text: str) -> str:
    """Return `text` with a blank for each control character and lone surrogate; its length stays the same."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def _is_plain(name: str) -> bool:
    """Return whether a voice name can be passed to C and stays within espeak-ng's data directory."""
    return bool(name) and ".." not in name and _readable(name) == name


def _languages_of(voice: Any) -> Iterator[tuple[int, str]]:
    """Read espeak_VOICE.languages: pairs of (priority byte, NUL-terminated tag), until priority 0."""
    at = voice.languages
    while at and (priority := ctypes.string_at(at, 1)[0]):
        tag = ctypes.string_at(at + 1)
        yield priority, tag.decode("utf-8", "replace").lower()
        at += 2 + len(tag)


def _find_library() -> tuple[ctypes.CDLL, str | None]:
    """Return the library of the package espeakng-loader with its data path, else the system's library with None."""
    reasons: list[str] = []
    try:
        import espeakng_loader

        return ctypes.CDLL(espeakng_loader.get_library_path()), espeakng_loader.get_data_path()
    except (ImportError, OSError, RuntimeError) as error:
        reasons.append(f"espeakng-loader: {error}")
    for name in _SYSTEM_LIBRARIES:
        try:
            return ctypes.CDLL(name), None
        except OSError:
            continue
    reasons.append("espeak-ng is not installed in the system")
    raise EngineUnavailable(
        f"espeak-ng cannot be loaded ({'; '.join(reasons)}).",
        remedy="Install it: pip install espeakng-loader (or your system's package libespeak-ng1).",
    )


def _declare(library: ctypes.CDLL) -> None:
    """Declare the C signatures of the functions used here."""
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_Initialize.restype = ctypes.c_int
    library.espeak_Info.argtypes = [ctypes.c_void_p]
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_SetSynthCallback.argtypes = [_SynthCallback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetVoiceByName.restype = ctypes.c_int
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_SetParameter.restype = ctypes.c_int
    library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.espeak_Synth.restype = ctypes.c_int
