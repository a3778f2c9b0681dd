"""The speech server's engine: a Tts on any server with OpenAI's /v1/audio/speech.

The server streams audio without timings; onsets are estimated (estimated_timing.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final

from mythicd.audio.pcm import SAMPLE_BYTES, Resampler
from mythicd.concurrency.priority_slots import PrioritySlots
from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.engines.tts import VoiceChunk, VoiceSpec, language_code
from mythicd.errors import AudioError, EngineError
from mythicd.http_client.connection import HttpConnection, HttpStream, not_running
from mythicd.tts.speech_server.audio_body import AudioBody, is_text
from mythicd.tts.speech_server.http import MAX_REFUSAL, begin, check
from mythicd.tts.speech_server.http_errors import not_audio
from mythicd.tts.speech_server.options import SpeechServerOptions
from mythicd.tts.speech_server.request import ServedVoice, readable, request_body, served_voice
from mythicd.tts.timing_estimator import CALIBRATION, TimingEstimator

LONGEST_S: Final = 120.0
"""Longest audio of one phrase; more is a fault of the server."""


class SpeechServerTts:
    """Voices of an OpenAI-compatible speech server. Implements `Tts`.

    A voice without a `server` entry speaks with one of `options.voices`, always the same. The API has no parameter for
    the language: a `ServerVoice.language` only selects the pronunciation for the timings.
    """

    def __init__(
        self, options: SpeechServerOptions, sample_rate: int = 24_000, *, environment: Mapping[str, str] = os.environ
    ) -> None:
        """`sample_rate` is that of all audio from here, in hertz; `environment` holds the API key."""
        self.sample_rate = sample_rate
        self._options = options
        self._environment = environment
        self._slots = PrioritySlots(options.workers)
        self._connection: HttpConnection | None = None
        self._timing: TimingEstimator | None = None
        self._worker: WorkerThread | None = None

    async def start(self) -> None:
        """Check that the server can be reached. Raises EngineUnavailable, or ConfigError for a missing or wrong key."""
        worker = WorkerThread("tts-server")
        connection: HttpConnection | None = None
        try:
            connection = HttpConnection.open(self._options.server, self._environment)
            await check(connection)
            self._timing = await worker.call(TimingEstimator.load)
        except BaseException:
            if connection is not None:
                await connection.close()
            await worker.close()
            raise
        self._connection, self._worker = connection, worker

    def language(self, voice: VoiceSpec) -> str:
        """Return the language that the voice's entry names, else that of its espeak-ng voice."""
        return voice.server.language if voice.server is not None else language_code(voice.espeak)

    async def prepare(self, voice: VoiceSpec) -> None:
        """Have the server speak a few digits with this voice, unless it has spoken before.

        Raises ModelError when the server does not have the voice, and the errors of `speak`.
        """
        self._started()
        served = served_voice(voice, self._options.voices)
        if self._timing is None or not self._timing.knows(served):
            async with aclosing(self.speak(CALIBRATION, voice)) as chunks:
                async for _ in chunks:
                    pass

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, piece by piece as it arrives. Closing the generator closes the connection.

        Raises EngineUnavailable when the server cannot be reached, BusyError when it has no capacity, ConfigError or
        ModelError when it rejects the request or sends something other than audio, and EngineError when it fails,
        stalls, or breaks off; audio that arrived by then was yielded.
        """
        connection, timing, worker = self._started()
        served = served_voice(voice, self._options.voices)
        said = readable(text)
        if not any(letter.isalnum() for letter in said):
            return
        async with self._slots.slot(lead_s):
            phrase = await worker.call(timing.begin, said, voice, served.language, served, self.sample_rate)
            async with aclosing(self._audio(connection, said, served)) as pieces:
                async for pcm in pieces:
                    chunk = phrase.add(pcm)
                    if chunk.pcm:
                        yield chunk
            rest = phrase.finish()
            if rest.pcm or rest.words:
                yield rest
            timing.end(served, phrase)

    async def stop(self) -> None:
        """Close all connections and end the thread."""
        connection, self._connection = self._connection, None
        worker, self._worker = self._worker, None
        if connection is not None:
            await connection.close()
        if worker is not None:
            await worker.close()

    def _started(self) -> tuple[HttpConnection, TimingEstimator, WorkerThread]:
        if self._connection is None or self._timing is None or self._worker is None:
            raise not_running(self._options.server.name)
        return self._connection, self._timing, self._worker

    async def _audio(self, connection: HttpConnection, text: str, voice: ServedVoice) -> AsyncGenerator[bytes, None]:
        """Yield the s16le mono audio of a phrase at this engine's sample rate."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._options.first_s
        samples = 0
        stream: HttpStream | None = None
        try:
            stream = await begin(connection, request_body(text, voice, self._options), deadline)
            if is_text(stream.content_type):
                raise not_audio(stream.content_type, await stream.beginning(MAX_REFUSAL, deadline))
            body = AudioBody(self._options.format, self._options.pcm_rate, stream.headers)
            resampler: Resampler | None = None
            while True:
                data = await stream.read(deadline)
                deadline = now() + self._options.gap_s
                pcm = body.add(data) if data else body.finish()
                if pcm:
                    assert body.rate is not None
                    resampler = resampler or Resampler(body.rate, self.sample_rate)
                    samples += len(pcm) // SAMPLE_BYTES
                    if samples > LONGEST_S * body.rate:
                        raise _endless()
                    yield resampler.add(pcm)
                if not data:
                    break
            if resampler is None:
                raise EngineError("The speech server sent no audio.", remedy="Try again, and see the server's log.")
            yield resampler.finish()
        except TimeoutError:
            raise self._stalled(bool(samples)) from None
        except AudioError as error:
            raise EngineError(f"The speech server's audio is damaged. {error.what}", remedy=error.remedy) from error
        finally:
            if stream is not None:
                stream.close()

    def _stalled(self, has_spoken: bool) -> EngineError:
        if has_spoken:
            return EngineError(
                f"The speech server sent nothing for {self._options.gap_s:g} s in the middle of a phrase.",
                remedy="Try again, and see the server's log.",
            )
        return EngineError(
            f"The speech server sent no audio within {self._options.first_s:g} s.",
            remedy="Use a faster server or model, or a server that streams.",
        )


def _endless() -> EngineError:
    return EngineError(
        f"The speech server sent more than {LONGEST_S:.0f} s of audio for one phrase.", remedy="See the server's log."
    )
