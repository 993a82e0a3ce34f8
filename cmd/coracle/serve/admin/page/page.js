/* SPDX-License-Identifier: MIT */
/*
 * The status page. Asks /status every 2 s and puts the answer into the page, as text only: names of clients are theirs.
 * Rows stay the same elements as long as their connection does, so that a focus or a selection is not lost.
 */
"use strict";

const EVERY = 2000, LIMIT = 500;
const byId = (id) => document.getElementById(id);
let last = null, paused = false, timer = 0;

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1000 && unit < units.length - 1; unit++) { n /= 1024; }
  return (unit === 0 ? Math.round(n) : n.toFixed(1)) + " " + units[unit];
}

function seconds(s) {
  return s < 100 ? s.toFixed(1) + " s" : s < 6000 ? Math.floor(s / 60) + " min" : Math.floor(s / 3600) + " h";
}

const OPEN = [
  {key: "id", name: "Id"}, {key: "service", name: "Service", text: true}, {key: "peer", name: "Peer", text: true},
  {key: "age", name: "Age", show: seconds}, {key: "received_bytes", name: "Received", show: bytes},
  {key: "sent_bytes", name: "Sent", show: bytes}, {key: "pending_bytes", name: "Pending", show: bytes},
  {key: "stuck", name: "Stuck", show: seconds}, {key: "idle", name: "Idle", show: seconds},
];
const CLOSED = [
  {key: "id", name: "Id"}, {key: "service", name: "Service", text: true}, {key: "peer", name: "Peer", text: true},
  {key: "reason", name: "Reason", text: true}, {key: "closed", name: "Closed", text: true},
  {key: "age", name: "Lasted", show: seconds}, {key: "received_bytes", name: "Received", show: bytes},
  {key: "sent_bytes", name: "Sent", show: bytes},
];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) { made.textContent = text; }
  if (className) { made.className = className; }
  return made;
}

/* Changes a text only if it has changed: a screen reader hears of changes. */
function setText(target, text) {
  if (target.textContent !== text) { target.textContent = text; }
}

function table(id, columns, sort, down, rowEnd) {
  const of = {body: byId(id).tBodies[0], columns, sort, down, rows: new Map(), data: [], rowEnd};
  const head = byId(id).tHead.rows[0];
  for (const column of columns) {
    const cell = element("th", undefined, column.text ? "text" : "");
    const button = element("button", column.name);
    cell.scope = "col";
    button.type = "button";
    button.addEventListener("click", () => {
      of.down = of.sort === column.key ? !of.down : !column.text;
      of.sort = column.key;
      draw(of);
    });
    cell.append(button);
    column.cell = cell;
    head.append(cell);
  }
  if (rowEnd) {
    const cell = element("th", "Action");
    cell.scope = "col";
    head.append(cell);
  }
  return of;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? ""));
}

function drawRow(of, item) {
  let row = of.rows.get(item.id);
  if (!row) {
    row = element("tr");
    for (const column of of.columns) { row.append(element("td", "", column.text ? "text" : "")); }
    if (of.rowEnd) { row.append(of.rowEnd(item)); }
    of.rows.set(item.id, row);
  }
  row.className = item.stuck > 1 ? "stuck" : "";
  of.columns.forEach((column, i) => {
    const value = item[column.key];
    setText(row.cells[i], value === undefined || value === null ? "-" : column.show ? column.show(value) : String(value));
  });
  return row;
}

function draw(of) {
  for (const column of of.columns) {
    column.cell.setAttribute("aria-sort",
      column.key !== of.sort ? "none" : of.down ? "descending" : "ascending");
  }
  const sorted = [...of.data].sort((a, b) => (of.down ? -1 : 1) * compare(a[of.sort], b[of.sort]) || a.id - b.id);
  const rows = sorted.map((item) => drawRow(of, item));
  const kept = new Set(of.data.map((item) => item.id));
  for (const [id, row] of of.rows) {
    if (!kept.has(id)) {
      row.remove();
      of.rows.delete(id);
    }
  }
  /* A row is moved only if it is not where it is to be: moving takes the focus away. */
  rows.forEach((row, i) => {
    if (of.body.rows[i] !== row) { of.body.insertBefore(row, of.body.rows[i] || null); }
  });
}

