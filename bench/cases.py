"""Reads bench/cases and bench/bars."""

import os
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = {"enet": "libenet-dev", "nng": "libnng-dev", "zmq": "libzmq3-dev", "uv": "libuv1-dev"}


@dataclass
class Case:
    """One thing that is measured, and the results of its repetitions: pairs of the client's line, or None
    where it was not run."""
    group: str
    label: str
    peer: str
    mode: str
    size: int
    count: int
    reference: str
    environment: dict
    runs: list = field(default_factory=list)

    @property
    def name(self):
        """How bench/bars calls it."""
        return f"{self.group}/{self.label}"


@dataclass
class Bar:
    """One line of bench/bars; `must` and `stretch` are like ">= 0.9", or empty."""
    row: int
    text: str
    expression: str
    must: str
    stretch: str


def lines_of(name, fields):
    """The lines of a file beside this one, cut at |, without comments."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            cut = line.split("|")
            if len(cut) != fields:
                raise ValueError(f"{name}:{number}: {len(cut)} fields, not {fields}")
            yield cut


def read_cases():
    """All cases, in their order."""
    result = []
    for group, label, peer, mode, size, count, reference, environment in lines_of("cases", 8):
        extra = dict(word.split("=", 1) for word in environment.split())
        result.append(Case(group, label, peer, mode, int(size), int(count), reference, extra))
    return result


def read_bars():
    """All bars, in their order."""
    return [Bar(int(row), text, expression, must, stretch)
            for row, text, expression, must, stretch in lines_of("bars", 5)]


def groups_of(cases):
    """The groups, each with its cases, in their order."""
    result = {}
    for case in cases:
        result.setdefault(case.group, []).append(case)
    return result
