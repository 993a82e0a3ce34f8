/* SPDX-License-Identifier: MIT */
/* Searches INDEX (tools/docs.py): sections with an address, a page's title, a heading and text. All words must be in. */
"use strict";

const MOST = 30, AROUND = 70;
const input = document.getElementById("search"), found = document.getElementById("found");
const main = document.querySelector("main"), count = document.getElementById("count");
const root = document.documentElement.dataset.root;

function score(section, words) {
    const title = section[1].toLowerCase(), heading = section[2].toLowerCase(), text = section[3].toLowerCase();
    let total = 0;
    for (const word of words) {
        const points = (heading === word ? 40 : 0) + (title.includes(word) ? 8 : 0) + (heading.includes(word) ? 12 : 0) +
                       (text.includes(word) ? 1 : 0);
        if (points === 0) {
            return 0;
        }
        total += points;
    }
    return total;
}

function item(section, words) {
    const li = document.createElement("li"), a = document.createElement("a"), small = document.createElement("small");
    a.href = root + section[0];
    a.textContent = section[2] && section[2] !== section[1] ? section[1] + ": " + section[2] : section[1];
    const at = Math.max(0, section[3].toLowerCase().indexOf(words[0]) - AROUND);
    small.textContent = (at > 0 ? "… " : "") + section[3].slice(at, at + 3 * AROUND);
    li.append(a, small);
    return li;
}

function search() {
    const words = input.value.toLowerCase().split(/\s+/).filter(word => word !== "");
    found.hidden = words.length === 0;
    main.hidden = !found.hidden;
    if (found.hidden) {
        count.textContent = "";
        return;
    }
    const hits = INDEX.map(section => [score(section, words), section]).filter(hit => hit[0] > 0)
                      .sort((a, b) => b[0] - a[0]);
    count.textContent =
        hits.length === 0 ? "Nothing has all of these words." :
        hits.length > MOST ? `The best ${MOST} of ${hits.length} sections` : `Sections found: ${hits.length}`;
    found.querySelector("ul").replaceChildren(...hits.slice(0, MOST).map(hit => item(hit[1], words)));
}

if (matchMedia("(max-width: 50em)").matches) { /* the text comes first */
    document.querySelectorAll("nav details").forEach(one => { one.open = false; });
}
input.addEventListener("input", search);
addEventListener("pageshow", search); /* a browser may keep what was typed */
document.addEventListener("keydown", event => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing) {
        event.preventDefault();
        input.focus();
    } else if (event.key === "Escape" && typing) {
        input.value = "";
        search();
    }
});
