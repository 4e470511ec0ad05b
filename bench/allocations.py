"""Allocations per message, by a library that counts them when preloaded (allocs.c). Two runs that differ only in the
number of messages are compared, so what a program allocates once is not in it."""

import os
import tempfile

import instructions
import pair

# An allocation for a growing table or buffer comes once in many messages.
COUNTS = 100000, 300000


def measure(side, peer, mode, size, count):
    """Allocations of one side in one run, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "allocs")
        wrap = ["env", f"LD_PRELOAD={os.path.abspath(pair.program('allocs.so'))}", f"BENCH_ALLOCS={output}"]
        found = pair.run_pair(peer, mode, size, count, instructions.window(mode, side), **{f"{side}_wrap": wrap})
        if "failed" in found:
            return found["failed"]
        try:
            with open(output, encoding="utf-8") as file:
                return int(file.read())
        except (OSError, ValueError):
            return "nothing was counted"


def per_message(side, peer, mode, size):
    """Allocations per message, or why there are none."""
    found = [measure(side, peer, mode, size, count) for count in COUNTS]
    for value in found:
        if isinstance(value, str):
            return value
    return (found[1] - found[0]) / (COUNTS[1] - COUNTS[0])
