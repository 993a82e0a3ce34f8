#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the manual pages: section 3 of the headers' comments, sections 1 and 7 of docs/man.

usage: tools/man.py [--version TEXT] [--source FOLDER] OUT

OUT gets man1, man3 and man7. In section 3 a page is a group of functions (GROUPS) and is called after its first one;
the others are links to it. A function that stands in no group is on its header's last page, and a header that has no
groups is one page, so that what is new is documented by itself. A page has what the header says of all its calls, the
prototypes, the comment of each function, and the types and constants that stand before its functions in the header.

The pages of docs/man are written by hand; only @DATE@, @VERSION@ and @PAGES@ (the list of section 3) are filled in.
The date is that of SOURCE_DATE_EPOCH, else of the newest source.
"""
import argparse
import os
import pathlib
import re
import time

# header: its pages, each with what its name line says and the names it begins with.
GROUPS = {
    "task.h": [
        ("run tasks on worker threads", "cor_run cor_poller_info cor_version"),
        ("start light tasks", "cor_go cor_go_with cor_go_foreign cor_yield cor_task_id cor_worker_id"),
        ("wait for signals in a task", "cor_signal_catch cor_signal_reset cor_signal_wait"),
        ("look at running tasks", "cor_stats cor_dump cor_roll_call"),
    ],
    "net.h": [
        ("listen for connections and serve them",
         "cor_listen cor_listen_with cor_accept cor_serve cor_serve_until_signal cor_closing cor_listener_close "
         "cor_listener_on_pause cor_listener_on_loss cor_listener_set_deadline cor_listener_addr "
         "cor_listener_endpoint cor_listener_set_keep_alive cor_listener_set_user_timeout"),
        ("connect", "cor_dial cor_dial_until cor_dial_with"),
        ("read and write on connections",
         "cor_read cor_wait_readable cor_write cor_write_counted cor_close cor_close_write cor_close_read "
         "cor_set_deadline cor_set_read_deadline cor_set_write_deadline"),
        ("addresses, options and errors of connections",
         "cor_local_addr cor_remote_addr cor_local_endpoint cor_remote_endpoint cor_conn_error cor_set_no_delay "
         "cor_set_linger cor_set_keep_alive cor_set_user_timeout"),
    ],
    "addr.h": [
        ("IP addresses as values", "cor_ip_of cor_ip_parse cor_ip_text cor_ip_compare cor_ip_traits"),
        ("blocks of addresses", "cor_prefix_parse cor_prefix_text cor_prefix_masked cor_prefix_contains"),
        ("hardware addresses", "cor_mac_parse cor_mac_text"),
        ("endpoints and their texts", "cor_addr_text cor_addr_compare cor_split_host_port cor_join_host_port"),
    ],
    "buffered.h": [
        ("buffered reading",
         "cor_reader_of cor_reader_until cor_reader_peek cor_reader_read cor_reader_read_full cor_reader_skip "
         "cor_reader_buffered cor_reader_free"),
        ("buffered writing", "cor_writer_of"),
    ],
    "chan.h": [
        ("channels",
         "cor_chan_new cor_chan_free cor_chan_send cor_chan_recv cor_chan_try_send cor_chan_try_recv cor_chan_close "
         "cor_chan_len cor_chan_cap cor_chan_send_foreign cor_chan_recv_foreign"),
        ("wait for one of several channels", "cor_select"),
    ],
    "io.h": [
        ("read, copy and end connections", "cor_copy cor_read_full cor_drain cor_finish cor_read_buffer "
         "cor_buffer_free"),
        ("formatted output", "cor_printf cor_printable cor_json_quote cor_conn_error_text"),
        ("connections in memory and on other descriptors", "cor_pipe cor_open_fd cor_wait_fd"),
    ],
    "sync.h": [
        ("locks for tasks",
         "cor_mutex_lock cor_mutex_trylock cor_mutex_unlock cor_rwmutex_rlock cor_rwmutex_runlock cor_rwmutex_lock "
         "cor_rwmutex_unlock"),
        ("condition variables for tasks", "cor_cond_wait cor_cond_signal cor_cond_broadcast"),
        ("wait for tasks to be done", "cor_waitgroup_add cor_waitgroup_done cor_waitgroup_wait"),
        ("do something once", "cor_once_do cor_once_value_get"),
    ],
    "blocking.h": [("run code that stops its thread", "cor_blocking")],
    "bulk.h": [("move much at once", "cor_writev")],
    "errno.h": [("errno of floating tasks", "cor_errno_place")],
    "error.h": [("errors", "cor_strerror")],
    "fd.h": [("descriptors of connections and listeners", "cor_conn_fd")],
    "group.h": [("groups of tasks", "cor_group_go")],
    "interface.h": [("network interfaces of this host", "cor_interfaces")],
    "lines.h": [("read lines of bounded length", "cor_lines_of")],
    "lookup.h": [("look up names", "cor_lookup_host")],
    "message.h": [("messages that carry more than bytes", "cor_read_message")],
    "multicast.h": [("multicast on udp sockets", "cor_listen_multicast")],
    "packet.h": [("datagrams", "cor_listen_packet")],
    "sim.h": [("simulate whole programs", "cor_sim_run")],
    "time.h": [("clock, deadlines and sleep", "cor_now")],
    "timer.h": [("timers and tickers", "cor_timer_new")],
}
LABELS = "Returns|Parks|Threads|Owns|Go"
LABEL = re.compile(r"(?:^|(?<=\n)|(?<=[.;)\]] ))((?:%s)(?:, (?:%s))*):\s" % (LABELS, LABELS))
DEFAULTS = "Unless a call says otherwise:"


class Header:
    """A public header: `head` is what it says of all its calls, `parts` are its declarations in order."""

    def __init__(self, path):
        self.name = path.name
        text = path.read_text(encoding="utf-8")
        comments = re.findall(r"^/\*.*?\*/$", text[:text.index("#ifndef")], re.M | re.S)
        self.head = plain(comments[-1])
        body = re.search(r"^COR_BEGIN$(.*?)^COR_END$", text, re.M | re.S)
        found = re.findall(r"^(/\*(?:(?!\*/).)*\*/\n)?((?:(?!/\*)[^\n]+\n)+)", body[1] if body else "", re.M | re.S)
        self.parts = [Part(comment, code) for comment, code in found]
        self.functions = {part.function: part for part in self.parts if part.function}

    def pages(self):
        """(what the name line says, names of the functions) of each page."""
        groups = [(says, names.split()) for says, names in GROUPS.get(self.name, [])]
        missing = [name for _, names in groups for name in names if name not in self.functions]
        if missing:
            raise SystemExit("man.py: %s has no %s" % (self.name, ", ".join(missing)))
        grouped = {name for _, names in groups for name in names}
        rest = [name for name in self.functions if name not in grouped]
        if groups:
            groups[-1][1].extend(rest)
        elif rest:
            groups.append((re.split(r"[.:]", self.head)[0].lower(), rest))
        return groups


class Part:
    """One comment and what it stands before: a function, or types and constants."""

    def __init__(self, comment, code):
        self.comment = plain(comment) if comment else ""
        self.code = re.sub(r" +\\$", r" \\", code.rstrip(), flags=re.M)
        self.function = None
        if code.startswith("COR_API"):
            code = " ".join(re.sub(r"\bCOR_(?:API|CHECK)\b|COR_PRINTF\(.*?\)|;$", "", code.strip()).split())
            self.type, self.function, arguments = re.match(r"(.*?)(\bcor_\w+)\((.*)\)$", code).groups()
            self.type = self.type.strip()
            self.arguments = split_arguments(arguments)


def split_arguments(text):
    """Splits at the commas that stand in no parentheses."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text)]


