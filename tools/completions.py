#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the completions of bash, zsh and fish for the program coracle, of what its --help prints from its tables.

usage: tools/completions.py OUT PROGRAM [ARGUMENT]...

OUT gets coracle.bash, _coracle (zsh) and coracle.fish. PROGRAM is the program, or an emulator and the program. An
option's value is completed from the choices that its line names, or by what FILLED knows of it.
"""
import pathlib
import re
import subprocess
import sys

# An option or the name of its value: how bash, zsh and fish complete it; None: not at all.
FILLED = {
    "FILE": ("compgen -f", "_files", "(__fish_complete_path)"),
    "PID": (None, "_pids", "(__fish_complete_pids)"),
    "user": ("compgen -u", "_users", "(__fish_complete_users)"),
    "unix-owner": ("compgen -u", "_users", "(__fish_complete_users)"),
    "group": ("compgen -g", "_groups", "(__fish_complete_groups)"),
}
MADE = "Made by tools/completions.py of coracle's --help."


class Option:
    """One line of --help."""

    def __init__(self, letter, name, value, says):
        self.letter = letter.strip(" -,")
        self.name = name
        self.value = value
        choices = re.search(r": ([\w-]+(?:(?:, | or )[\w-]+)+)$", says) if value else None
        self.choices = re.split(", | or ", choices[1]) if choices else []
        self.says = says[:choices.start()] if choices else says
        self.filled = FILLED.get(name) or FILLED.get(value)

    def spellings(self):
        return ["--" + self.name] + (["-" + self.letter] if self.letter else [])


class Command:
    """One command: what the list of commands says of it, its options, and the services that it takes."""

    def __init__(self, name, says, text):
        self.name = name
        self.says = says
        self.options = [Option(*found) for found in
                        re.findall(r"^  (-\w, |    )--([\w-]+)(?: (\S+))? +(.*)$", text, re.M)]
        services = re.search(r"^Services:\n((?:  .*\n)+)", text, re.M)
        self.services = re.findall(r"^  (\w+) +\S+ +(.*)$", services[1], re.M) if services else []


def read_program(program):
    """(the commands, the options of the program itself)."""
    def ask(*words):
        return subprocess.run(program + list(words), check=True, timeout=60, stdout=subprocess.PIPE, text=True).stdout
    text = ask("--help")
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)[1]
    commands = [Command(name, says, ask("help", name)) for name, says in re.findall(r"^  (\w+) +(.*)$", listed, re.M)]
    return commands, Command("", "", text).options


def bash(commands, options):
    names = " ".join(command.name for command in commands)
    cases, words, free = [], [], []
    for command in commands:
        for option in command.options:
            patterns = " | ".join("%s/%s" % (command.name, spelling) for spelling in option.spellings())
            reply = 'compgen -W "%s"' % " ".join(option.choices) if option.choices else \
                option.filled[0] if option.filled else None
            if reply:
                files = "compopt -o filenames 2>/dev/null; " if reply == "compgen -f" else ""
                cases.append("    %s)\n        %s_coracle_reply %s\n        return\n        ;;" %
                             (patterns, files, reply))
            elif option.value:
                free.append(patterns)
        words.append('    %s)\n        options="%s"\n        operands="%s"\n        ;;' % (
            command.name, " ".join("--" + option.name for option in command.options),
            names if command.name == "help" else " ".join(name for name, _ in command.services)))
    cases.append("    %s)\n        return\n        ;;" % " | \\\n        ".join(free))
    return BASH % {"made": MADE, "names": names, "cases": "\n".join(cases), "words": "\n".join(words),
                   "options": " ".join("--" + option.name for option in options)}


BASH = """# SPDX-License-Identifier: MIT
# %(made)s

# Takes a command that prints words and gives those that begin like the word at the cursor.
_coracle_reply()
{
    local line
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("$@" -- "$word")
}

