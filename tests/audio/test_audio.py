"""Audio: wav files of all kinds, framing and resampling as properties, and levels."""

from __future__ import annotations

import math
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mythicd.audio.pcm import Clip, Reframer, Resampler, ms_of, rms_dbfs, samples_of, to_array
from mythicd.audio.wav import MAX_CLIP_S, read_wav, write_wav
from mythicd.errors import AudioError

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


def tone(rate: int, seconds: float, *, hertz: float = 440.0, level: float = 0.5) -> NDArray[np.float64]:
    """Return a sine; `level` is its peak, with full scale 1."""
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def pcm_of(samples: NDArray[np.float64]) -> bytes:
    return np.rint(samples * 32767).astype("<i2").tobytes()


def pitch_of(clip: Clip) -> float:
    """Return the strongest frequency in hertz, to about half a hertz for a second of sound."""
    samples = to_array(clip.pcm).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n=4 * len(samples)))
    return float(np.argmax(spectrum)) * clip.rate / (4 * len(samples))


def wav(data: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16, data_size: int | None = None) -> bytes:
    """Write a PCM wav by hand, so that its header can give a wrong length of its data."""
    size = len(data) if data_size is None else data_size
    block = channels * bits // 8
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * block, block, bits)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", size)
    return struct.pack("<4sI", b"RIFF", len(body) + size) + body + data