def plain(comment):
    """The text of a comment, its paragraphs apart by empty lines."""
    lines = re.sub(r"^/\*|\*/$", "", comment.strip()).strip().split("\n")
    return "\n".join(re.sub(r"^ ?\*(?: |$)", "", line) for line in lines).strip()


def roff(text):
    """Escapes what roff would take for its own."""
    text = text.replace("\\", "\\e")
    text = re.sub(r"(?<![\w\\])-(?=[\w-])|--", lambda found: "\\-" * len(found[0]), text)
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)


def inline(text, known, own):
    """A paragraph as lines of mdoc, one per sentence: functions become references, `words` arguments."""
    lines = [""]
    for word in text.split():
        found = re.match(r"`?(cor_\w+)(?:\(\))?`?([\]).,:;]*|'s)$", word)
        if re.search(r"[.!?][)\"]*$", lines[-1]) and re.match(r"[A-Z(`\"]|cor_", word):
            lines.append("")
        if found and found[1] in known:
            name, after = found.groups()
            after = " Ns " + after if after == "'s" else "".join(" " + mark for mark in after)
            lines += [(".Fn %s%s" if name in own else ".Xr %s 3%s") % (name, after), ""]
            continue
        word = re.sub(r"`([^`]*)`", r"\\fI\1\\fP", roff(word))
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(line if line.startswith((".Xr ", ".Fn ")) else re.sub(r"^([.'])", r"\\&\1", line)
                     for line in lines if line)


def paragraphs(text, known, own):
    """Paragraphs and indented code as mdoc."""
    out = []
    for paragraph in re.split(r"\n\s*\n", text):
        for code, block in re.findall(r"((?:^ {4,}.*(?:\n|$))+)|((?:^(?! {4}).*(?:\n|$))+)", paragraph, re.M):
            if code:
                out.append(".Bd -literal -offset indent\n%s\n.Ed" % roff("\n".join(
                    line.strip() for line in code.rstrip().split("\n"))))
            elif block.strip():
                out.append((".Pp\n" if out and not out[-1].startswith(".Bd") else "") + inline(block, known, own))
    return "\n".join(out)


