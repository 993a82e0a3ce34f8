#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures how cost and memory grow: from 1 to 18,000 connections, and from 1,000 to 1,000,000 tasks.

The samples are those of side_by_side.py. Everything is kept in DIR/result.json; tables and plots stand in result.md
beside it, and with --document they are put into docs/scale.md.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess

import plot
import report
import scenarios
import side_by_side
from sampling import Failed, Sampler, pairs
from servers import LABELS, SERVER_CPU, pinned, raise_file_limit

CONNECTIONS = (1, 10, 100, 1000, 5000, 10000, 18000)
TASKS = (1000, 10000, 100000, 1000000)
OURS = scenarios.OURS
SERVERS = ("raw",) + OURS
LEAST_IDLE = 100  # connections from which memory is measured: fewer do not show beside the process's own
LEAST_KERNEL = 1000  # the same for the kernel's objects, which other programs use as well
BASE = 1000  # connections that the cost of more is compared with
QUICK = {"connections": (100, 1000), "tasks": (1000, 10000)}
PLOTS = {"scale-cpu.svg": "Server CPU per message by connections", "scale-tasks.svg": "Cost by number of tasks"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", metavar="PART,...", help="some of: echo memory tasks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="that a sample is measured")
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--tries", type=int, default=3, help="of a sample that is disturbed")
    parser.add_argument("--quick", action="store_true", help="few connections and tasks: to try it out")
    parser.add_argument("--priority", action="store_true", help="run everything at the highest niceness (root)")
    parser.add_argument("--build", default=os.path.join(side_by_side.ROOT, "build", "release"), metavar="DIR")
    parser.add_argument("--output", metavar="DIR", help="for results, default build/scale/<date and time>")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output, or with the newest one")
    parser.add_argument("--result", metavar="FILE", help="measure nothing: take this result.json")
    parser.add_argument("--document", metavar="FILE", help="refresh this document, such as docs/scale.md")
    return parser.parse_args()


def run_tasks(sampler, entry):
    """Very many tasks: one run of bench_scale_tasks."""
    argv = pinned(SERVER_CPU, [sampler.tool("bench_scale_tasks"), *entry.load])
    out = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if out.returncode != 0:
        raise Failed(out.stderr.strip())
    values = pairs(out.stdout)
    return {name: value for name, value in values.items() if name != "tasks"}, 0.0


def scale_scenarios(options):
    sizes = QUICK if options.quick else {"connections": CONNECTIONS, "tasks": TASKS}
    parts = {
        "echo": [scenarios.echo(count, 64, 1, "Echo, %d connections" % count, servers=SERVERS)
                 for count in sizes["connections"]],
        "memory": [scenarios.Scenario("memory_%d" % count, "Memory, %d connections" % count, scenarios.measure_idle,
                                      scenarios.each(SERVERS, (count,)), main="idle_bytes", rounds_max=1, seconds=8)
                   for count in sizes["connections"] if count >= LEAST_IDLE],
        "tasks": [scenarios.Scenario("tasks_%d" % count, "%d tasks" % count, run_tasks,
                                     [scenarios.Entry("tasks", "tasks", ("--tasks", str(count)))], main="switch_ns",
                                     seconds=count / 100000) for count in sizes["tasks"]],
    }
    wanted = options.only.split(",") if options.only else list(parts)
    return [one for name in wanted for one in parts[name]]


def counts(data, part):
    """The scenarios of one part by their count, those that have figures."""
    found = {int(name.rpartition("_")[2]): one for name, one in data["scenarios"].items()
             if name.startswith(part) and one["rounds"]}
    return sorted(found.items())


def median(one, key, value):
    found = report.figures(one, key, value)
    return statistics.median(found) if found else None


def shown(form, figure, factor=1):
    return "-" if figure is None else form % (figure * factor)


def both(one, value, form, factor=1):
    """A figure of ours on both pollers."""
    return " / ".join(shown(form, median(one, name, value), factor) for name in OURS)


def table(heads, rows):
    return ["| %s |" % " | ".join(row) for row in [heads, ["---"] * len(heads)] + rows]


def echo_table(data):
    """Cost by connections: ours on both pollers beside the raw loop, and each beside itself with BASE connections."""
    base, rows = dict(counts(data, "echo")).get(BASE), []
    heads = ["connections", "raw epoll, us"]
    for name in OURS:
        heads += [LABELS[name] + ", us", "to raw epoll", "to itself at %s" % format(BASE, ",")]
    for count, one in counts(data, "echo"):
        row = [format(count, ","), shown("%.2f", median(one, "raw", "server_us"))]
        for name in OURS:
            cost, at_base = median(one, name, "server_us"), base and median(base, name, "server_us")
            row += [shown("%.2f", cost), report.spread(report.ratios(one, name, "raw", "server_us"), "%.2f"),
                    "%.2f" % (cost / at_base) if cost and at_base else "-"]
        rows.append(row + [both(one, "per_s", "%.0f"), " / ".join(
            "%.0f" % max(report.figures(one, name, "starved"), default=0) for name in OURS)])
    return table(heads + ["messages/s", "starved"], rows)


