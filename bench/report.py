#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tables and plots of a run of side_by_side.py.

result.md and the plots are written beside result.json. With --document the blocks of a document that stand between
`<!-- begin NAME -->` and `<!-- end NAME -->` are replaced: `about`, `aims`, `plots`, `tables`, or the name of one
scenario; the plots go into the folder images beside the document. Doing it again changes nothing.
"""
import argparse
import json
import os
import re
import shutil
import statistics

import plot
from sampling import disturbed, same_state

HIGHER_IS_BETTER = ("per_s", "kept")
# The columns of a table by what its ratios are made of: heading, value, form.
ECHO_COLUMNS = (("busy", "server_cpu", "%.0f %%", 100), ("messages/s", "per_s", "%.0f", 1),
                ("starved", "starved", "%.0f", 1))
COLUMNS = {
    "server_us": ("CPU per message, us", "%.3f", 1, ECHO_COLUMNS),
    "p50_us": ("p50, us", "%.1f", 1, (("p99, us", "p99_us", "%.1f", 1), ("CPU per message, us", "server_us", "%.2f", 1),
                                      ("busy", "server_cpu", "%.0f %%", 100))),
    "p99_us": ("p99, us", "%.1f", 1, (("p50, us", "p50_us", "%.1f", 1), ("p99.9, us", "p999_us", "%.1f", 1),
                                      ("messages/s", "per_s", "%.0f", 1), ("busy", "server_cpu", "%.0f %%", 100))),
    "per_s": ("deliveries/s, millions", "%.3f", 1e-6, (
        ("CPU per delivery, us", "server_us", "%.4f", 1), ("busy", "server_cpu", "%.0f %%", 100),
        ("generator busy", "client_cpu", "%.0f %%", 100), ("memory above start, MB", "memory_mb", "%.1f", 1))),
    "kept": ("of the rate before", "%.1f %%", 100, (
        ("deliveries/s, millions", "per_s", "%.3f", 1e-6), ("memory above start, MB", "memory_mb", "%.1f", 1),
        ("CPU per delivery, us", "server_us", "%.3f", 1))),
    "total": ("calls per message", "%.2f", 1, ()),
    "ns": ("ns", "%.1f", 1, ()),
    "ms": ("ms", "%.1f", 1, (("most memory, MB", "peak_mb", "%.1f", 1), ("of it per task, bytes", "task_bytes",
                                                                      "%.0f", 1))),
    "over_ideal": ("time to the ideal one", "%.3f", 1, ()),
    "idle_bytes": ("per idle connection, bytes", "%.0f", 1, (
        ("after an echo each, bytes", "echo_bytes", "%.0f", 1), ("before, MB", "base_bytes", "%.1f", 1e-6),
        ("left after all closed, MB above before", "left_bytes", "%.1f", 1e-6),
        ("page tables, bytes each", "table_bytes", "%.0f", 1),
        ("kernel, both ends, bytes each", "kernel_bytes", "%.0f", 1))),
}
UNITS = {"server_us": "CPU per message", "per_s": "rate", "per_cpu_s": "rate of a fully used CPU",
         "p50_us": "p50", "p99_us": "p99", "total": "system calls",
         "starved": "starved", "memory_mb": "memory above start", "idle_bytes": "memory per idle connection",
         "left_bytes": "memory left after all closed", "kept": "kept of the rate before", "ns": "time", "ms": "time",
         "over_ideal": "time to the ideal one", "peak_mb": "most memory", "task_bytes": "most memory per task"}
FORMS = {"per_s": ("%.2f million/s", 1e-6), "per_cpu_s": ("%.2f million/s", 1e-6),
         "server_us": ("%.2f us", 1), "p50_us": ("%.1f us", 1), "p99_us": ("%.1f us", 1), "ms": ("%.1f ms", 1),
         "over_ideal": ("%.3f", 1), "peak_mb": ("%.1f MB", 1), "task_bytes": ("%.0f bytes", 1),
         "memory_mb": ("%.1f MB", 1), "idle_bytes": ("%.0f bytes", 1),
         "left_bytes": ("%.1f MB", 1e-6), "starved": ("%.0f", 1), "total": ("%.2f", 1),
         "kept": ("%.1f %%", 100)}  # others: ns


def brief(main, values):
    """The main figure of a sample, for the progress line."""
    if main not in COLUMNS:
        return "%.1f" % next(iter(values.values()))
    _, form, factor, _ = COLUMNS[main]
    return form % (values[main] * factor)


def spread(values, form="%.3f", factor=1):
    if not values:
        return "-"
    values = [value * factor for value in values]
    if len(values) == 1:
        return form % values[0]
    return ("%s (%s to %s)" % (form, form, form)) % (statistics.median(values), min(values), max(values))


def samples_of(one, key):
    return [each[key] for each in one["rounds"] if key in each]


def figures(one, key, value):
    return [sample["values"][value] for sample in samples_of(one, key) if value in sample["values"]]


def ratios(one, key, base, value):
    """Ratio to another entry in each round in which the machine was in one state for both."""
    found = []
    for each in one["rounds"]:
        if key in each and base in each and same_state(each[key]["distance"], each[base]["distance"]):
            below = each[base]["values"].get(value, 0)
            if below > 0 and value in each[key]["values"]:
                found.append(each[key]["values"][value] / below)
    return found


def cell(one, key, value, form, factor):
    found = figures(one, key, value)
    if not found:
        return "-"
    return form % ((max(found) if value == "starved" else statistics.median(found)) * factor)


def table(one):
    """The table of one scenario."""
    if one["main"] not in COLUMNS:
        return case_table(one)
    heading, form, factor, more = COLUMNS[one["main"]]
    bases = [base for base in one["bases"] if samples_of(one, base)]
    more = [column for column in more if any(figures(one, key, column[1]) for key in one["entries"])]
    names = ["server", heading] + ["to " + one["entries"][base] for base in bases] + [column[0] for column in more]
    if one["main"] == "total":
        names.append("of which")
    lines = ["| %s | disturbed |" % " | ".join(names), "|---" * (len(names) + 1) + "|"]
    for key, label in one["entries"].items():
        samples = samples_of(one, key)
        if not samples:
            continue
        cells = [label, spread(figures(one, key, one["main"]), form, factor)]
        cells += [spread(ratios(one, key, base, one["main"])) for base in bases]
        cells += [cell(one, key, *column[1:]) for column in more]
        if one["main"] == "total":
            parts = sorted(samples[-1]["values"].items(), key=lambda item: -item[1])
            cells.append(", ".join("%s %.2f" % part for part in parts if part[0] != "total" and part[1] >= 0.005))
        cells.append("%d of %d" % (sum(disturbed(sample) for sample in samples), len(samples)))
        lines.append("| %s |" % " | ".join(cells))
    return lines + failures(one)


def case_table(one):
    """Entries with cases of their own: one line per case, ns."""
    lines = ["| case | ns |", "|---|---|"]
    for key in one["entries"]:
        for case in (samples_of(one, key)[-1]["values"] if samples_of(one, key) else ()):
            lines.append("| %s | %s |" % (case, spread(figures(one, key, case), "%.1f")))
    return lines + failures(one)


def failures(one):
    lines = ["%s: not measured: %s" % (one["entries"].get(key, key), text)
             for key, text in one["failures"].items() if not samples_of(one, key)]
    for key, label in one["entries"].items():
        texts = [text for sample in samples_of(one, key) for text in sample.get("failed", ())]
        if texts:
            lines.append("%s: %d samples failed and were taken again: %s" % (label, len(texts), "; ".join(
                sorted(set(texts)))))
    return [""] + lines if lines else []


def aims(data):
    """Each aim of the measured scenarios: ours, the peer, what was found and whether the aim is met."""
    lines = ["| scenario | figure | server | | peer | | measured | aim | |", "|---" * 9 + "|"]
    for one in data["scenarios"].values():
        for aim in one["aims"]:
            if not one["rounds"] or not {aim["entry"], aim["to"] or aim["entry"]} <= set(one["entries"]):
                continue
            unit = FORMS.get(aim["value"], ("%.1f ns", 1))
            form, factor = ("%.3f", 1) if aim["to"] else unit
            found = ratios(one, aim["entry"], aim["to"], aim["value"]) if aim["to"] else figures(
                one, aim["entry"], aim["value"])
            verdict = "not measured"
            if found:
                figure = max(found) if aim["value"] == "starved" else statistics.median(found)
                met = figure >= aim["limit"] if aim["least"] else figure <= aim["limit"]
                verdict = "met" if met else "**missed**"
            peer = [one["entries"][aim["to"]], cell(one, aim["to"], aim["value"], *unit)] if aim["to"] else ["", ""]
            lines.append("| %s |" % " | ".join([
                one["title"], UNITS.get(aim["value"], aim["value"]), one["entries"][aim["entry"]],
                cell(one, aim["entry"], aim["value"], *unit), *peer, spread(found, form, factor),
                "%s %s" % (">=" if aim["least"] else "<=", re.sub(r"%\.\df", "%g", form) % (aim["limit"] * factor)),
                verdict]))
    return lines


def introduction(data):
    distances = [sample["distance"] for one in data["scenarios"].values() for each in one["rounds"]
                 for sample in each.values()]
    text = "%s, commit %s. %s. %d rounds of %g s; median (least to most); ratios are made within rounds." % (
        data["date"], data["commit"], data["machine"], data["rounds"], data["seconds"])
    if distances:
        text += " Cache line from CPU to CPU and back: %.0f to %.0f ns." % (min(distances), max(distances))
    return [text]


def tables(data):
    lines = []
    for name, one in data["scenarios"].items():
        if one["rounds"]:
            lines += ["", "### %s" % one["title"], "", "`%s`" % name, ""] + table(one)
    return lines[1:]


def cost(one, key, base):
    """What an entry costs in each round, to another's: below 1 is better, whatever is measured."""
    found = [ratio for ratio in ratios(one, key, base, one["main"]) if ratio > 0]
    return [1 / ratio for ratio in found] if one["main"] in HIGHER_IS_BETTER else found


