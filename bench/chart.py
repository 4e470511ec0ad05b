"""The picture: horizontal bars on a logarithmic scale, a panel for each group."""

import math
from xml.sax.saxutils import escape

import figures
from cases import groups_of
from table import TITLES, number

WIDTH, LABELS, VALUES, LINE, BAR, HEAD, GAP, EDGE = 860, 225, 70, 19, 13, 44, 20, 20
KINDS = {"raw": "raw", "msgbox": "own"}

# (key, what it is called, whether more is better)
METRICS = {
    "rr": ("p50", "median round trip in us", False),
    "rr1": ("rate", "round trips a second", True),
    "pipe": ("rate", "replies a second", True),
    "many": ("srv_us", "us of the server's CPU per message", False),
    "idle": ("idle_cpu_pct", "% of one core", False),
    "instructions": ("instructions", "instructions per message", False),
}

STYLE = """
text{font:12px system-ui,sans-serif;fill:#1f2328}
.head{font-weight:600;font-size:14px}
.unit,.tick{fill:#59636e}
.tick{font-size:10px}
.page{fill:#ffffff}
.grid{stroke:#d1d9e0;stroke-width:1}
.raw{fill:#8c959f}
.own{fill:#0969da}
.peer{fill:#d4a72c}
.bold{font-weight:600}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}
.unit,.tick{fill:#9198a1}
.page{fill:#0d1117}
.grid{stroke:#3d444d}
.raw{fill:#818b98}
.own{fill:#4493f8}
.peer{fill:#bb8009}
}
"""


def metric_of(group):
    """What the panel of a group shows; None: it has none."""
    if group in METRICS:
        return METRICS[group]
    if group == "gates":
        return None
    if group.startswith("big"):
        return "gbs", "GB/s", True
    return "rate", "messages a second", True


def text(x, y, words, style="", anchor="start"):
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


class Scale:
    """Powers of ten around the values, across the width of the bars."""

    def __init__(self, values):
        self.least = math.floor(math.log10(min(values)) - 0.1)
        self.most = max(math.ceil(math.log10(max(values))), self.least + 1)
        self.room = WIDTH - 2 * EDGE - LABELS - VALUES

    def width(self, found):
        """How long the bar of a value is."""
        return self.room * (math.log10(found) - self.least) / (self.most - self.least)

    def grid(self, top, bottom):
        """A line for each power of ten, with its number below."""
        for power in range(self.least, self.most + 1):
            x = EDGE + LABELS + self.room * (power - self.least) / (self.most - self.least)
            yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="grid"/>'
            yield text(x, bottom + 11, number(float(10 ** power)), "tick", "middle")


def panel(group, members, top):
    """The parts of one panel, and its height."""
    key, unit, more = metric_of(group)
    found = [(case, figures.median(case, key)) for case in members]
    found = [(case, value) for case, value in found if value and value > 0]
    if not found:
        return [], 0
    scale = Scale([value for _, value in found])
    parts = [text(EDGE, top + 16, TITLES.get(group, group), "head"),
             text(EDGE, top + 32, f"{unit}; {'more' if more else 'less'} is better", "unit")]
    bottom = top + HEAD + LINE * len(found)
    parts += scale.grid(top + HEAD - 3, bottom)
    for index, (case, value) in enumerate(found):
        y = top + HEAD + LINE * index
        style = KINDS.get(case.peer.split("-")[0], "peer")
        width = max(scale.width(value), 2)
        parts.append(text(EDGE + LABELS - 8, y + 11, case.label, "bold" if style == "own" else "", "end"))
        parts.append(f'<rect x="{EDGE + LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" class="{style}"/>')
        parts.append(text(EDGE + LABELS + width + 6, y + 11, number(value), "bold" if style == "own" else ""))
    return parts, HEAD + LINE * len(found) + 14 + GAP


def svg(cases, about):
    """The whole picture."""
    parts, top = [], EDGE + 30
    for group, members in groups_of(cases).items():
        if metric_of(group):
            drawn, height = panel(group, members, top)
            parts += drawn
            top += height
    legend = [text(EDGE, EDGE + 8, about["title"], "unit")]
    for index, (style, words) in enumerate((("own", "MsgBox"), ("raw", "bare sockets"), ("peer", "peers"))):
        x = WIDTH - EDGE - 300 + index * 105
        legend += [f'<rect x="{x}" y="{EDGE - 2}" width="12" height="12" rx="2" class="{style}"/>',
                   text(x + 18, EDGE + 8, words)]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" '
                      f'height="{top}" role="img" aria-label="Benchmarks of MsgBox">',
                      f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{top}" class="page"/>',
                      *legend, *parts, "</svg>", ""])
