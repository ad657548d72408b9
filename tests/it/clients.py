"""What users of Python's prometheus_client do with a gateway. Usage: clients.py ADDRESS STORY"""

import sys

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)


def registry(value):
    fresh = CollectorRegistry()
    gauge = Gauge("job_last_success_unixtime", "Last time a batch job succeeded", registry=fresh)
    gauge.set(value)
    return fresh


def push(gateway):
    push_to_gateway(gateway, job="batch", registry=registry(1))
    push_to_gateway(gateway, job="batch", registry=registry(2))


def pushadd(gateway):
    push_to_gateway(gateway, job="batch", registry=registry(1))
    added = CollectorRegistry()
    Gauge("added", "A second family", registry=added).set(7)
    pushadd_to_gateway(gateway, job="batch", registry=added)


def delete(gateway):
    for instance in "a", "b":
        push_to_gateway(
            gateway, job="batch", registry=registry(1), grouping_key={"instance": instance}
        )
    delete_from_gateway(gateway, job="batch", grouping_key={"instance": "a"})


def compressed(gateway):
    push_to_gateway(gateway, job="batch", registry=registry(3), compression="gzip")


def grouping(gateway):
    push_to_gateway(
        gateway,
        job="with/slash",
        registry=registry(1),
        grouping_key={"path": "/var/tmp", "empty": "", "text": "two words", "number": 5},
    )
    push_to_gateway(gateway, job="plus+ü", registry=registry(2), grouping_key={"a": "b+c&d=%"})


def kinds(gateway):
    fresh = CollectorRegistry()
    Counter("requests", "Requests", ["code"], registry=fresh).labels("200").inc(3)
    Summary("work_seconds", "Work", registry=fresh).observe(0.5)
    Histogram("size_bytes", "Size", buckets=[1, 10], registry=fresh).observe(5)
    push_to_gateway(gateway, job="batch", registry=fresh)


def default_registry(gateway):
    """The registry that a client uses when it names none; it holds process_* and python_*."""
    from prometheus_client import REGISTRY

    push_to_gateway(gateway, job="batch", registry=REGISTRY)


address, story = sys.argv[1:]
globals()[story](address)
