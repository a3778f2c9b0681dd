"""The Prometheus exposition: all counters in Prometheus's text format, for `/metrics`.

Each scrape reads the counters (counters.py); `LLM` and `TURNS` give each its metric name and meaning, which
docs/metrics.md lists. Names follow Prometheus: base units, a counter ends in `_total`, a histogram's buckets are
cumulative. No label holds the name of a player, a character or a world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from mythicd import __version__
from mythicd.telemetry.counters import Histogram, LlmCounters, TurnCounters

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Content type of what `Metrics.render` returns."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric, and the attributes of LlmCounters or TurnCounters that it shows."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    attribute: str = ""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Instead of `attribute`: several attributes, by the value of the label `outcome`."""


LLM = (
    Series(
        "mythic_llm_replies_total",
        "counter",
        "Replies that ended, by outcome: finished, cancelled (the reader closed it), refused (Busy), failed.",
        outcomes={"finished": "replies", "cancelled": "cancelled", "refused": "refused", "failed": "failed"},
    ),
    Series(
        "mythic_llm_prompt_evaluated_tokens_total",
        "counter",
        "Prompt tokens evaluated while a reply waits for them.",
        "tokens_new",
    ),
    Series(
        "mythic_llm_prompt_reused_tokens_total",
        "counter",
        "Prompt tokens of replies that were in the KV cache already.",
        "tokens_reused",
    ),
    Series(
        "mythic_llm_prompt_ahead_tokens_total",
        "counter",
        "Prompt tokens evaluated in advance: warm-ups, idle compaction, speculative prefill.",
        "tokens_ahead",
    ),
    Series(
        "mythic_llm_prompt_wasted_tokens_total",
        "counter",
        "Tokens of speculative prefill that no reply used.",
        "tokens_wasted",
    ),
    Series("mythic_llm_written_tokens_total", "counter", "Tokens written.", "tokens_written"),
    Series("mythic_llm_kv_cells", "gauge", "Cells of the KV cache.", "cells"),
    Series("mythic_llm_kv_used_cells", "gauge", "Cells of the KV cache that hold a token.", "cells_used"),
    Series("mythic_llm_parked_characters", "gauge", "Characters whose KV cache is in host memory.", "parked"),
    Series("mythic_llm_parked_bytes", "gauge", "Host memory that parked characters take.", "parked_bytes"),
    Series("mythic_llm_parks_total", "counter", "Characters moved from the KV cache to host memory.", "parks"),
    Series("mythic_llm_restores_total", "counter", "Characters moved back into the KV cache.", "restores"),
    Series(
        "mythic_llm_evictions_total",
        "counter",
        "Sequences of which more than the ephemeral end was evicted.",
        "evictions",
    ),
    Series(
        "mythic_llm_out_of_memory_total",
        "counter",
        "Evaluations that found no free cell, and restored states that did not fit.",
        "out_of_memory",
    ),
    Series("mythic_llm_adapter_switches_total", "counter", "Switches to another LoRA adapter.", "adapter_switches"),
    Series("mythic_llm_writing_streams", "gauge", "Replies being written now.", "writing"),
    Series("mythic_llm_waiting_replies", "gauge", "Replies that wait for admission.", "waiting"),
    Series("mythic_llm_time_to_first_token_seconds", "histogram", "From the request to its first token.", "ttft"),
    Series(
        "mythic_llm_queue_wait_seconds", "histogram", "From the request to its admission to the KV cache.", "queue_wait"
    ),
    Series("mythic_llm_step_seconds", "histogram", "Duration of a step of the model.", "step"),
)
"""All counters of the language model, by metric name."""

TURNS = (
    Series("mythic_turns_total", "counter", "Turns of players whose words were final.", "turns"),
    Series("mythic_turn_answers_prepared_total", "counter", "Responses started at a soft end.", "prepared"),
    Series(
        "mythic_turn_answers_settled_total",
        "counter",
        "Responses started at a soft end, by outcome: committed (their messages were sent), undone (rolled back).",
        outcomes={"committed": "committed", "undone": "undone"},
    ),
    Series(
        "mythic_turn_answers_corrected_total",
        "counter",
        "Responses started on a partial, and started again with the recogniser's guess at the final words.",
        "corrected",
    ),
    Series(
        "mythic_turn_answers_missed_total",
        "counter",
        "Responses rolled back because the final words were different.",
        "missed",
    ),
    Series(
        "mythic_turn_overlaps_total",
        "counter",
        "Player speech over a character's, by outcome: interruption (it was cut off), backchannel (it went on).",
        outcomes={"interruption": "interruptions", "backchannel": "backchannels"},
    ),
    Series("mythic_turn_murmurs_total", "counter", "Fillers of characters: backchannels and hesitations.", "murmurs"),
    Series(
        "mythic_turn_latency_seconds",
        "histogram",
        "From the player's last voiced sample to the first audible sample of the reply.",
        "audible",
    ),
    Series(
        "mythic_turn_masked_latency_seconds",
        "histogram",
        "From the player's last voiced sample to the character's first sound, a hesitation included.",
        "masked",
    ),
)
"""All counters of turns, by metric name."""


class CountersCollector:
    """A collector of counters (prometheus_client.registry.Collector)."""

    def __init__(self, series: Iterable[Series], counters: Callable[[], LlmCounters | TurnCounters]) -> None:
        self._series = tuple(series)
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        """Return every metric with its current value."""
        counters = self._counters()
        return [_family(series, counters) for series in self._series]


def _family(series: Series, counters: LlmCounters | TurnCounters) -> Metric:
    if series.outcomes:
        outcomes = CounterMetricFamily(series.name, series.meaning, labels=["outcome"])
        for outcome, attribute in series.outcomes.items():
            outcomes.add_metric([outcome], getattr(counters, attribute))
        return outcomes
    value = getattr(counters, series.attribute)
    if series.kind == "histogram":
        return _histogram(series, value)
    family = CounterMetricFamily if series.kind == "counter" else GaugeMetricFamily
    return family(series.name, series.meaning, value=value)


def _histogram(series: Series, histogram: Histogram) -> Metric:
    counts = list(histogram.counts)  # a copy, because the engine's thread goes on counting
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(counts), strict=True))
    return HistogramMetricFamily(series.name, series.meaning, buckets=buckets, sum_value=histogram.total)


class GatewayCollector:
    """A collector of the gateway's state (prometheus_client.registry.Collector)."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        """Return the daemon's version and the number of its clients."""
        return [
            InfoMetricFamily("mythic_build", "The daemon's version, as a label; always 1.", {"version": __version__}),
            GaugeMetricFamily("mythic_connections", "Connected clients.", value=self._connections()),
        ]


class Metrics:
    """All metrics of one daemon, in a registry of its own, so that two daemons in one process stay apart."""

    def __init__(
        self, *, llm: Callable[[], LlmCounters], turns: Callable[[], TurnCounters], connections: Callable[[], int]
    ) -> None:
        """All arguments are called at each scrape."""
        self._registry = CollectorRegistry()
        self._registry.register(GatewayCollector(connections))
        self._registry.register(CountersCollector(LLM, llm))
        self._registry.register(CountersCollector(TURNS, turns))
        ProcessCollector(registry=self._registry)  # it reads /proc, and is empty where there is none

    def render(self) -> bytes:
        """Return all metrics with their current values, in the format of `CONTENT_TYPE`."""
        return generate_latest(self._registry)
