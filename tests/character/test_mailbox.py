"""The mailbox: control messages overtake audio, audio keeps its order, and both queues are bounded."""

from __future__ import annotations

import pytest

from mythicd.character.mailbox import MAX_AUDIO, MAX_CONTROL, Mailbox, MicFrame
from mythicd.errors import BusyError


def frame(number: int) -> MicFrame:
    return MicFrame(number, b"", 0.0)


async def test_control_overtakes_audio_and_audio_keeps_its_order() -> None:
    mailbox: Mailbox[str] = Mailbox()
    mailbox.post_in_order("open")
    mailbox.post_in_order(frame(1))
    mailbox.post_in_order("close")
    mailbox.post("cut")
    assert [await mailbox.get() for _ in range(4)] == ["cut", "open", frame(1), "close"]


async def test_get_returns_none_at_its_timeout() -> None:
    mailbox: Mailbox[str] = Mailbox()
    assert await mailbox.get(0.0) is None
    mailbox.post("x")
    assert await mailbox.get(0.0) == "x"


async def test_full_audio_queue_drops_the_oldest_frame_only() -> None:
    mailbox: Mailbox[str] = Mailbox()
    mailbox.post_in_order("open")
    for number in range(MAX_AUDIO + 10):
        mailbox.post_in_order(frame(number))
    assert mailbox.dropped == 11
    assert await mailbox.get() == "open"
    assert await mailbox.get() == frame(11)


async def test_full_control_queue_raises_busy() -> None:
    mailbox: Mailbox[str] = Mailbox()
    for _ in range(MAX_CONTROL):
        mailbox.post("x")
    with pytest.raises(BusyError, match=str(MAX_CONTROL)):
        mailbox.post("one too many")
