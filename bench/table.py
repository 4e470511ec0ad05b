"""The tables: as Markdown and as JSON."""

import json
import statistics

import figures
from cases import groups_of

TITLES = {
    "rr": "Request and reply, one outstanding, 64 B, a core each",
    "rr1": "Request and reply, one outstanding, 64 B, both on one core",
    "pipe": "Pipelined requests, 64 B, 64 outstanding",
    "ow64": "One-way over UDP, 64 B",
    "ow1k": "One-way over UDP, 1 KiB",
    "owtcp64": "One-way over TCP, 64 B",
    "owtcp1k": "One-way over TCP, 1 KiB",
    "big1m": "Messages of 1 MiB",
    "big16m": "Messages of 16 MiB",
    "big1m cubic": "Messages of 1 MiB, cubic",
    "big16m cubic": "Messages of 16 MiB, cubic",
    "many": "Many connections to one server, 64 B at random",
    "idle": "Idle connections with heartbeats both ways",
    "gates": "Gates",
    "instructions": "Instructions in user space and allocations, per message of 64 B",
    "swift": "The Swift API, 64 B",
    "multi": "Boxes that share a port, with work on each message",
}

# Each column: its head and its key; a key with / is the ratio to the reference.
ROUNDS = [("p50 us", "p50"), ("p99 us", "p99"), ("a second", "rate"), ("x p50", "/p50"), ("x rate", "/rate"),
          ("server us", "srv_us"), ("client us", "cli_us")]
PIPE = [("a second", "rate"), ("x", "/rate"), ("server us", "srv_us"), ("client us", "cli_us"), ("bad", "+bad"),
        ("missing", "+missing")]
ONE_WAY = [("messages a second", "rate"), ("x", "/rate"), ("server us", "srv_us"), ("x server", "/srv_us"),
           ("client us", "cli_us"), ("loss", "+loss")]
BIG = [("GB/s", "gbs"), ("x", "/rate"), ("server us", "srv_us"), ("x server", "/srv_us"), ("client us", "cli_us")]
MANY = [("bytes each", "rss_per_conn"), ("server MB", "rss_mb"), ("us to connect", "connect_cpu_us"),
        ("messages a second", "rate"), ("server us", "srv_us"), ("x server", "/srv_us"), ("loss", "+loss")]
IDLE = [("CPU %", "idle_cpu_pct"), ("x", "/idle_cpu_pct"), ("heartbeats a second from it", "hb_per_s")]
SWIFT = [("a second", "rate"), ("x", "/rate"), ("server us", "srv_us"), ("client us", "cli_us"),
         ("median round trip in us", "p50")]
GATES = [("messages a second", "rate"), ("loss", "+loss")]
COUNTED = [("instructions", "instructions"), ("allocations", "allocations")]
COLUMNS = {"rr": ROUNDS, "rr1": ROUNDS, "pipe": PIPE, "many": MANY, "idle": IDLE, "gates": GATES, "swift": SWIFT,
           "instructions": COUNTED}


def columns_of(group):
    """The columns of a group, by its name or what it begins with."""
    if group in COLUMNS:
        return COLUMNS[group]
    return BIG if group.startswith("big") else ONE_WAY


def number(found):
    """A number with three digits that count."""
    if found is None:
        return "-"
    for least, divisor, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(found) >= least:
            return f"{found / divisor:.3g}{unit}"
    return f"{found:.3g}" if abs(found) < 1000 else f"{found:.0f}"


def spread(found):
    """The median, and from where to where where they differ."""
    if not found:
        return "-"
    if len(found) == 1:
        return number(found[0])
    return f"{number(statistics.median(found))} ({number(min(found))}-{number(max(found))})"


def cell(case, reference, key):
    """One cell of a table."""
    if key[0] == "/":
        found = figures.ratios(case, reference, key[1:]) if reference else []
        return f"{statistics.median(found):.2f}" if found else "-"
    if key[0] == "+":  # counts of what must not be: the worst
        found = figures.column(case, key[1:])
        return number(max(found)) if found else "-"
    return spread(figures.column(case, key))


def case_line(case, members, columns):
    """One line of a table; what failed is said."""
    reference = next((other for other in members if other.label == case.reference), None)
    count, reason = figures.failures(case)
    label = f"**{case.label}**" if case.peer.startswith("msgbox") else case.label
    if count:
        label += f" (failed {count} of {len(case.runs)}: {reason.replace('|', '/')})"
    return "| " + " | ".join([label] + [cell(case, reference, key) for _, key in columns]) + " |"


def bars_table(judged):
    """The bars, with the figure of each and whether it is met."""
    lines = ["## Bars", "", "| row | what | must | stretch | figure | |", "|---|---|---|---|---|---|"]
    for line in judged:
        bar = line["bar"]
        verdict = line["verdict"].replace("|", "/")
        if line["stretch"]:
            verdict += ", stretch met" if verdict == "met" else " stretch met" if verdict == "-" else ""
        lines.append(f"| {bar.row} | {bar.text} | {bar.must or '-'} | {bar.stretch or '-'} | "
                     f"{number(line['figure'])} | {'**missed**' if verdict == 'missed' else verdict} |")
    rows = figures.rows_of(judged)
    for verdict in "met", "missed", "unknown":
        found = [str(row) for row in sorted(rows) if rows[row] == verdict]
        lines.append(f"{'' if verdict != 'met' else chr(10)}Rows {verdict}: {', '.join(found) or 'none'}.  ")
    return lines


def markdown(cases, judged, about):
    """The whole report."""
    lines = ["# MsgBox side by side", "", about["text"], "",
             "Cells are medians (least-most) over the repetitions. x is the median of the ratios to the reference "
             "in the same repetition; the reference is the line with 1. server us, client us: CPU of the whole "
             "process per message.", ""]
    for group, members in groups_of(cases).items():
        columns = columns_of(group)
        lines += [f"## {TITLES.get(group, group)}", "", "| | " + " | ".join(head for head, _ in columns) + " |",
                  "|---|" + "---|" * len(columns)]
        lines += [case_line(case, members, columns) for case in members] + [""]
    return "\n".join(lines + (bars_table(judged) if judged else [])) + "\n"


def as_json(cases, judged, about):
    """Everything that was measured, for programs."""
    return json.dumps({
        "about": about,
        "cases": [{"group": case.group, "label": case.label, "peer": case.peer, "mode": case.mode,
                   "size": case.size, "count": case.count, "reference": case.reference, "runs": case.runs}
                  for case in cases],
        "bars": [{"row": line["bar"].row, "what": line["bar"].text, "must": line["bar"].must,
                  "stretch": line["bar"].stretch, "figure": line["figure"], "verdict": line["verdict"]}
                 for line in judged],
    }, indent=1)