def summary(label, values):
    return (label, statistics.median(values), min(values), max(values))


def panels(data):
    """Every line that has a peer, beside it; then those that have none, as they are."""
    beside = plot.Panel("Cost to that of a peer: median, least and most", "further left is better")
    alone = plot.Panel("Primitives: median, least and most", "ns")
    for name, one in data["scenarios"].items():
        if one["main"] not in COLUMNS:
            for key, label in one["entries"].items():
                for case in (samples_of(one, key)[-1]["values"] if samples_of(one, key) else ()):
                    alone.add(case, [summary(label, figures(one, key, case))])
            continue
        base = next((base for base in one["bases"] if samples_of(one, base)), None)
        found = {label: cost(one, key, base) for key, label in one["entries"].items()} if base else {}
        aims_to = [aim["limit"] for aim in one["aims"] if aim["to"] == base and aim["value"] == one["main"]]
        limit = [("aim", *[1 / aims_to[0] if one["main"] in HIGHER_IS_BETTER else aims_to[0]] * 3)] if aims_to else []
        beside.add("%s to %s" % (name, one["entries"].get(base)),
                   [summary(label, values) for label, values in found.items() if values] + limit)
    return [beside, alone]


# The plots: file, what it shows, and the function that draws it and tells whether it could.


def plot_cpu(data, path):
    series = {}
    for name, one in data["scenarios"].items():
        found = re.fullmatch(r"echo_64_(\d+)", name)
        if found and int(found[1]) >= 10:
            for key, label in one["entries"].items():
                if figures(one, key, "server_us"):
                    series.setdefault(label, []).append(
                        (int(found[1]), statistics.median(figures(one, key, "server_us"))))
    return plot.lines(path, "Server CPU per echo of 64 B", "connections", "us", series)


