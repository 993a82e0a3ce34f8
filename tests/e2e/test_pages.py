# SPDX-License-Identifier: MIT
"""The files of the program's pages, the status server's and the chat's: nothing in them comes from elsewhere, and no
text becomes markup or a program."""
import glob
import os
import unittest

from harness import SOURCE, main

FILES = glob.glob(os.path.join(SOURCE, "cmd", "coracle", "serve", "*", "page", "*"))


class Files(unittest.TestCase):
    def test_nothing_comes_from_elsewhere_and_nothing_is_markup(self):
        self.assertEqual(len(FILES), 6)
        for path in FILES:
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.assertNotRegex(text, r"https?://|//[a-z]|@import", path)
            self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", path)
            self.assertNotRegex(text, r"<script>|<style|\son[a-z]+=|\sstyle=|</script>.*</script>", path)


if __name__ == "__main__":
    main()
