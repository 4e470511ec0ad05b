"""Runs one server and one client of the benchmark programs and gives what the client printed."""

import os
import random
import re
import signal
import subprocess
import tempfile

PORTS = range(20000, 28000)
FOLDER = os.path.join(os.environ.get("BUILD", "build"), "bench")


def program(name):
    """The path of a benchmark program."""
    return os.path.join(FOLDER, name)


def values(line):
    """The key=value pairs of a line, numbers as numbers."""
    pairs = dict(re.findall(r"(\S+?)=(\S+)", line))
    for key, text in pairs.items():
        try:
            pairs[key] = float(text)
        except ValueError:
            pass
    return pairs


def environment(extra, page):
    """The environment of both processes; LD_PRELOAD=ccshim stands for the library that was built."""
    result = dict(os.environ, BENCH_SHM=page, **extra)
    if result.get("LD_PRELOAD") == "ccshim":
        result["LD_PRELOAD"] = os.path.abspath(program("ccshim.so"))
    return result


def pinned(cpus, command):
    """The command, bound to these cores, such as "0" or "0,1"."""
    return ["taskset", "-c", cpus] + command


def stop(process, patience):
    """Ends a process that does not end by itself."""
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_line(text):
    """The last line of a text that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def run_client(command, env, seconds):
    """Runs the client; gives its pairs, with `failed` when it did not end well."""
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"timeout after {seconds} s"}
    except OSError as error:
        return {"failed": str(error)}
    found = values(last_line(done.stdout))
    if done.returncode:
        reason = last_line(done.stderr) or f"status {done.returncode}"
        if done.returncode < 0:
            reason = signal.Signals(-done.returncode).name
        found["failed"] = reason
    elif "rate" not in found:
        found["failed"] = "no result"
    return found


def run_pair(peer, mode, size, count, extra=None, server_wrap=(), client_wrap=(), seconds=60):
    """One run. `extra` is environment; of it, BENCH_CPUS ("0,1": server on 0, client on 1; "free"),
    BENCH_CLIENT (another program) and BENCH_CMODE (another mode of the client) are for here."""
    extra = dict(extra or {})
    seconds = float(extra.get("BENCH_ALARM", seconds))
    extra.setdefault("BENCH_ALARM", str(int(seconds)))
    extra.setdefault("BENCH_PEER", peer)
    cpus = extra.pop("BENCH_CPUS", "0,1")
    server_cpu, client_cpu = ("0,1", "0,1") if cpus == "free" else cpus.split(",")
    client = extra.pop("BENCH_CLIENT", peer)
    client_mode = extra.pop("BENCH_CMODE", mode)
    port = str(random.choice(PORTS))
    with tempfile.TemporaryDirectory(prefix="bench.", dir="/dev/shm") as folder:
        env = environment(extra, os.path.join(folder, "page"))
        rest = [str(size), str(count), port]
        server = subprocess.Popen(
            pinned(server_cpu, [*server_wrap, program(peer), "server", mode, *rest]),
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL)
        try:
            found = run_client(pinned(client_cpu, [*client_wrap, program(client), "client", client_mode, *rest]),
                               env, seconds + 5)
        finally:
            # One that is watched by a tool takes long to end, and writes its result then.
            stop(server, 30 if server_wrap else 2)
    return found


def wait_for_quiet():
    """Waits until the host leaves both cores alone; gives the share of time it took away at last."""
    try:
        done = subprocess.run([program("quiet")], capture_output=True, text=True, timeout=30, check=False)
        return float(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0.0