def medians(data, names, value, factor):
    """Bars: for each server its figure in each of the scenarios, None where there is none."""
    kept = [data["scenarios"][name] for name in names if name in data["scenarios"]]
    labels = list(dict.fromkeys(label for one in kept for label in one["entries"].values()))
    found = {}
    for label in labels:
        bars = []
        for one in kept:
            values = [figure for key, other in one["entries"].items() if other == label
                      for figure in figures(one, key, value)]
            bars.append(statistics.median(values) * factor if values else None)
        if any(bar is not None for bar in bars):
            found[label] = bars
    return [one["title"] for one in kept], found


def plot_fanout(data, path):
    titles, bars = medians(data, ["fanout_100_64", "fanout_1000_64", "fanout_100_1", "fanout_1000_1"], "per_s", 1e-6)
    groups = ["%s / %s" % re.match(r"Fan-out to ([\d,]+) .* window (\d+)", title).groups() for title in titles]
    return plot.bars(path, "Fan-out of 64 B, one server CPU", "receivers / window", "million deliveries/s", groups,
                     bars, log=True)


def plot_latency(data, path):
    one = data["scenarios"].get("latency_100", {"entries": {}, "rounds": []})
    bars = {label: [statistics.median(figures(one, key, value)) for value in ("p50_us", "p99_us")]
            for key, label in one["entries"].items() if figures(one, key, "p99_us")}
    return plot.bars(path, "Latency of an echo of 64 B, 100 connections", "", "us", ["p50", "p99"], bars)