def memory_table(data):
    rows = []
    for count, one in counts(data, "memory"):
        process = [(median(one, name, "base_bytes"), median(one, name, "idle_bytes")) for name in OURS]
        rows.append([
            format(count, ","), " / ".join("%.1f" % ((base + each * count) * 1e-6) if base else "-"
                                           for base, each in process),
            both(one, "idle_bytes", "%.0f"), both(one, "table_bytes", "%.0f"),
            both(one, "kernel_bytes", "%.0f") if count >= LEAST_KERNEL else "-",
            both(one, "left_bytes", "%.1f", 1e-6)])
    return table(["connections", "process, MB", "process, bytes each", "page tables, bytes each",
                  "kernel's objects for both ends, bytes each", "left after all have closed, MB"], rows)


TASK_COLUMNS = (
    ("memory each, bytes", "user_bytes", "%.0f"), ("page tables each, bytes", "pte_bytes", "%.0f"),
    ("spawn, ns", "spawn_ns", "%.0f"), ("first run, ns", "first_run_ns", "%.0f"),
    ("echo, ns", "echo_ns", "%.0f"), ("wake all, ns each", "wake_all_ns", "%.0f"),
    ("switch, ns", "switch_ns", "%.0f"), ("end of all, s", "end_s", "%.2f"), ("kept after, MiB", "kept_mib", "%.0f"))


def tasks_table(data):
    return table(["tasks"] + [head for head, _, _ in TASK_COLUMNS], [
        [format(count, ",")] + [shown(form, median(one, "tasks", value)) for _, value, form in TASK_COLUMNS]
        for count, one in counts(data, "tasks")])


def draw(data, folder):
    """Draws the plots for which there are figures; those that could be drawn."""
    cost = {LABELS[name]: [(count, median(one, name, "server_us")) for count, one in counts(data, "echo")
                           if count >= 10 and median(one, name, "server_us")] for name in SERVERS}
    tasks = {label: [(count, median(one, "tasks", value)) for count, one in counts(data, "tasks")]
             for label, value in (("echo over a pipe", "echo_ns"), ("wake", "wake_all_ns"), ("switch", "switch_ns"))}
    labels = (("connections", "us", cost), ("tasks", "ns", tasks))
    return [name for (name, title), (x_label, y_label, series) in zip(PLOTS.items(), labels)
            if plot.lines(os.path.join(folder, name), title, x_label, y_label, series)]


def blocks(data, drawn):
    """The parts of the document, by the names of their marks."""
    found = {"about": report.introduction(data)}
    for name, make in (("echo", echo_table), ("memory", memory_table), ("tasks", tasks_table)):
        if counts(data, name):
            found[name] = make(data)
    for name in drawn:
        found[name.partition(".")[0]] = ["![%s](images/%s)" % (PLOTS[name], name)]
    return found


def write(folder, target):
    """Writes result.md and plots beside result.json; refreshes the document. Gives the text of result.md."""
    with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
        data = json.load(file)
    drawn = draw(data, folder)
    parts = blocks(data, drawn)
    text = "\n\n".join("\n".join(lines) for name, lines in parts.items() if name + ".svg" not in drawn) + "\n"
    with open(os.path.join(folder, "result.md"), "w", encoding="utf-8") as file:
        file.write(text)
    if target:
        images = os.path.join(os.path.dirname(target), "images")
        os.makedirs(images, exist_ok=True)
        for name in drawn:
            shutil.copyfile(os.path.join(folder, name), os.path.join(images, name))
        with open(target, encoding="utf-8") as file:
            before = file.read()
        with open(target, "w", encoding="utf-8") as file:
            file.write(report.refresh(before, parts))
    return text


def measure(options, folder):
    chosen = scale_scenarios(options)
    sampler = Sampler(options.build, {name: side_by_side.command(name, options.build, folder) for name in SERVERS},
                      options.seconds, options.warmup, options.tries)
    run = side_by_side.Run(folder, options)
    progress = side_by_side.Progress(sum(one.duration(options.seconds, options.warmup, options.rounds)
                                         for one in chosen))
    side_by_side.note("%d scenarios; about %.0f minutes. Results: %s" % (len(chosen), progress.planned / 60, folder))
    for one in chosen:
        side_by_side.measure(sampler, one, options.rounds, run, progress)
    run.save()


def main():
    options = arguments()
    if options.result:
        folder = os.path.dirname(os.path.abspath(options.result))
    else:
        raise_file_limit()
        if options.priority:
            side_by_side.take_priority()
        folder = side_by_side.output_folder(options, "scale")
        measure(options, folder)
    print(write(folder, options.document), end="")


if __name__ == "__main__":
    main()