async function kick(id, peer) {
  try {
    const answer = await fetch("/kick?id=" + id, {method: "POST"});
    setText(byId("news"), answer.ok ? "Kicked " + id + ", " + peer : (await answer.text()).trim());
  } catch (error) {
    setText(byId("news"), "No answer: " + error.message);
  }
  ask();
}

function kickCell(item) {
  const cell = element("td"), button = element("button", "Kick");
  button.type = "button";
  button.setAttribute("aria-label", "Kick connection " + item.id + ", " + item.peer);
  button.addEventListener("click", () => kick(item.id, item.peer));
  cell.append(button);
  return cell;
}

function tiles(list, pairs) {
  for (const [name, value] of pairs) {
    let tile = [...list.children].find((one) => one.firstChild.textContent === name);
    if (!tile) {
      tile = element("div");
      tile.append(element("dt", name), element("dd"));
      list.append(tile);
    }
    setText(tile.lastChild, value);
  }
}

/* How much a counter has grown per second since the last answer. */
function rate(status, read) {
  const time = last ? status.uptime - last.uptime : 0;
  return time > 0 ? Math.max(0, read(status) - read(last)) / time : 0;
}

function drawNow(status) {
  const counters = status.counters, perSecond = (n) => (n < 10 ? n.toFixed(1) : Math.round(n)) + "/s";
  tiles(byId("tiles"), [
    ["Open", counters.open + " of " + status.limits["max-conns"]],
    ["Accepted", perSecond(rate(status, (s) => s.counters.accepted))],
    ["Closed", perSecond(rate(status, (s) => s.counters.closed))],
    ["Received", bytes(rate(status, (s) => s.counters.received_bytes)) + "/s"],
    ["Sent", bytes(rate(status, (s) => s.counters.sent_bytes)) + "/s"],
    ["Pending", bytes(status.connections.reduce((sum, one) => sum + one.pending_bytes, 0))],
    ["CPU", Math.round(100 * rate(status, (s) => s.process.cpu)) + " %"],
    ["Memory", bytes(status.process.resident_bytes)],
    ["Descriptors", status.process.open_fds + " of " + status.process.max_fds],
    ["Tasks", status.runtime.tasks === undefined ? "no worker answers" : String(status.runtime.tasks)],
  ]);
}

function show(status) {
  setText(byId("version"), status.version);
  setText(byId("state"), status.state);
  setText(byId("uptime"), "up " + seconds(status.uptime) + ", " + status.poller);
  drawNow(status);
  tiles(byId("reasons"), Object.entries(status.counters.closed_by_reason).map(([name, n]) => [name, String(n)]));
  setText(byId("listed"), status.counters.open > status.connections.length
    ? "The " + status.connections.length + " with most pending of " + status.counters.open : "");
  open.data = status.connections;
  closed.data = status.recently_closed.slice(0, LIMIT);
  draw(open);
  draw(closed);
  last = status;
}

async function ask() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/status?limit=" + LIMIT);
    if (!answer.ok) { throw new Error(String(answer.status)); }
    show(await answer.json());
    if (byId("news").textContent.startsWith("No answer")) { setText(byId("news"), ""); }
  } catch (error) {
    setText(byId("news"), "No answer: " + error.message);
  }
  clearTimeout(timer);
  if (!paused) { timer = setTimeout(ask, EVERY); }
}

const open = table("open", OPEN, "pending_bytes", true, kickCell);
const closed = table("closed", CLOSED, "id", true, null);
byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) { ask(); }
});
ask();