class TestGoodFiles:
    """Sample formats of all kinds come out as the same mono s16le, at the same level."""

    @pytest.mark.parametrize(
        ("kind", "subtype"),
        [
            ("WAV", "PCM_U8"),
            ("WAV", "PCM_16"),
            ("WAV", "PCM_24"),
            ("WAV", "PCM_32"),
            ("WAV", "FLOAT"),
            ("WAV", "DOUBLE"),
            ("WAVEX", "PCM_16"),
            ("WAVEX", "FLOAT"),
            ("RF64", "PCM_16"),
            ("FLAC", "PCM_16"),
            ("OGG", "VORBIS"),
        ],
    )
    def test_sample_formats(self, tmp_path: Path, kind: str, subtype: str) -> None:
        file = tmp_path / "question.wav"
        soundfile.write(file, tone(16_000, 0.5), 16_000, format=kind, subtype=subtype)
        clip = read_wav(file)
        assert (clip.rate, len(clip.pcm)) == (16_000, 16_000)
        # A sine of half full scale: −6.02 dB peak, −9.03 dB rms.
        assert rms_dbfs(clip.pcm) == pytest.approx(-9.03, abs=0.2)
        assert pitch_of(clip) == pytest.approx(440, abs=1)

    def test_stereo_48_khz_is_mixed_down_and_resampled(self, tmp_path: Path) -> None:
        left, right = tone(48_000, 0.5, level=0.6), tone(48_000, 0.5, level=0.2)
        soundfile.write(tmp_path / "a.wav", np.column_stack([left, right]), 48_000)
        clip = read_wav(tmp_path / "a.wav")
        assert clip.rate == 48_000
        assert clip.duration_s == pytest.approx(0.5)
        assert np.abs(to_array(clip.pcm) / 32768 - (left + right) / 2).max() < 2 / 32768
        heard = clip.at(16_000)
        assert heard.duration_s == pytest.approx(0.5, abs=0.001)
        assert rms_dbfs(heard.pcm) == pytest.approx(rms_dbfs(clip.pcm), abs=0.1)
        assert pitch_of(heard) == pytest.approx(440, abs=1)

    def test_one_silent_channel_halves_the_level(self, tmp_path: Path) -> None:
        sound = tone(16_000, 0.5)
        soundfile.write(tmp_path / "a.wav", np.column_stack([sound, np.zeros_like(sound)]), 16_000)
        assert rms_dbfs(read_wav(tmp_path / "a.wav").pcm) == pytest.approx(-9.03 - 6.02, abs=0.1)

    def test_eight_bit_silence_is_silence(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(wav(b"\x80" * 800, bits=8))
        assert read_wav(tmp_path / "a.wav").pcm == bytes(1600)

    def test_sixteen_bit_samples_come_through_exactly(self, tmp_path: Path) -> None:
        data = np.array([-32768, -32767, -1, 0, 1, 32766, 32767] * 100, dtype="<i2").tobytes()
        (tmp_path / "a.wav").write_bytes(wav(data))
        assert read_wav(tmp_path / "a.wav").pcm == data

    def test_floats_over_full_scale_are_clipped_not_wrapped(self, tmp_path: Path) -> None:
        values = np.array([1.0, 1.5, 100.0, -1.0, -1.5, np.inf, -np.inf, np.nan, 0.5], dtype=np.float32)
        soundfile.write(tmp_path / "a.wav", values, 16_000, subtype="FLOAT")
        samples = to_array(read_wav(tmp_path / "a.wav").pcm).tolist()
        assert samples == [32767, 32767, 32767, -32768, -32768, 32767, -32768, 0, 16384]

    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
    def test_a_wav_written_to_a_pipe_has_no_length(self, tmp_path: Path, size: int) -> None:
        data = pcm_of(tone(16_000, 0.1))
        whole = bytearray(wav(data))
        whole[4:8] = struct.pack("<I", size)
        whole[40:44] = struct.pack("<I", 0xFFFFFFFF)
        (tmp_path / "a.wav").write_bytes(whole)
        assert read_wav(tmp_path / "a.wav").pcm == data

    def test_write_then_read(self, tmp_path: Path) -> None:
        clip = Clip(pcm_of(tone(22_050, 0.3)), 22_050)
        write_wav(tmp_path / "a.wav", clip)
        assert read_wav(tmp_path / "a.wav") == clip


class TestImperfectHeaders:
    """Wavs as tools write them to a pipe, and with chunks of other tools, give all their samples."""

    SAMPLES = pcm_of(tone(16_000, 1))

    def reads(self, folder: Path, data: bytes, expected: bytes = SAMPLES, rate: int = 16_000) -> None:
        (folder / "a.wav").write_bytes(data)
        assert read_wav(folder / "a.wav") == Clip(expected, rate)

    @pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
    @pytest.mark.parametrize("size", [0, 0x7FFF_0000, 0x7FFF_F000, 0x8000_0000, 0x8000_0024, 0xFFFF_FFD9, 0xFFFF_FFFF])
    def test_a_placeholder_for_the_size(self, tmp_path: Path, size: int, rate: int) -> None:
        data = bytearray(wav(self.SAMPLES, rate=rate))
        data[40:44] = struct.pack("<I", size)
        for riff in (0, 0x7FFF_F024, 0xFFFF_FFFF, len(data) - 8):
            data[4:8] = struct.pack("<I", riff)
            self.reads(tmp_path, bytes(data), rate=rate)

    @pytest.mark.parametrize("more", [1, 2, 8, 37, 320])
    def test_a_size_that_is_some_bytes_too_large(self, tmp_path: Path, more: int) -> None:
        self.reads(tmp_path, wav(self.SAMPLES, data_size=len(self.SAMPLES) + more))

    @pytest.mark.parametrize("more", [1, 2, 8, 4096])
    def test_a_riff_size_that_is_too_large(self, tmp_path: Path, more: int) -> None:
        data = bytearray(wav(self.SAMPLES))
        data[4:8] = struct.pack("<I", len(data) - 8 + more)
        self.reads(tmp_path, bytes(data))

    @pytest.mark.parametrize("content", [b"", b"INFOISFT\x04\0\0\0Lavf", b"odd", b"INFOICMT\x05\0\0\0hello"])
    @pytest.mark.parametrize("padded", [True, False], ids=["padded", "not padded"])
    def test_a_list_chunk_before_the_samples(self, tmp_path: Path, content: bytes, padded: bool) -> None:
        plain = wav(self.SAMPLES)
        chunk = b"LIST" + struct.pack("<I", len(content)) + content
        chunk += b"\0" if padded and len(content) % 2 else b""
        data = bytearray(plain[:36] + chunk + plain[36:])
        data[4:8] = struct.pack("<I", len(data) - 8)
        self.reads(tmp_path, bytes(data))

    @pytest.mark.parametrize("after", [b"LIST\x04\0\0\0INFO", b"id3 \x02\0\0\0ab"])
    def test_a_chunk_after_the_samples_is_not_heard(self, tmp_path: Path, after: bytes) -> None:
        data = bytearray(wav(self.SAMPLES) + after)
        data[4:8] = struct.pack("<I", len(data) - 8)
        self.reads(tmp_path, bytes(data))

    def test_hours_to_a_pipe_are_refused_unread(self, tmp_path: Path) -> None:
        file = tmp_path / "film.wav"
        head = wav(b"", data_size=0xFFFF_0000)
        file.write_bytes(head)
        os.truncate(file, len(head) + 16_000 * 2 * 3600 * 3)
        with pytest.raises(AudioError, match=r"film\.wav is 10800 s long; the limit is 300 s"):
            read_wav(file)


class TestBadFiles:
    """Each error names the file, what is wrong with it, and what to do."""

    def refuses(self, file: Path, says: str) -> None:
        with pytest.raises(AudioError, match=says) as caught:
            read_wav(file)
        assert file.name in caught.value.what
        assert caught.value.remedy

    def test_missing(self, tmp_path: Path) -> None:
        self.refuses(tmp_path / "none.wav", r"none\.wav: No such file or directory")

    def test_a_directory(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder.wav"
        folder.mkdir()
        self.refuses(folder, r"folder\.wav: Is a directory")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").touch()
        self.refuses(tmp_path / "a.wav", r"a\.wav is empty")

    def test_no_samples(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(wav(b""))
        self.refuses(tmp_path / "a.wav", "no audio")

    @pytest.mark.parametrize("length", [45, 46, 1000, 31_000])
    def test_truncated(self, tmp_path: Path, length: int) -> None:
        (tmp_path / "a.wav").write_bytes(wav(pcm_of(tone(16_000, 1)))[:length])
        self.refuses(tmp_path / "a.wav", rf"truncated: .*\b32000 bytes of samples, {length - 44} are there")

    @pytest.mark.parametrize("length", [12, 13, 20, 36, 43, 44])
    def test_truncated_in_its_header(self, tmp_path: Path, length: int) -> None:
        (tmp_path / "a.wav").write_bytes(wav(pcm_of(tone(16_000, 1)))[:length])
        self.refuses(tmp_path / "a.wav", "truncated|not a readable sound file|no audio")

    @pytest.mark.parametrize("length", [1, 4, 11])
    def test_truncated_before_it_is_a_wav(self, tmp_path: Path, length: int) -> None:
        (tmp_path / "a.wav").write_bytes(wav(b"\0\0")[:length])
        self.refuses(tmp_path / "a.wav", "not a readable sound file")

    @pytest.mark.parametrize("kind", ["FLAC", "OGG"])
    def test_truncated_in_other_formats(self, tmp_path: Path, kind: str) -> None:
        file = tmp_path / "a.wav"
        soundfile.write(file, tone(16_000, 1), 16_000, format=kind)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        self.refuses(file, "not a readable sound file|truncated")

    def test_a_pdf(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 20)
        self.refuses(tmp_path / "a.wav", r"a\.wav .*: Format not recognised")

    @pytest.mark.parametrize("rate", [0, 1, 2**31 - 1])
    def test_a_nonsensical_rate(self, tmp_path: Path, rate: int) -> None:
        data = bytearray(wav(bytes(2000)))
        data[24:28] = struct.pack("<I", rate)
        (tmp_path / "a.wav").write_bytes(data)
        self.refuses(tmp_path / "a.wav", f"sample rate of {rate} Hz" if rate else "not a readable sound file")

    def test_three_hours_are_refused_unread(self, tmp_path: Path) -> None:
        file = tmp_path / "film.wav"
        size = 3 * 3600 * 48_000 * 4
        head = wav(b"", rate=48_000, channels=2, data_size=size)
        file.write_bytes(head)
        os.truncate(file, len(head) + size)  # sparse: two gigabytes that take no room
        tracemalloc.start()
        try:
            self.refuses(file, r"film\.wav .*\b10800 s.*\b300 s")
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()

    def test_many_channels_are_mixed_in_blocks(self, tmp_path: Path) -> None:
        """As floats this clip would be 61 MB; the most an allowed one could be is gigabytes."""
        (tmp_path / "a.wav").write_bytes(wav(bytes(2 * 16 * 960_000), rate=48_000, channels=16))
        tracemalloc.start()
        try:
            assert read_wav(tmp_path / "a.wav").duration_s == 20
            assert tracemalloc.get_traced_memory()[1] < 40_000_000
        finally:
            tracemalloc.stop()

    def test_a_header_that_claims_three_hours(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(wav(bytes(64_000), data_size=3 * 3600 * 32_000))
        self.refuses(tmp_path / "a.wav", "truncated")

    def test_the_limit_is_exact(self, tmp_path: Path) -> None:
        file = tmp_path / "a.wav"
        file.write_bytes(wav(bytes(2 * 8_000), rate=8_000))
        assert read_wav(file, max_s=1.0).duration_s == 1.0
        with pytest.raises(AudioError, match=r"limit is 1 s"):
            file.write_bytes(wav(bytes(2 * 8_001), rate=8_000))
            read_wav(file, max_s=1.0)
        assert MAX_CLIP_S == 300

    def test_writing_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"reply\.wav"):
            write_wav(tmp_path / "none" / "reply.wav", Clip(b"\0\0", 16_000))


class TestReframer:
    """Nothing is lost, nothing reordered, and every frame is whole."""

    @given(st.lists(st.binary(max_size=50), max_size=12), st.integers(1, 9))
    def test_frames_join_to_what_came_in(self, chunks: list[bytes], samples: int) -> None:
        reframer = Reframer(samples)
        frames = [frame for chunk in chunks for frame in reframer.add(chunk)]
        rest = reframer.finish()
        assert b"".join(frames) + rest == b"".join(chunks)
        assert all(len(frame) == 2 * samples for frame in frames)
        assert len(rest) < 2 * samples

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_finish_starts_again(self, first: bytes, second: bytes) -> None:
        used, fresh = Reframer(4), Reframer(4)
        used.add(first)
        used.finish()
        assert used.add(second) == fresh.add(second)


class TestResampler:
    """A library does the filtering; these tests compare a stream with the whole clip."""

    @given(
        st.sampled_from([(a, b) for a in RATES for b in RATES if a != b]),
        st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    )
    @settings(deadline=None, max_examples=40)
    def test_a_stream_is_the_same_as_the_whole(self, rates: tuple[int, int], lengths: list[int]) -> None:
        source, target = rates
        pcm = pcm_of(tone(source, sum(lengths) / source, level=0.7))
        resampler, parts, at = Resampler(source, target), [], 0
        for length in lengths:
            parts.append(resampler.add(pcm[2 * at : 2 * (at + length)]))
            at += length
        streamed = to_array(b"".join([*parts, resampler.finish()])).astype(int)
        whole = to_array(Clip(pcm, source).at(target).pcm).astype(int)
        assert len(streamed) == len(whole)
        assert abs(len(whole) - len(pcm) / 2 * target / source) <= 2
        # soxr dithers when it rounds to 16 bits: neighbours, not equals.
        assert np.abs(streamed - whole).max(initial=0) <= 3

    @pytest.mark.parametrize("target", RATES)
    @pytest.mark.parametrize("source", RATES)
    def test_a_tone_keeps_its_frequency_and_level(self, source: int, target: int) -> None:
        clip = Clip(pcm_of(tone(source, 1.0)), source).at(target)
        assert pitch_of(clip) == pytest.approx(440, abs=0.5)
        middle = clip.pcm[target // 5 * 2 : -target // 5 * 2]
        assert rms_dbfs(middle) == pytest.approx(-9.03, abs=0.05)

    def test_frequencies_above_the_target_rate_are_removed(self) -> None:
        clip = Clip(pcm_of(tone(48_000, 1.0, hertz=12_000)), 48_000).at(16_000)
        assert rms_dbfs(clip.pcm[3200:-3200]) < -80

    def test_equal_rates_pass_unchanged(self) -> None:
        pcm = pcm_of(tone(16_000, 0.1))
        resampler = Resampler(16_000, 16_000)
        assert (resampler.add(pcm), resampler.finish()) == (pcm, b"")

    def test_nothing_in_nothing_out(self) -> None:
        assert Clip(b"", 22_050).at(16_000).pcm == b""

    def test_half_a_sample_is_refused(self) -> None:
        with pytest.raises(AudioError, match="3 bytes, .*multiple of 2"):
            Resampler(16_000, 8_000).add(b"abc")


class TestArithmetic:
    """Levels, and milliseconds to samples and back."""

    def test_levels(self) -> None:
        assert rms_dbfs(b"") == rms_dbfs(bytes(100)) == -math.inf
        assert rms_dbfs(np.full(100, -32768, dtype="<i2").tobytes()) == pytest.approx(0.0)
        assert rms_dbfs(np.array([16384, -16384] * 50, dtype="<i2").tobytes()) == pytest.approx(-6.02, abs=0.01)
        assert rms_dbfs(np.array([1, -1] * 50, dtype="<i2").tobytes()) == pytest.approx(-90.31, abs=0.01)

    @given(st.binary(min_size=2, max_size=200).filter(lambda data: len(data) % 2 == 0))
    def test_no_level_is_over_full_scale(self, pcm: bytes) -> None:
        assert rms_dbfs(pcm) <= 0

    @given(st.integers(0, 10**9), st.sampled_from(RATES))
    def test_samples_and_milliseconds_are_inverse(self, samples: int, rate: int) -> None:
        assert samples_of(ms_of(samples, rate), rate) == samples

    def test_frame_lengths_of_20_ms(self) -> None:
        assert [samples_of(20, rate) for rate in RATES] == [160, 320, 441, 480, 882, 960]
