"""`python -m bench NAME [--quick]`."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Run one benchmark, and return its exit code. It is imported alone, since another's packages may be missing."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure Mythic.")
    benches = parser.add_subparsers(dest="name", required=True)
    turn = benches.add_parser("turn", help="latency of a turn, compared with Pipecat")
    llm = benches.add_parser("llm", help="many characters on one model, compared with llama-server")
    echo = benches.add_parser("echo", help="echo of a character's voice in an open microphone")
    barge_in = benches.add_parser("barge_in", help="speech over a character's voice: backchannels and interruptions")
    tts = benches.add_parser("tts", help="first sound and cost of a Piper voice, compared with Piper's own package")
    asr = benches.add_parser("asr", help="cost and errors of the recogniser, compared with faster-whisper's own call")
    for bench in (turn, llm, echo, barge_in, tts, asr):
        bench.add_argument("--quick", action="store_true", help="a reduced run of less than 55 s")
    turn.add_argument("--only", choices=("random", "real", "profiles"), help="run one part: 12 minutes each")
    llm.add_argument("--only", choices=("turns", "newcomer", "engine"), help="run one stage: 20 to 60 minutes each")
    benches.add_parser("pauses", help="wait at pauses against false cut-offs")
    soak = benches.add_parser("llm_soak", help="many characters on one model for a long time, under random load")
    soak.add_argument("--minutes", type=float, default=30.0)
    talk = benches.add_parser("talk_soak", help="characters that talk at once for a long time, on the real engines")
    talk.add_argument("--minutes", type=float, default=30.0)
    chosen = parser.parse_args()
    match chosen.name:
        case "turn":
            from bench.turn import run as turn_bench

            return turn_bench.run(quick=chosen.quick, only=chosen.only)
        case "talk_soak":
            from bench.turn import talk_soak

            return talk_soak.run(minutes=chosen.minutes)
        case "llm":
            from bench.llm import run as llm_bench

            return llm_bench.run(quick=chosen.quick, only=chosen.only)
        case "asr":
            from bench.asr import run as asr_bench

            return asr_bench.run(quick=chosen.quick)
        case "tts":
            from bench.tts import run as tts_bench

            return tts_bench.run(quick=chosen.quick)
        case "echo":
            from bench.open_mic import echo as echo_bench

            return echo_bench.run(quick=chosen.quick)
        case "barge_in":
            from bench.open_mic import barge_in as barge_in_bench

            return barge_in_bench.run(quick=chosen.quick)
        case "pauses":
            from bench.open_mic import pauses as pauses_bench

            return pauses_bench.run()
        case _:
            from bench.llm import soak as llm_soak

            return llm_soak.run(minutes=chosen.minutes)


if __name__ == "__main__":
    sys.exit(main())
