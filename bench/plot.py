# SPDX-License-Identifier: MIT
"""Plots as SVG, drawn by gnuplot. Each function tells whether there was something to draw and gnuplot to do it. Colours
are readable on white and on black; whoever prefers dark pages gets one."""
import shutil
import subprocess

COLOURS = {
    "raw epoll": "#6b6b6b", "raw io_uring": "#a3a3a3", "coracle epoll": "#2f74d0", "coracle io_uring": "#45a0e6",
    "Go": "#2a9d5c", "Go tutorial": "#2a9d5c", "libuv": "#c77d0a", "libevent": "#8e5bb5", "nats-server": "#b5482a",
    "redis": "#d64541", "coracle": "#2f74d0", "aim": "#c2185b",
}
DARK = """<style>@media (prefers-color-scheme: dark) {
rect[fill="#ffffff"] { fill: #16191d }
[fill="black"] { fill: #d7dbe0 } [color="black"] { color: #d7dbe0 } [stroke="black"] { stroke: #d7dbe0 }
[stroke="#dddddd"] { stroke: #3a3f45 }
}</style>
"""
UNIT_PX = 9  # height of one entry in a plot of spreads
LEGEND_PX = 22  # and of a line of the legend
OTHER_COLOURS = ("#b8860b", "#0097a7", "#8d6e63", "#7cb342")


def quoted(text):
    return "'%s'" % text.replace("'", "''").replace("_", "\\_")


def colour(label, number):
    return quoted(COLOURS.get(label, OTHER_COLOURS[number % len(OTHER_COLOURS)]))


def run(path, commands, height=440):
    head = ["set terminal svg size 820,%d dynamic font 'sans,13' background 'white'" % height,
            "set output '%s'" % path, "set grid ytics lc rgb '#dddddd'", "set border 3", "set tics nomirror",
            "set key outside right"]
    subprocess.run(["gnuplot"], input="\n".join(head + commands) + "\n", text=True, check=True)
    with open(path, encoding="utf-8") as file:
        drawn = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(drawn.replace("rgb(221, 221, 221)", "#dddddd").replace("</desc>\n", "</desc>\n" + DARK))
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


class Panel:
    """Rows of entries below each other, each entry a dot with whiskers; x is logarithmic."""

    def __init__(self, title, x_label):
        self.title, self.x_label, self.rows, self.height, self.series = title, x_label, [], 0, {}
        self.notes = []  # (text, x, y): what tells entries of one server apart

    def add(self, row, entries):
        """entries: list of (label, median, least, most). What comes after a comma in a label stands at the entry."""
        if entries:
            self.rows.append((row, self.height + (len(entries) + 1) / 2))
        for label, *figures in entries:
            self.height += 1
            server, _, note = label.partition(", ")
            self.series.setdefault(server, []).append((self.height, *figures))
            if note:
                self.notes.append((note, figures[-1], self.height))
        self.height += 1 if entries else 0

    def commands(self, bottom, share):
        """Draws it into a part of the page."""
        lines, parts = [], []
        for number, (label, points) in enumerate(self.series.items()):
            name = "points%d" % number
            lines += data_block(name, ["%g %g %g %g" % point for point in points])
            parts.append("$%s using 2:1:3:4 with xerrorbars pt 7 ps 0.4 lw 1.5 lc rgb %s title %s" % (
                name, colour(label, number), quoted(label)))
        lines += ["set label %s at %g,%g offset 0.7,0 font ',8'" % (quoted(note), x, y) for note, x, y in self.notes]
        return lines + [
            "set origin 0,%g" % bottom, "set size 1,%g" % share, "set title %s" % quoted(self.title),
            "set xlabel %s" % quoted(self.x_label), "set yrange [%g:0]" % (self.height + 1),
            "set ytics (%s)" % ", ".join("%s %g" % (quoted(row), y) for row, y in self.rows),
            "plot " + ", ".join(parts), "unset label"]


def spreads(path, panels):
    """Panels below each other."""
    panels = [panel for panel in panels if panel.rows]
    if not can_draw(panels):
        return False
    heights = [max(panel.height * UNIT_PX, (len(panel.series) + 2) * LEGEND_PX) + 110 for panel in panels]
    commands, above = ["set multiplot", "set logscale x", "set grid xtics", "set lmargin 36", "set ytics font ',11'"], 0
    for panel, height in zip(panels, heights):
        above += height
        commands += panel.commands(1 - above / sum(heights), height / sum(heights))
    return run(path, commands + ["unset multiplot"], sum(heights))