_coracle()
{
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local options="" operands="" given="" at
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _coracle_reply compgen -W "%(names)s %(options)s"
        return
    fi
    for ((at = 2; at < COMP_CWORD; at++)); do
        if [[ ${COMP_WORDS[at]} == -- ]]; then
            _coracle_reply compgen -c
            return
        fi
    done
    # bash takes "--name=value" apart at the sign.
    if [[ $word == = ]]; then
        word=""
        given=yes
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
        given=yes
    fi
    case $command/$previous in
%(cases)s
    esac
    [[ -z $given ]] || return
    case $command in
%(words)s
    esac
    if [[ $word == -* ]]; then
        _coracle_reply compgen -W "$options"
    else
        _coracle_reply compgen -W "$operands"
    fi
}

complete -F _coracle coracle
"""


def zsh_text(text):
    """A description inside '...[...]'."""
    return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")


def zsh_option(option):
    values = ""
    if option.value:
        fill = "(%s)" % " ".join(option.choices) if option.choices else option.filled[1] if option.filled else " "
        values = ":%s:%s" % (zsh_text(option.value), fill)
    names = ["--" + option.name + ("=" if option.value else "")]
    if option.letter:
        names.append("-" + option.letter + ("+" if option.value else ""))
    text = "'[%s]%s'" % (zsh_text(option.says), values)
    if len(names) == 1:
        return "'%s'%s" % (names[0], text)
    return "'(%s)'{%s}%s" % (" ".join(option.spellings()), ",".join(names), text)


def zsh(commands, options):
    cases = []
    for command in commands:
        lines = [zsh_option(option) for option in command.options]
        if command.services:
            lines.append("'*:service:((%s))'" % " ".join(
                '%s\\:"%s"' % (name, zsh_text(says)) for name, says in command.services))
        elif command.name == "help":
            lines.append("'1:command:(%s)'" % " ".join(command.name for command in commands))
        else:
            lines.append("'*:operand: '")
        cases.append("    %s)\n        _arguments -s \\\n            %s\n        ;;" % (
            command.name, " \\\n            ".join(lines)))
    names = "'1:command:((%s))'" % " ".join('%s\\:"%s"' % (command.name, zsh_text(command.says))
                                           for command in commands)
    return ZSH % {"made": MADE, "cases": "\n".join(cases),
                  "first": " \\\n    ".join([zsh_option(option) for option in options] + [names])}


ZSH = """#compdef coracle
# SPDX-License-Identifier: MIT
# %(made)s
local state line curcontext=$curcontext
_arguments -C \\
    %(first)s \\
    '*::argument:->arguments' && return
[[ $state == arguments ]] || return
case $words[1] in
%(cases)s
esac
"""


def fish_text(text):
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


def fish(commands, options):
    lines = ["# SPDX-License-Identifier: MIT", "# " + MADE, "complete -c coracle -f"]

    def add(condition, option):
        line = "complete -c coracle -n %s -l %s" % (fish_text(condition), option.name)
        line += " -s " + option.letter if option.letter else ""
        if option.value:
            fill = " ".join(option.choices) if option.choices else option.filled[2] if option.filled else ""
            line += " -r -F" if option.value == "FILE" else " -x"
            line += " -a %s" % fish_text(fill) if fill and option.value != "FILE" else ""
        lines.append("%s -d %s" % (line, fish_text(option.says)))

    for option in options:
        add("__fish_use_subcommand", option)
    for command in commands:
        lines.append("complete -c coracle -n __fish_use_subcommand -a %s -d %s" % (command.name,
                                                                                 fish_text(command.says)))
    for command in commands:
        condition = "__fish_seen_subcommand_from " + command.name
        for option in command.options:
            add(condition, option)
        for name, says in command.services:
            lines.append("complete -c coracle -n %s -a %s -d %s" % (fish_text(condition), name, fish_text(says)))
        if command.name == "help":
            lines.append("complete -c coracle -n %s -a %s" % (
                fish_text(condition), fish_text(" ".join(other.name for other in commands))))
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    commands, options = read_program(sys.argv[2:])
    for name, make in ("coracle.bash", bash), ("_coracle", zsh), ("coracle.fish", fish):
        (out / name).write_text(make(commands, options), encoding="utf-8")


if __name__ == "__main__":
    main()
