#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the documentation as a site of plain files: the documents, the guide and the manual pages.

usage: tools/docs.py [--version TEXT] [--source FOLDER] OUT

Every Markdown file of the tree becomes a page, by cmark-gfm; every manual page of tools/man.py, by mandoc. A name of
ours in code (`cor_go`) becomes a link to its manual page. What a document links to comes along: pictures as they are,
other files as a page of text. Nothing comes from elsewhere, and there is no server behind it: OUT can be opened as it
is, or be put on any web server. Then all links are checked; broken ones are listed, and the exit status is 1.
"""
import argparse
import html
import json
import os
import pathlib
import posixpath
import re
import subprocess
import sys
import tempfile

SITE = "docs/site"
PICTURES = (".png", ".svg")
SECTION_TEXT = 3000  # characters of a section that can be found
# The menu: a heading, and the documents under it, in this order; "docs/guide/*" is the rest of a folder.
MENU = (
    ("Start", ("README.md", "docs/guide/README.md", "docs/guide/*")),
    ("Running it", ("man1", "docs/guide/operate.md", "docs/env.md", "docs/log-events.md", "SECURITY.md")),
    ("The library", ("man7", "man3")),
    ("Measured", ("docs/performance.md", "docs/scale.md", "docs/rivals.md", "docs/soak.md", "docs/*")),
    ("How it is made", ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/adr/README.md", "docs/adr/*")),
)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")
TEMPLATE = """<!doctype html>
<html lang="en" data-root="{root}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Coracle</title>
<link rel="stylesheet" href="{root}style.css">
</head>
<body>
<a class="skip" href="#main">To the text</a>
<header>
<a class="home" href="{root}index.html">Coracle {version}</a>
<label><span class="hidden">Search</span><input id="search" type="search" placeholder="Search (/)"></label>
<p id="count" role="status"></p>
</header>
<div class="page">
<nav aria-label="Pages">
{menu}
</nav>
<section id="found" hidden aria-label="Search results">
<ul></ul>
</section>
<main id="main">
{body}
</main>
</div>
<script src="{root}index.js"></script>
<script src="{root}search.js"></script>
</body>
</html>
"""


class Page:
    """`source` is a path in the tree, or of a manual page; `out` one in the site; `body` HTML with the tree's links."""

    def __init__(self, source, out, title, body):
        self.source, self.out, self.title, self.body = source, out, title, body


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def plain(text):
    """What is to be read of some HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())


def with_ids(body):
    """Gives headings the ids that GitHub gives them, which our links use."""
    seen = {}

    def heading(match):
        slug = re.sub(r"[^\w\- ]", "", plain(match[2]).lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        return '<h%s id="%s">%s</h%s>' % (match[1], slug + ("-%d" % count if count else ""), match[2], match[1])
    return re.sub(r"<h([1-6])>(.*?)</h\1>", heading, body, flags=re.S)


def scrolling(body):
    """Code and tables scroll by themselves, for a keyboard, too; a table is called after the heading above it."""
    parts = re.split(r"(<h[1-6][^>]*>.*?</h[1-6]>)", body, flags=re.S)
    for i in range(0, len(parts), 2):
        name = html.escape(plain(parts[i - 1])) if i > 0 else "table"
        parts[i] = re.sub("<table[^>]*>", '<div class="wide" tabindex="0"><table aria-label="%s">' %
                          name.replace("\\", ""), parts[i]).replace("</table>", "</table></div>")
    body = re.sub("<th[^>]*></th>", "<td></td>", "".join(parts))
    return re.sub(r"<(pre|th)\b", lambda match: match[0] + (' tabindex="0"' if match[1] == "pre" else ' scope="col"'),
                  body)


def document(source, path):
    body = scrolling(with_ids(run("cmark-gfm", "--unsafe", "-e", "table", "-e", "autolink", str(source / path))))
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
    out = "index.html" if path == "README.md" else path[:-len(".md")] + ".html"
    return Page(path, out, plain(title[1]) if title else path, body)


def manual(folder):
    """The manual pages, and where each name of ours is: {name: page's path}."""
    pages, names = [], {}
    for path in sorted(folder.glob("man?/*.?")):
        name, _, section = path.name.rpartition(".")
        target = path.resolve().name
        if section == "3":
            names[name] = "man/%s.html" % target
        if not path.is_symlink():
            title = "%s(%s)" % (name, section)
            body = run("mandoc", "-T", "html", "-O", "fragment,man=%N.%S.html", str(path))
            body = re.sub('<table class="(?:head|foot)">.*?</table>', "", body, flags=re.S)
            for level in 2, 1:  # the page's own heading is the first
                body = re.sub("(</?h)%d" % level, r"\g<1>%d" % (level + 1), body)
            body = "<h1>%s</h1>\n%s" % (title, scrolling(body))
            pages.append(Page("man%s/%s" % (section, path.name), "man/%s.html" % path.name, title, body))
    return pages, names


def text_page(source, path):
    text = (source / path).read_text(encoding="utf-8")
    body = '<h1 id="top"><code>%s</code></h1><pre tabindex="0">%s</pre>' % (path, html.escape(text))
    return Page(path, path + ".html", path, body)


class Site:
    def __init__(self, source, out, version):
        self.source, self.out, self.version = source, out, version
        self.pages, self.pictures, self.broken = {}, set(), []
        with tempfile.TemporaryDirectory() as folder:
            maker = str(source / "tools/man.py")
            run(sys.executable, "-B", maker, "--version", version, "--source", str(source), folder)
            pages, self.names = manual(pathlib.Path(folder))
        for path in self.tracked():
            pages.append(document(source, path))
        for page in pages:
            self.pages[page.source] = page

    def tracked(self):
        """The Markdown files: of a checkout those that git knows, else all but what was built."""
        found = (path.relative_to(self.source).as_posix() for path in self.source.glob("**/*.md"))
        return sorted(path for path in found if not path.startswith((".", "build/")))

    def target(self, page, link):
        """Where a link of `page` leads in the site; None: nowhere."""
        path, mark, fragment = link.partition("#")
        if path == "":
            return page.out + mark + fragment
        if page.source.startswith("man"):
            known = posixpath.join("man", path)
            return known + mark + fragment if any(each.out == known for each in self.pages.values()) else None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), path))
        if path.startswith("docs/man/"):
            path = "man" + path[-1] + "/" + posixpath.basename(path)
        if path == "include/coracle":
            path = "man7/coracle.7"
        if (self.source / path / "README.md").is_file():
            path += "/README.md"
        if path.endswith(PICTURES) and (self.source / path).is_file():
            self.pictures.add(path)
            return path
        if path not in self.pages and (self.source / path).is_file():
            self.pages[path] = text_page(self.source, path)
        return self.pages[path].out + mark + fragment if path in self.pages else None

    def linked(self, page):
        """The body of a page with links into the site."""
        here = posixpath.dirname(page.out)

        def relative(target):
            path, mark, fragment = target.partition("#")
            return posixpath.relpath(path, here or ".") + mark + fragment

        def link(match):
            if ELSEWHERE.match(match[2]) or match[2].startswith("//"):
                return match[0]
            target = self.target(page, html.unescape(match[2]))
            if target is None:
                if not page.source.startswith("man"):  # a manual page names others of the system
                    self.broken.append("%s: %s leads nowhere" % (page.source, match[2]))
                return "" if match[1] == "href" else match[0]
            return '%s="%s"' % (match[1], html.escape(relative(target)))

        def name(match):
            known = self.names.get(match[1])
            return match[0] if known is None or known == page.out else \
                '<a href="%s">%s</a>' % (relative(known), match[0])

        body = re.sub(r'\b(href|src)="([^"]*)"', link, page.body)
        parts = re.split(r"(<a .*?</a>)", body, flags=re.S)  # no link in a link
        return "".join(part if part.startswith("<a ") else
                       re.sub(r"<code>(cor_\w+)(?:\(\))?</code>", name, part) for part in parts)

    def menu(self, page):
        here, lines, listed = posixpath.dirname(page.out), [], set()
        named = {path for _, paths in MENU for path in paths}
        for heading, paths in MENU:
            of_it = []
            for path in paths:
                folder = posixpath.dirname(path) if path.endswith("/*") else path
                for each in sorted(self.pages):
                    inside = posixpath.dirname(each) == folder and each not in named
                    if (each == path or inside) and each not in listed and not each.endswith((".c", ".h", ".txt")):
                        of_it.append(self.pages[each])
                        listed.add(each)
            lines.append("<details%s aria-label=\"%s\"><summary>%s</summary><ul>" % (
                " open" if page in of_it else "", heading, heading))
            for each in of_it:
                current = ' aria-current="page"' if each is page else ""
                lines.append('<li><a href="%s"%s>%s</a></li>' % (posixpath.relpath(each.out, here or "."), current,
                                                                 html.escape(each.title)))
            lines.append("</ul></details>")
        return "\n".join(lines)

    def sections(self, page):
        """What the search knows of a page: from each heading to the next."""
        parts = re.split(r'<h[1-3][^>]* id="([^"]*)"[^>]*>(.*?)</h[1-3]>', page.body, flags=re.S)
        yield page.out, page.title, "", plain(parts[0])[:SECTION_TEXT]
        for anchor, heading, text in zip(parts[1::3], parts[2::3], parts[3::3]):
            yield "%s#%s" % (page.out, anchor), page.title, plain(heading), plain(text)[:SECTION_TEXT]

    def write(self):
        bodies, known = {}, -1
        while known != len(self.pages):  # what is linked to becomes a page, too
            known = len(self.pages)
            for source, page in sorted(self.pages.items()):
                if source not in bodies:
                    bodies[source] = self.linked(page)
        for source, page in self.pages.items():
            depth = page.out.count("/")
            text = TEMPLATE.format(root="../" * depth, title=html.escape(page.title), version=self.version,
                                   menu=self.menu(page), body=bodies[source])
            self.put(page.out, text.encode())
        for path in sorted(self.pictures):
            self.put(path, (self.source / path).read_bytes())
        index = [section for _, page in sorted(self.pages.items()) for section in self.sections(page)
                 if section[2] or section[3]]
        self.put("index.js", ("const INDEX = %s;\n" % json.dumps(index, ensure_ascii=False)).encode())
        for name in "style.css", "search.js":
            self.put(name, (self.source / SITE / name).read_bytes())

    def put(self, path, data):
        target = self.out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def check(self):
        """What a reader would find broken: links to files that are not there, and to headings."""
        ids = {}
        for path in sorted(self.out.glob("**/*.html")):
            ids[path] = set(re.findall(r'\bid="([^"]*)"', path.read_text(encoding="utf-8")))
        links = 0
        for path in ids:
            for link in re.findall(r'\b(?:href|src)="([^"]*)"', path.read_text(encoding="utf-8")):
                if ELSEWHERE.match(link):
                    continue
                links += 1
                file, _, fragment = html.unescape(link).partition("#")
                target = pathlib.Path(os.path.normpath(path.parent / file)) if file else path
                if not target.is_file():
                    self.broken.append("%s: %s is not there" % (path.relative_to(self.out), link))
                elif fragment and target in ids and fragment not in ids[target]:
                    self.broken.append("%s: %s has no such heading" % (path.relative_to(self.out), link))
        return links


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--version", default="")
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("out", metavar="OUT", type=pathlib.Path)
    args = parser.parse_args()
    site = Site(args.source.resolve(), args.out.resolve(), args.version)
    site.write()
    links = site.check()
    for line in sorted(set(site.broken)):
        print(line, file=sys.stderr)
    if site.broken:
        sys.exit(1)
    print("%d pages, %d links, none broken: %s" % (len(site.pages), links, args.out / "index.html"))


if __name__ == "__main__":
    main()
