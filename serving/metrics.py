"""Prometheus metrics of a worker, in addition to those of BentoML."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """Counters and histograms. One instance per registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.recommends = Counter(
            "rondo_recommends",
            "Slates served",
            ["release", "source", "placement", "arm"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "rondo_fallbacks",
            "Slates served by a simpler method, by reason",
            ["reason", "arm"],
            registry=registry,
        )
        self.answers = Histogram(
            "rondo_decision_seconds",
            "Time to decide on a slate, before it is logged",
            ["arm"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.repeats = Counter(
            "rondo_repeats", "Slates answered again from the log", registry=registry
        )
        self.slots = Counter(
            "rondo_slots", "Slots shown", ["release", "explored", "arm"], registry=registry
        )
        self.events = Counter(
            "rondo_events", "Events stored", ["release", "event_type"], registry=registry
        )
        self.duplicates = Counter(
            "rondo_duplicates", "Events that were already stored", registry=registry
        )
        self.dead_letters = Counter(
            "rondo_dead_letters", "Events set aside as invalid", registry=registry
        )
        self.shadows = Counter(
            "rondo_shadows",
            "Requests offered to a shadow, by what became of them",
            ["result"],
            registry=registry,
        )
        self.agreement = Histogram(
            "rondo_shadow_agreement",
            "Share of a slate's items that the shadow would have shown too",
            buckets=[n / 10 for n in range(11)],
            registry=registry,
        )
        self.failures = Counter(
            "rondo_failures",
            "Failures that were worked around",
            ["what"],
            registry=registry,
        )
        self.seconds = Histogram(
            "rondo_seconds",
            "Time by part of the work",
            ["part"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.commits = Histogram(
            "rondo_commit_rows",
            "Requests and events per commit",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096),
            registry=registry,
        )
        self.queue = Gauge(
            "rondo_write_queue",
            "Writes waiting",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.items = Gauge(
            "rondo_catalogue_items",
            "Items known",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.generation = Gauge(
            "rondo_generation",
            "Generation of the channel that is served",
            registry=registry,
            multiprocess_mode="livemin",
        )
