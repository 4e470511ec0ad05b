"""Instructions per message in user space, by valgrind. Two runs that differ only in the number of messages are
compared, so what a program does once is not in it."""

import os
import re
import shutil
import tempfile

import pair

COUNTS = 20000, 60000


def window(mode, side):
    """The environment of a run: under a tool a server is slow, and must not be run over; a client that waits for the
    server would be counted as it waits."""
    return {"BENCH_WIN": "256"} if mode.startswith("udp.ow") and side == "server" else {}


def total(path):
    """The sum of a callgrind file; 0 if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def measure(side, peer, mode, size, count):
    """Instructions of one side in one run, or why there are none; and the messages it handled."""
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "callgrind.out")
        wrap = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
        found = pair.run_pair(peer, mode, size, count, window(mode, side), seconds=110, **{f"{side}_wrap": wrap})
        if "failed" in found:
            return found["failed"], 0
        return total(output) or "valgrind counted nothing", count * (1 - found.get("loss", 0))


def per_message(side, peer, mode, size):
    """Instructions per message, or why there are none."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    (few, few_count), (many, many_count) = [measure(side, peer, mode, size, n) for n in COUNTS]
    for value in few, many:
        if isinstance(value, str):
            return value
    if many_count <= few_count:
        return "too few messages"
    return (many - few) / (many_count - few_count)
