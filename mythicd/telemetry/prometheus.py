"""What `/metrics` answers: everything the daemon counts, in Prometheus's text format.

Nothing is counted here. The engines keep plain numbers (counters.py), and each scrape reads them as they are; `LLM`
says what each is called outside. Names follow Prometheus: base units, a counter ends in `_total`, a histogram's buckets
are cumulative. No label ever carries a player's, a character's or a world's name. docs/metrics.md is the list for
readers.
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
"""Of what `Metrics.render` returns."""


@dataclass(frozen=True, slots=True)
class Series:
    """One family of numbers, and the attributes of LlmFigures or TurnFigures that it shows."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    attribute: str = ""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Instead of `attribute`: several that add up, by the value of the label `outcome`."""


LLM = (
    Series(
        "mythic_llm_replies_total",
        "counter",
        "Replies that ended, by outcome: finished, cancelled (nobody read on), refused (Busy), failed.",
        outcomes={"finished": "replies", "cancelled": "cancelled", "refused": "refused", "failed": "failed"},
    ),
    Series(
        "mythic_llm_prompt_evaluated_tokens_total",
        "counter",
        "Prompt tokens evaluated while somebody waited for the reply.",
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
        "Prompt tokens evaluated ahead of need: warm-ups, idle compaction, preparing while the player speaks.",
        "tokens_ahead",
    ),
    Series(
        "mythic_llm_prompt_wasted_tokens_total",
        "counter",
        "Of the tokens prepared while the player speaks, those that no reply used.",
        "tokens_wasted",
    ),
    Series("mythic_llm_written_tokens_total", "counter", "Tokens written.", "tokens_written"),
    Series("mythic_llm_kv_cells", "gauge", "Cells of the KV cache.", "cells"),
    Series("mythic_llm_kv_used_cells", "gauge", "Cells of the KV cache that hold a token.", "cells_used"),
    Series("mythic_llm_parked_characters", "gauge", "Characters whose KV lies in host memory.", "parked"),
    Series("mythic_llm_parked_bytes", "gauge", "Host memory that parked characters take.", "parked_bytes"),
    Series("mythic_llm_parks_total", "counter", "Characters moved from the KV cache to host memory.", "parks"),
    Series("mythic_llm_restores_total", "counter", "Characters moved back into the KV cache.", "restores"),
    Series(
        "mythic_llm_evictions_total",
        "counter",
        "Sequences that lost more than their ephemeral end to others.",
        "evictions",
    ),
    Series(
        "mythic_llm_out_of_memory_total",
        "counter",
        "Evaluations that found no free cell, and restored states that did not fit.",
        "out_of_memory",
    ),
    Series("mythic_llm_adapter_switches_total", "counter", "Times the model took another adapter.", "adapter_switches"),
    Series("mythic_llm_writing_streams", "gauge", "Replies being written just now.", "writing"),
    Series("mythic_llm_waiting_replies", "gauge", "Replies that wait for room.", "waiting"),
    Series("mythic_llm_time_to_first_token_seconds", "histogram", "From the request to its first token.", "ttft"),
    Series(
        "mythic_llm_queue_wait_seconds", "histogram", "From the request to its place in the KV cache.", "queue_wait"
    ),
    Series("mythic_llm_step_seconds", "histogram", "Steps of the model.", "step"),
)
"""The language model's figures, all of them, by the names they have outside."""

TURNS = (
    Series("mythic_turns_total", "counter", "Turns of players whose words were final.", "turns"),
    Series("mythic_turn_answers_prepared_total", "counter", "Answers begun at a pause.", "prepared"),
    Series(
        "mythic_turn_answers_settled_total",
        "counter",
        "Answers begun at a pause, by outcome: committed (the player got to hear them), undone (the player went on).",
        outcomes={"committed": "committed", "undone": "undone"},
    ),
    Series(
        "mythic_turn_answers_corrected_total",
        "counter",
        "Answers begun on a partial's words, and begun anew with the recogniser's guess at the final ones.",
        "corrected",
    ),
    Series(
        "mythic_turn_answers_missed_total", "counter", "Answers undone because the final words were others.", "missed"
    ),
    Series(
        "mythic_turn_overlaps_total",
        "counter",
        "Voices over a character's, by outcome: interruption (it was cut off), backchannel (it spoke on).",
        outcomes={"interruption": "interruptions", "backchannel": "backchannels"},
    ),
    Series("mythic_turn_murmurs_total", "counter", "Backchannels and hesitations of the characters' own.", "murmurs"),
    Series(
        "mythic_turn_latency_seconds",
        "histogram",
        "From the player's last voiced sample to the first audible one of the reply.",
        "audible",
    ),
    Series(
        "mythic_turn_masked_latency_seconds",
        "histogram",
        "The same to the first sound of the character, a hesitation included.",
        "masked",
    ),
)
"""What became of turns, all of it, by the names it has outside."""


class CountersCollector:
    """Reads figures when it is asked (prometheus_client.registry.Collector)."""

    def __init__(self, series: Iterable[Series], counters: Callable[[], LlmCounters | TurnCounters]) -> None:
        self._series = tuple(series)
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        """Return every series as it is now."""
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
    counts = list(histogram.counts)  # the engine's thread goes on counting: the buckets are to agree with their sum
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(counts), strict=True))
    return HistogramMetricFamily(series.name, series.meaning, buckets=buckets, sum_value=histogram.total)


class GatewayCollector:
    """Reads what the gateway knows when it is asked (prometheus_client.registry.Collector)."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        """Return the daemon's version and the number of its clients."""
        return [
            InfoMetricFamily("mythic_build", "The daemon's version, as a label; always 1.", {"version": __version__}),
            GaugeMetricFamily("mythic_connections", "Clients that are connected.", value=self._connections()),
        ]


class Metrics:
    """All figures of one daemon. It has a registry of its own: two daemons in one process do not meet."""

    def __init__(
        self, *, llm: Callable[[], LlmCounters], turns: Callable[[], TurnCounters], connections: Callable[[], int]
    ) -> None:
        """All are asked anew at each scrape."""
        self._registry = CollectorRegistry()
        self._registry.register(GatewayCollector(connections))
        self._registry.register(CountersCollector(LLM, llm))
        self._registry.register(CountersCollector(TURNS, turns))
        ProcessCollector(registry=self._registry)  # it reads /proc; where there is none it gives nothing

    def render(self) -> bytes:
        """Return everything as it is now, in the format that `CONTENT_TYPE` names."""
        return generate_latest(self._registry)