def plot_lines(data, path):
    return plot.spreads(path, panels(data))


PLOTS = (("bench-lines.svg", "Each line beside its peer, with spread", plot_lines),
         ("bench-cpu.svg", "Server CPU per message by connections", plot_cpu),
         ("bench-fanout.svg", "Deliveries per second", plot_fanout),
         ("bench-latency.svg", "Latency at 100 connections", plot_latency))


def draw(data, folder):
    """Draws what there are figures for; the names and captions of what was drawn."""
    return [(name, caption) for name, caption, function in PLOTS if function(data, os.path.join(folder, name))]


def write(path):
    """Writes result.md and the plots beside a result.json; gives the text."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    folder = os.path.dirname(path)
    drawn = draw(data, folder)
    lines = introduction(data) + ["", "## Aims", ""] + aims(data) + [""]
    lines += ["![%s](%s)" % (caption, name) for name, caption in drawn] + ["", "## Scenarios", ""] + tables(data)
    text = "\n".join(lines) + "\n"
    with open(os.path.join(folder, "result.md"), "w", encoding="utf-8") as file:
        file.write(text)
    return text


def refresh(text, blocks):
    """The text with each marked block replaced; blocks that this run has no figures for stay."""
    def replaced(match):
        lines = blocks.get(match[1])
        if lines is None:
            return match[0]
        return "<!-- begin %s -->\n%s\n<!-- end %s -->" % (match[1], "\n".join(lines), match[1])
    return re.sub(r"<!-- begin ([\w-]+) -->\n.*?<!-- end \1 -->", replaced, text, flags=re.S)


def document(path, target):
    """Refreshes the blocks of a document from a result.json."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    images = os.path.join(os.path.dirname(target), "images")
    drawn = [one for one in PLOTS if os.path.exists(os.path.join(os.path.dirname(path), one[0]))]
    blocks = {"about": introduction(data), "aims": aims(data), "tables": tables(data)}
    blocks.update((name, table(one)) for name, one in data["scenarios"].items() if one["rounds"])
    if drawn:
        os.makedirs(images, exist_ok=True)
        blocks["plots"] = ["![%s](images/%s)" % (caption, name) for name, caption, _ in drawn]
        for name, _, _ in drawn:
            shutil.copyfile(os.path.join(os.path.dirname(path), name), os.path.join(images, name))
    with open(target, encoding="utf-8") as file:
        before = file.read()
    after = refresh(before, blocks)
    if after != before:
        with open(target, "w", encoding="utf-8") as file:
            file.write(after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("result", help="result.json of a run")
    parser.add_argument("--document", metavar="FILE", help="refresh this document, such as docs/performance.md")
    options = parser.parse_args()
    print(write(options.result), end="")
    if options.document:
        document(options.result, options.document)


if __name__ == "__main__":
    main()
