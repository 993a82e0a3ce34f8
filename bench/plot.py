# SPDX-License-Identifier: MIT
"""Plots as SVG, drawn by gnuplot. Each function tells whether there was something to draw and gnuplot to do it."""
import shutil
import subprocess

COLOURS = {
    "raw epoll": "#444444", "raw io_uring": "#999999", "coracle epoll": "#1f5fbf", "coracle io_uring": "#45a0e6",
    "Go": "#2a9d5c", "Go tutorial": "#2a9d5c", "libuv": "#c77d0a", "libevent": "#8e5bb5", "nats-server": "#b5482a",
    "redis": "#d64541",
}
OTHER_COLOURS = ("#c2185b", "#00838f", "#6d4c41", "#7cb342")


def quoted(text):
    return "'%s'" % text.replace("'", "''").replace("_", "\\_")


def colour(label, number):
    return quoted(COLOURS.get(label, OTHER_COLOURS[number % len(OTHER_COLOURS)]))


def run(path, commands):
    head = ["set terminal svg size 820,440 dynamic font 'sans,13' background 'white'", "set output '%s'" % path,
            "set grid ytics lc rgb '#dddddd'", "set border 3", "set tics nomirror", "set key outside right"]
    subprocess.run(["gnuplot"], input="\n".join(head + commands) + "\n", text=True, check=True)
    return True


def can_draw(series):
    return bool(series) and shutil.which("gnuplot") is not None


def data_block(name, rows):
    return ["$%s << end" % name] + rows + ["end"]


def lines(path, title, x_label, y_label, series):
    """series: label -> list of (x, y); x is logarithmic."""
    series = {label: sorted(points) for label, points in series.items() if len(points) > 1}
    if not can_draw(series):
        return False
    commands, parts = [], []
    for number, (label, points) in enumerate(series.items()):
        commands += data_block("data%d" % number, ["%g %g" % point for point in points])
        parts.append("$data%d with linespoints lw 2 pt 7 ps 0.5 lc rgb %s title %s" % (
            number, colour(label, number), quoted(label)))
    return run(path, commands + [
        "set title %s" % quoted(title), "set xlabel %s" % quoted(x_label), "set ylabel %s" % quoted(y_label),
        "set logscale x", "set yrange [0:*]", "plot " + ", ".join(parts)])


def bars(path, title, x_label, y_label, groups, series, log=False):
    """series: label -> one figure per group, None where there is none."""
    if not can_draw(series):
        return False
    rows = []
    for index, group in enumerate(groups):
        figures = [values[index] for values in series.values()]
        rows.append(" ".join(['"%s"' % group] + ["?" if figure is None else "%g" % figure for figure in figures]))
    known = [figure for values in series.values() for figure in values if figure]
    parts = ["$data using %d:xtic(1) lc rgb %s title %s" % (number + 2, colour(label, number), quoted(label))
             for number, label in enumerate(series)]
    return run(path, data_block("data", rows) + [
        "set title %s" % quoted(title), "set xlabel %s" % quoted(x_label), "set ylabel %s" % quoted(y_label),
        "set datafile missing '?'", "set xrange [-0.6:%g]" % (len(groups) - 0.4),
        "set style data histogram", "set style histogram clustered gap 1", "set style fill solid 0.9 border -1",
        "set logscale y" if log else "", "set yrange [%g:*]" % (min(known) / 2 if log else 0),
        "plot " + ", ".join(parts)])
