"""The metrics: every counter by its name, in a format that Prometheus's own parser accepts, and only with the token."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from mythicd.character.environment import Engines
from mythicd.config.settings import Settings
from mythicd.server.gateway import Gateway
from mythicd.telemetry.counters import Histogram, LlmCounters, TurnCounters
from mythicd.telemetry.prometheus import CONTENT_TYPE, LLM, TURNS, Metrics, Series
from mythicd.world.hot_reload import WorldFiles
from mythicd.world.live_world import LiveWorld
from mythicd.world.sessions import Sessions
from tests.fakes import FakeAsr, FakeLlm, FakeStore, FakeTts, FakeVad

ROOT = Path(__file__).parents[2]
Counters = LlmCounters | TurnCounters
ALL: tuple[tuple[tuple[Series, ...], type[Counters]], ...] = ((LLM, LlmCounters), (TURNS, TurnCounters))
OURS = ("mythic_llm_", "mythic_turn")


def samples(text: str) -> Iterator[Sample]:
    """Parse an answer as Prometheus does. Raises ValueError where it is invalid."""
    for family in text_string_to_metric_families(text):
        yield from family.samples


def scrape(*given: Counters) -> list[Sample]:
    llm = next((counters for counters in given if isinstance(counters, LlmCounters)), LlmCounters())
    turns = next((counters for counters in given if isinstance(counters, TurnCounters)), TurnCounters())
    return list(samples(Metrics(llm=lambda: llm, turns=lambda: turns, connections=lambda: 3).render().decode()))


def value(read: list[Sample], name: str, **labels: str) -> float:
    """Return the one sample of this name and these labels."""
    (found,) = [sample.value for sample in read if sample.name == name and sample.labels == labels]
    return found


def names(series_name: str, kind: str) -> set[str]:
    return {f"{series_name}{end}" for end in ("_bucket", "_count", "_sum")} if kind == "histogram" else {series_name}


def test_at_the_start_every_series_is_zero() -> None:
    read = [sample for sample in scrape() if sample.name.startswith(OURS)]
    everything = (*LLM, *TURNS)
    assert {sample.name for sample in read} == set().union(*(names(series.name, series.kind) for series in everything))
    assert {sample.value for sample in read} == {0.0}


@pytest.mark.parametrize(("every", "kind"), ALL)
def test_every_counter_is_exported_once(every: tuple[Series, ...], kind: type[Counters]) -> None:
    """A counter without a metric name fails here: give it a row in `LLM` or `TURNS` (telemetry/prometheus.py)."""
    shown = [attribute for series in every for attribute in (series.attribute, *series.outcomes.values()) if attribute]
    assert sorted(shown) == sorted(figure.name for figure in fields(kind))

    numbers = {figure.name: number for number, figure in enumerate(fields(kind), 1) if figure.type in (int, "int")}
    read = scrape(kind(**numbers))
    for series in every:
        if series.kind == "histogram":
            continue
        if series.attribute:
            assert value(read, series.name) == numbers[series.attribute]
        for outcome, attribute in series.outcomes.items():
            assert value(read, series.name, outcome=outcome) == numbers[attribute]


@pytest.mark.parametrize(
    ("series", "kind"), [(series, kind) for every, kind in ALL for series in every if series.kind == "histogram"]
)
def test_buckets_are_cumulative_and_agree_with_count_and_sum(series: Series, kind: type[Counters]) -> None:
    counters, histogram = kind(), Histogram((0.01, 0.1, 1.0))
    setattr(counters, series.attribute, histogram)
    for seconds in (0.005, 0.1, 0.1, 0.5, 30.0):
        histogram.observe(seconds)
    read = scrape(counters)
    name = series.name
    buckets = {sample.labels["le"]: sample.value for sample in read if sample.name == f"{name}_bucket"}
    assert buckets == {"0.01": 1, "0.1": 3, "1.0": 4, "+Inf": 5}
    assert value(read, f"{name}_count") == 5
    assert value(read, f"{name}_sum") == pytest.approx(30.705)


def test_each_scrape_reads_again_and_two_daemons_stay_apart() -> None:
    one, other = LlmCounters(), LlmCounters(tokens_written=7)
    turns = TurnCounters()
    metrics, _ = (Metrics(llm=lambda f=f: f, turns=lambda: turns, connections=int) for f in (one, other))
    for written in (0, 12):
        one.tokens_written = written
        assert value(list(samples(metrics.render().decode())), "mythic_llm_written_tokens_total") == written


def test_names_follow_prometheus_and_labels_hold_no_names() -> None:
    for series in (*LLM, *TURNS):
        assert re.fullmatch(r"mythic_(llm|turns?)_[a-z]+(_[a-z]+)*", series.name)
        assert series.name.endswith("_total") == (series.kind == "counter")
        assert series.name.endswith("_seconds") == (series.kind == "histogram")
    assert {label for sample in scrape() for label in sample.labels} == {"le", "outcome", "version"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="process figures are read from /proc")
def test_the_process_is_measured() -> None:
    read = scrape()
    assert value(read, "process_resident_memory_bytes") > 1e6
    assert value(read, "process_cpu_seconds_total") > 0
    assert value(read, "process_open_fds") >= 3


def test_the_document_lists_exactly_the_metrics() -> None:
    document = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(mythic_(?:llm|turns?)_\w+)` \| (.*) \|$", document, re.M))
    assert list(table) == [series.name for series in (*LLM, *TURNS)]
    for series in (*LLM, *TURNS):
        kind, unit, meaning = table[series.name].split(" | ")
        assert (kind, meaning) == (series.kind, series.meaning)
        assert unit == "events" or unit in series.name, "the unit must be in the name"
    others = {sample.name for sample in scrape() if not sample.name.startswith(OURS)}
    assert others - set(re.findall(r"^\| `(\w+)`", document, re.M)) == set()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A real gateway with fake engines."""
    llm, store = FakeLlm(), FakeStore()
    llm.counters = LlmCounters(tokens_written=5)
    engines: Any = (FakeVad(), FakeAsr(), llm, FakeTts(), store, None, None)
    world = LiveWorld(WorldFiles(ROOT / "worlds" / "lanternport"), Engines(*engines), Settings(), notices=[])
    sessions = Sessions(world)
    gateway = Gateway(sessions, instance_id="id")
    await gateway.start(0)
    yield gateway
    await gateway.stop()
    await sessions.close()
    await world.close()


async def test_a_scrape_needs_the_token(gateway: Gateway) -> None:
    url = f"http://127.0.0.1:{gateway.port}/metrics"
    right = {"Authorization": f"Bearer {gateway.token}"}
    async with aiohttp.ClientSession() as http:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({**right, "Host": "evil.example.com"}, 421),
            ({**right, "Origin": "null"}, 403),
        ):
            async with http.get(url, headers=headers) as refused:
                assert refused.status == status
                assert "mythic_llm" not in await refused.text()
        async with http.get(url, headers=right) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
            read = list(samples(await answer.text()))
        assert value(read, "mythic_llm_written_tokens_total") == 5
        assert value(read, "mythic_connections") == 0
        async with (
            http.ws_connect(f"ws://127.0.0.1:{gateway.port}/v1/ws", headers=right),
            http.get(url, headers=right) as answer,
        ):
            assert value(list(samples(await answer.text())), "mythic_connections") == 1