def described(part, known, own):
    """The comment of a function: its text, then a list of what is labelled."""
    pieces = LABEL.split(part.comment)
    text = paragraphs(pieces[0], known, own)
    if len(pieces) == 1:
        return text
    rows = ["%s\n.Bl -tag -width Returns -compact" % (text + "\n.Pp" if text else ".Pp")]
    for label, says in zip(pieces[1::2], pieces[2::2]):
        rows.append(".It %s\n%s" % (label, inline(says.strip(), known, own)))
    return "\n".join(rows) + "\n.El"


def quoted(argument):
    return '"%s"' % roff(argument).replace('"', "\\(dq")


def synopsis(part):
    return ".Ft %s\n.Fo %s\n%s\n.Fc" % (quoted(part.type), part.function,
                                        "\n".join(".Fa " + quoted(argument) for argument in part.arguments))


def types_of(header, names):
    """The parts that are no functions and stand before a function of this page, or at the header's end."""
    found, waiting = [], []
    for part in header.parts:
        if not part.function:
            waiting.append(part)
        else:
            found += waiting if part.function in names else []
            waiting = []
    last = [part.function for part in header.parts if part.function][-1]
    return found + (waiting if last in names else [])


def page(header, says, names, known, pages, head):
    """The text of one page of section 3; `pages` are the first names of the header's pages."""
    own = set(names)
    out = [head % names[0].upper(), ".Sh NAME"]
    out += [".Nm %s%s" % (name, " ," if name != names[-1] else "") for name in names]
    out += [".Nd " + says, ".Sh SYNOPSIS", ".In coracle/" + header.name]
    out += [synopsis(header.functions[name]) for name in names]
    out.append(".Sh DESCRIPTION")
    if names[0] == pages[0]:
        out.append(paragraphs(header.head, known, own))
    else:
        out.append("What holds for all calls of\n.In coracle/%s\nis in\n.Xr %s 3 ." % (header.name, pages[0]))
        if DEFAULTS in header.head:
            out.append(inline(header.head[header.head.index(DEFAULTS):], known, own))
    for name in names:
        out += [".Ss " + name, described(header.functions[name], known, own)]
    types = types_of(header, names)
    if types:
        out.append(".Sh TYPES AND CONSTANTS")
    for part in types:
        if part.comment:
            out.append(".Pp" if part is not types[0] else "")
            out.append(paragraphs(part.comment, known, own))
        out.append(".Bd -literal\n%s\n.Ed" % roff(part.code))
    out.append(".Sh SEE ALSO")
    others = sorted(other for other in pages if other != names[0])
    out += [".Xr %s 3 ," % other for other in others] + [".Xr coracle 7"]
    return "\n".join(line for line in out if line) + "\n"


def listing(groups):
    """The pages of section 3 as a list of man(7)."""
    return "\n".join('.TP\n.BR %s (3)\n%s; <coracle/%s>' % (names[0], says, header.name)
                     for header, pages in groups for says, names in pages)


def main():
    parser = argparse.ArgumentParser(description="Makes the manual pages.")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--version", default="")
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    paths = sorted((options.source / "include/coracle").glob("*.h"))
    written = sorted((options.source / "docs/man").glob("*.[17]"))
    date = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", 0)) or
                       max(path.stat().st_mtime for path in paths + written))
    head = ".\\\" SPDX-License-Identifier: MIT\n.\\\" Made by tools/man.py of the header's comments.\n" \
           ".Dd %s\n.Dt %%s 3\n.Os coracle %s" % (time.strftime("%B %d, %Y", date).replace(" 0", " "), options.version)
    groups = [(header, header.pages()) for header in map(Header, paths) if header.functions]
    known = {name for header, _ in groups for name in header.functions}
    for section in "137":
        (options.out / ("man" + section)).mkdir(parents=True, exist_ok=True)
    for header, pages in groups:
        for says, names in pages:
            text = page(header, says, names, known, [others[0] for _, others in pages], head)
            path = options.out / "man3" / (names[0] + ".3")
            path.unlink(missing_ok=True)
            path.write_text(text, encoding="utf-8")
            for name in names[1:]:
                link = options.out / "man3" / (name + ".3")
                link.unlink(missing_ok=True)
                link.symlink_to(names[0] + ".3")
    fill = {"DATE": time.strftime("%Y-%m-%d", date), "VERSION": options.version, "PAGES": listing(groups)}
    for path in written:
        text = re.sub(r"@(\w+)@", lambda found: fill[found[1]], path.read_text(encoding="utf-8"))
        (options.out / ("man" + path.suffix[1:]) / path.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
