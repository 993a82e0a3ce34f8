# SPDX-License-Identifier: MIT
"""What a page must be for those who do not see it, or not well, or have no mouse: the checks that a machine can make.

They are our own: Debian has no package of a checker such as axe-core. Rules and numbers are those of WCAG 2.2, AA:
names and roles (4.1.2, 1.3.1), contrast of texts (1.4.3) and of what can be pressed (1.4.11), its size (2.5.8), no
scrolling in two directions (1.4.10).
"""

# Runs in the page. Gives a list of complaints.
LOOK = r"""(() => {
const found = [];
const complain = (what, one) => found.push(what + ": " + (one.outerHTML || String(one)).slice(0, 120));
function color(text) {
  const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
  return {r, g, b, a};
}
function over(top, under) {
  const mix = (x, y) => x * top.a + y * (1 - top.a);
  return {r: mix(top.r, under.r), g: mix(top.g, under.g), b: mix(top.b, under.b), a: 1};
}
function ground(one) {
  if (!one) { return {r: 255, g: 255, b: 255, a: 1}; }
  const own = color(getComputedStyle(one).backgroundColor);
  return own.a === 1 ? own : over(own, ground(one.parentElement));
}
function light(c) {
  const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  return 0.2126 * part(c.r) + 0.7152 * part(c.g) + 0.0722 * part(c.b);
}
function contrast(a, b) {
  const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}
const visible = (one) => one.checkVisibility({opacityProperty: true, visibilityProperty: true});
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || one.closest("template, noscript, script") || !visible(one)) { continue; }
  const style = getComputedStyle(one), size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const under = ground(one), ratio = contrast(over(color(style.color), under), under);
  if (ratio < (large ? 3 : 4.5)) { complain("contrast " + ratio.toFixed(2), one); }
}
for (const one of document.querySelectorAll("button")) {
  if (!visible(one)) { continue; }
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  if (box.width < 24 || box.height < 24) { complain("small " + box.width + " x " + box.height, one); }
  if (style.borderStyle !== "none" && contrast(color(style.borderColor), ground(one.parentElement)) < 3) {
    complain("faint border", one);
  }
}
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => complain("id twice", id));
for (const name of ["aria-labelledby", "aria-describedby"]) {
  for (const one of document.querySelectorAll("[" + name + "]")) {
    one.getAttribute(name).split(" ").filter((id) => !document.getElementById(id)).forEach(() => complain(name, one));
  }
}
document.querySelectorAll("[tabindex]").forEach((one) => { if (one.tabIndex > 0) { complain("tabindex", one); } });
document.querySelectorAll("svg:not([aria-hidden])").forEach((one) => complain("picture without a word", one));
document.querySelectorAll("th:not([scope])").forEach((one) => complain("th without scope", one));
document.querySelectorAll("dl > :not(div, dt, dd)").forEach((one) => complain("in a list of pairs", one));
let level = 0;
for (const one of document.querySelectorAll("main h1, main h2, main h3, header h1")) {
  if (Number(one.tagName[1]) > level + 1) { complain("a level of headings left out", one); }
  level = Number(one.tagName[1]);
}
if (document.querySelectorAll("h1").length !== 1) { complain("not one h1", document.body); }
if (!document.documentElement.lang || !document.title) { complain("no language or title", document.documentElement); }
if (document.documentElement.scrollWidth > innerWidth) {
  complain("wider than the screen by " + (document.documentElement.scrollWidth - innerWidth), document.body);
}
for (const one of document.querySelectorAll("*")) { /* a keyboard must reach what scrolls */
  const style = getComputedStyle(one), scrolls = /auto|scroll/.test(style.overflowX + style.overflowY);
  if (scrolls && (one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight + 1) && visible(one) &&
      one.tabIndex !== 0 && one !== document.documentElement) { complain("no keyboard scrolls it", one); }
}
return found;
})()"""

NEED_NAMES = {"button", "link", "region", "group", "table", "dialog", "textbox", "checkbox", "combobox", "columnheader",
              "heading"}


def tree(page):
    """What a screen reader gets: (role, name) of all that it does not pass over."""
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]


def complaints(page):
    """Everything that is wrong; nothing, in a page that is in order."""
    found = list(page.js(LOOK))
    seen = tree(page)
    found += ["no name: " + role for role, name in seen if role in NEED_NAMES and not name.strip()]
    found += ["region twice: " + one for role, one in set(seen) if role == "region" and seen.count((role, one)) > 1]
    roles = [role for role, _ in seen]
    if "dialog" not in roles:  # a modal one hides the rest
        found += ["no " + role for role in ("banner", "main", "status", "heading") if role not in roles]
    return found
