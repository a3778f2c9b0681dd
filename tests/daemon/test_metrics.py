"""The daemon's metrics, scraped before and after a real turn."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from mythicd.client.daemon_client import DaemonClient
from mythicd.wire import messages as m
from tests.daemon.process import DaemonProcess

FINISHED = 'mythic_llm_replies_total{"outcome": "finished"}'


async def scrape(daemon: DaemonProcess) -> dict[str, float]:
    """Return every sample but the buckets, by its name."""
    headers = {"Authorization": f"Bearer {daemon.where.token}"}
    async with aiohttp.ClientSession() as http, http.get(f"{daemon.base}/metrics", headers=headers) as answer:
        assert answer.status == 200
        text = await answer.text()
    read = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        sample.name
        + (f'{{"outcome": "{sample.labels["outcome"]}"}}' if "outcome" in sample.labels else ""): sample.value
        for sample in read
        if "le" not in sample.labels
    }


async def test_a_turn_is_counted(client: DaemonClient, daemon: DaemonProcess) -> None:
    before = await scrape(daemon)
    await client.send(m.TextInput(npc_id="barkeep_01", text="When does the tavern close?"))
    turn = await client.turn()
    assert isinstance(turn[-1], m.TurnTimeline)
    after = await scrape(daemon)

    def grown(name: str) -> float:
        return after[name] - before[name]

    assert grown(FINISHED) >= 1
    assert grown("mythic_llm_time_to_first_token_seconds_count") == grown(FINISHED)
    assert grown("mythic_llm_queue_wait_seconds_count") == grown(FINISHED)
    first_token_s = grown("mythic_llm_time_to_first_token_seconds_sum")
    assert 0 <= grown("mythic_llm_queue_wait_seconds_sum") <= first_token_s < 60
    assert grown("mythic_llm_written_tokens_total") >= len(turn[-1].reply.split()) > 0
    assert grown("mythic_llm_prompt_evaluated_tokens_total") > 0, "at least the turn's words and header are new"
    assert grown("mythic_llm_step_seconds_count") >= 1
    assert 0 < after["mythic_llm_kv_used_cells"] <= after["mythic_llm_kv_cells"]
    assert (after["mythic_llm_waiting_replies"], grown("mythic_llm_out_of_memory_total")) == (0, 0)
    assert after["mythic_connections"] >= 1
