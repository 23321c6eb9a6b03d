"""What a monitoring system collects: the server's state in the Prometheus text format.

Machines and casts are counted by state; a running cast has series of its own, so that their number is
bounded by the casts under way, not by what a year has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from castserver.api.views import STATES, StateView
from castserver.casts.policy import CastState, PartState
from castserver.media.mediastate import MediaState


class StateCollector(Collector):
    """Turns one state of the server into metrics."""

    def __init__(self, state: StateView) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Every metric of ours."""
        state = self._state
        yield _counted("machines", "Machines by state.", STATES, Counter(c.state for c in state.clients))
        yield _counted("casts", "Casts by state.", CastState, state.cast_counts)
        yield _gauge(
            "medium_connected",
            "A deploy medium is used.",
            float(state.media.state is MediaState.CONNECTED),
        )
        yield _gauge("pxe_deploy", "PXE deploy is on.", float(state.pxe.deploy))
        yield _gauge("neighbours", "Other Fleetcast servers heard.", float(len(state.pxe.neighbours)))
        yield _gauge(
            "machine_rivals",
            "Clients not let in because another that is here says it is the same machine.",
            float(sum(len(c.trust.rivals) for c in state.clients)),
        )
        yield from self._casts()
        yield self._licences()

    def _casts(self) -> Iterator[Metric]:
        rate = _family("cast_rate_bytes", "Bytes a second that a running cast sends.", "cast", "image")
        parts = _family(
            "cast_machines", "Machines of a cast under way by state.", "cast", "image", "state"
        )
        for cast in self._state.casts:
            if cast.state.ended:
                continue
            labels = [cast.cast, cast.image]
            rate.add_metric(labels, float(cast.sender.rate if cast.sender else 0))
            states = Counter(part.state for part in cast.parts)
            for state in PartState:
                parts.add_metric([*labels, state.value], float(states[state]))
        yield from (rate, parts)

    def _licences(self) -> Metric:
        left = _family(
            "licences_left", "Licences left on a connected medium.", "medium", "product", "licence"
        )
        for ledger in self._state.licences:
            for one in ledger.licences:
                left.add_metric([ledger.medium, one.product, one.licence], float(one.left))
        return left


def render(state: StateView) -> bytes:
    """Every metric as Prometheus reads it: ours, and the process's own (memory, processor, files)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(StateCollector(state))
    return generate_latest(registry)


def _family(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fleetcast_{name}", about, labels=labels)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fleetcast_{name}", about, value=value)


def _counted(
    name: str, about: str, states: Iterable[str], counts: Mapping[Any, int]
) -> GaugeMetricFamily:
    # States without a machine are told as 0: a series that comes and goes cannot be watched.
    family = _family(name, about, "state")
    for state in states:
        family.add_metric([str(state)], float(counts.get(state, 0)))
    return family
