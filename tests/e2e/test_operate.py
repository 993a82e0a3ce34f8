# SPDX-License-Identifier: MIT
"""The ten questions of docs/guide/operate.md: each of its commands answers, in the words that the guide shows."""
import re

from harness import Case, main, need_json, need_tool
from operate import answer, read_guide, ready_to_ask
from test_status import setUpModule  # noqa: F401: for unittest


class Guide(Case):
    def test_every_command_answers_as_shown(self):
        need_json()
        need_tool("curl")
        asked = 0
        with ready_to_ask("--write-timeout", "5m") as demo:
            for piece in read_guide():
                if isinstance(piece, str):
                    continue
                shown, said = [], ""
                for line in piece:
                    if line.startswith("$ "):
                        said += "\n".join(answer(demo, line[2:])) + "\n"
                        asked += 1
                    else:
                        shown.append(line)
                lines = [line for line in shown if not line.startswith("task ") and not line.endswith("...")]
                for word in re.findall(r"[a-z_]{3,}", "\n".join(lines)):
                    self.assertIn(word, said, "\n".join(piece))
        self.assertGreaterEqual(asked, 11)


if __name__ == "__main__":
    main()
