"""Medians, ratios of the same repetition, and whether the bars are met."""

import operator
import re
import statistics

OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class Missing(Exception):
    """A figure that is not there; the text says why."""


def value(run, key):
    """A number of a run, or None."""
    found = (run or {}).get(key)
    return found if isinstance(found, float) and "failed" not in run else None


def column(case, key):
    """The values of all repetitions that have one."""
    return [found for found in (value(run, key) for run in case.runs) if found is not None]


def median(case, key):
    """The median of all repetitions; None if there is none."""
    found = column(case, key)
    return statistics.median(found) if found else None


def ratios(case, reference, key):
    """The ratios of the repetitions that both have."""
    pairs = ((value(a, key), value(b, key)) for a, b in zip(case.runs, reference.runs))
    return [a / b for a, b in pairs if a is not None and b]


def failures(case):
    """How many repetitions failed, and why the last one did."""
    found = [run["failed"] for run in case.runs if run and "failed" in run]
    return len(found), found[-1] if found else ""


class Figures:
    """What the expressions of bench/bars may say."""

    def __init__(self, cases):
        self.cases = {case.name: case for case in cases}

    def case(self, name):
        """A case that was run."""
        found = self.cases.get(name)
        if not found:
            raise Missing(f"{name} was not run")
        count, reason = failures(found)
        if count and count == len(found.runs):
            raise Missing(f"{name} failed: {reason}")
        return found

    def median(self, name, key):
        """m: the median."""
        found = median(self.case(name), key)
        if found is None:
            raise Missing(f"{name} has no {key}")
        return found

    def ratio(self, name, reference, key):
        """x: the median of the ratios of the same repetition."""
        found = ratios(self.case(name), self.case(reference), key)
        if not found:
            raise Missing(f"no {key} of {name} and {reference} together")
        return statistics.median(found)

    def worst(self, name, key):
        """worst: the largest of all repetitions. One that failed is no good one, so it counts as missing."""
        case = self.case(name)
        count, reason = failures(case)
        if count:
            raise Missing(f"{name} failed: {reason}")
        found = column(case, key)
        if not found:
            raise Missing(f"{name} has no {key}")
        return max(found)


def holds(found, limit):
    """Whether a number keeps a limit such as ">= 0.9"; None without a limit."""
    match = re.fullmatch(r"\s*(<=|>=|<|>)\s*([0-9.]+)\s*", limit)
    return OPERATORS[match[1]](found, float(match[2])) if match else None


def judge(bars, cases):
    """For each bar its figure and verdict: "met", "missed", "-" (a stretch only), or why there is no figure."""
    figures = Figures(cases)
    names = {"m": figures.median, "x": figures.ratio, "worst": figures.worst, "min": min, "max": max}
    result = []
    for bar in bars:
        try:
            found = eval(bar.expression, {"__builtins__": {}}, names)  # the project's own file
        except Missing as error:
            result.append({"bar": bar, "figure": None, "verdict": str(error), "stretch": None})
            continue
        must = holds(found, bar.must)
        verdict = "-" if must is None else "met" if must else "missed"
        result.append({"bar": bar, "figure": found, "verdict": verdict, "stretch": holds(found, bar.stretch)})
    return result


def rows_of(judged):
    """The verdict of each row: missed if a line is, else unknown if a line has no figure, else met."""
    rows = {}
    for line in judged:
        rows.setdefault(line["bar"].row, []).append(line["verdict"])
    return {row: "missed" if "missed" in found else "met" if set(found) <= {"met", "-"} else "unknown"
            for row, found in rows.items()}
