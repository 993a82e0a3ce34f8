/* SPDX-License-Identifier: MIT */
/*
 * The status page. Asks /status every 2 s and puts the answer into the page, as text only: names of clients are theirs.
 * Rows stay the same elements as long as their connection does, so that a focus or a selection is not lost. What moves
 * is no live region: a screen reader is told only of what somebody did (#news).
 */
"use strict";

const EVERY = 2000, LIMIT = 500, CLOSED_SHOWN = 100, POINTS = 90, FIRST_POINTS = 20;
const NEAR = 0.8, FULL = 0.95; /* of a limit */
const MEANING = {
  eof: "the conversation was over", reset: "the client broke off", idle: "it sent nothing for too long",
  first_byte_timeout: "it sent nothing at first", write_timeout: "it took nothing of what was sent",
  slow_consumer: "too far behind in the room", too_long: "a line beyond the limit",
  protocol: "against HTTP or WebSocket", rate: "too many in a short time",
  denied: "by --allow and --deny", max_conns: "too many connections", per_ip: "too many of one address",
  drain: "the server ended", kicked: "by an operator", oom: "memory ran out", internal: "see the log",
};
const byId = (id) => document.getElementById(id);
let last = null, paused = false, timer = 0, doomed = null;

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1000 && unit < units.length - 1; unit++) { n /= 1024; }
  return (unit === 0 ? Math.round(n) : n.toFixed(1)) + " " + units[unit];
}

function seconds(s) {
  return s < 100 ? s.toFixed(1) + " s" : s < 6000 ? Math.floor(s / 60) + " min"
    : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
}

const perSecond = (n) => (n < 10 ? n.toFixed(1) : Math.round(n)) + "/s";
const unlessZero = (show) => (n) => (n > 0 ? show(n) : "-");

/* minor: left out where the screen is narrow. */
const OPEN = [
  {key: "id", name: "Id", minor: true}, {key: "service", name: "Service", text: true, minor: true},
  {key: "peer", name: "Peer", text: true}, {key: "age", name: "Age", show: seconds, minor: true},
  {key: "received_bytes", name: "Received", show: bytes, minor: true},
  {key: "sent_bytes", name: "Sent", show: bytes, minor: true},
  {key: "pending_bytes", name: "Pending", show: unlessZero(bytes)},
  {key: "stuck", name: "Stuck", show: unlessZero(seconds)}, {key: "idle", name: "Idle", show: seconds, minor: true},
];
const CLOSED = [
  {key: "id", name: "Id", minor: true}, {key: "service", name: "Service", text: true, minor: true},
  {key: "peer", name: "Peer", text: true}, {key: "reason", name: "Reason", text: true},
  {key: "ago", name: "Ago", show: seconds}, {key: "age", name: "Lasted", show: seconds, minor: true},
  {key: "received_bytes", name: "Received", show: bytes, minor: true},
  {key: "sent_bytes", name: "Sent", show: bytes, minor: true},
];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) { made.textContent = text; }
  if (className) { made.className = className; }
  return made;
}

/* Changes a text only if it has changed: a selection stays, and nothing is announced twice. */
function setText(target, text) {
  if (target.textContent !== text) { target.textContent = text; }
}

const say = (text) => setText(byId("news"), text);
const clone = (template) => byId(template).content.firstElementChild.cloneNode(true);
const classes = (column) => (column.text ? "text " : "") + (column.minor ? "minor" : "");

function table(id, columns, sort, down, none, rowEnd) {
  const of = {body: byId(id).tBodies[0], columns, sort, down, none, rows: new Map(), data: [], rowEnd};
  const head = byId(id).tHead.rows[0];
  for (const column of columns) {
    const cell = element("th", undefined, classes(column));
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

/* What is not known comes before all else. */
function compare(a, b) {
  if (typeof a === "number" || typeof b === "number") { return (a ?? -1) - (b ?? -1); }
  return String(a ?? "").localeCompare(String(b ?? ""), undefined, {numeric: true});
}

function drawRow(of, item) {
  let row = of.rows.get(item.id);
  if (!row) {
    row = element("tr");
    for (const column of of.columns) { row.append(element("td", "", classes(column))); }
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

/* The row that stands for none. */
function emptyRow(of) {
  const row = element("tr"), cell = element("td", of.none, "empty");
  cell.colSpan = of.columns.length + (of.rowEnd ? 1 : 0);
  row.append(cell);
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
  if (of.empty) { of.empty.remove(); }
  of.empty = rows.length === 0 ? emptyRow(of) : null;
  if (of.empty) { rows.push(of.empty); }
  /* A row is moved only if it is not where it is to be: moving takes the focus away. */
  rows.forEach((row, i) => {
    if (of.body.rows[i] !== row) { of.body.insertBefore(row, of.body.rows[i] || null); }
  });
}

async function kick(id, peer) {
  try {
    const answer = await fetch("/kick?id=" + id, {method: "POST"});
    say(answer.ok ? "Ended " + id + ", " + peer : (await answer.text()).trim());
  } catch (error) {
    say("No answer: " + error.message);
  }
  ask();
}

/* Rows move under the pointer: before one is ended its name is shown and asked about. */
function kickCell(item) {
  const cell = element("td"), button = element("button", "Kick");
  button.type = "button";
  button.setAttribute("aria-label", "Kick connection " + item.id + ", " + item.peer);
  button.addEventListener("click", () => {
    doomed = item;
    setText(byId("sure-text"), "Connection " + item.id + " of " + item.peer + ", service " + item.service +
      ". It is closed at once, with the reason \u201ckicked\u201d.");
    byId("sure").showModal();
  });
  cell.append(button);
  return cell;
}

/* The tile, or line, of this name in a list of pairs; `key` tells those of equal names apart. */
function pair(list, name, key = name) {
  let found = [...list.children].find((one) => one.dataset.name === key);
  if (!found) {
    found = element("div");
    found.dataset.name = key;
    found.append(element("dt", name), element("dd"));
    list.append(found);
  }
  return found;
}

function drawBar(tile, share) {
  tile.className = share >= FULL ? "bad" : share >= NEAR ? "near" : "";
  tile.querySelector(".used").setAttribute("width", String(Math.min(100, 100 * share)));
}

/* A value that has a limit; 0: it has none. */
function limitTile(name, value, limit, show) {
  const tile = pair(byId("limits"), name);
  if (!tile.querySelector("svg")) { tile.append(element("dd", "", "of"), clone("bar")); }
  const share = limit > 0 ? value / limit : 0, note = share >= NEAR ? ": near its limit" : "";
  setText(tile.children[1], show(value));
  setText(tile.children[2], limit > 0 ? "of " + show(limit) + note : "no limit");
  drawBar(tile, share);
}

/* A value with what it was before. */
function sparkTile(name, value, show) {
  const tile = pair(byId("rates"), name);
  if (!tile.querySelector("svg")) {
    tile.append(clone("spark"));
    tile.past = [];
  }
  setText(tile.children[1], show(value));
  tile.past = [...tile.past, value].slice(-POINTS);
  const most = Math.max(...tile.past) || 1, room = Math.max(FIRST_POINTS, tile.past.length);
  const points = tile.past.map((one, i) => (100 * (room - tile.past.length + i) / (room - 1)).toFixed(1) + "," +
    (22 - 20 * one / most).toFixed(1));
  tile.querySelector("polyline").setAttribute("points", points.join(" "));
  tile.querySelector("polygon").setAttribute("points",
    points[0].split(",")[0] + ",24 " + points.join(" ") + " 100,24");
}

/* How much a counter has grown per second since the last answer. */
function rate(status, read) {
  const time = last ? status.uptime - last.uptime : 0;
  return time > 0 ? Math.max(0, read(status) - read(last)) / time : 0;
}

function drawNow(status) {
  const perSecondBytes = (n) => bytes(n) + "/s", process = status.process;
  sparkTile("Accepted", rate(status, (s) => s.counters.accepted), perSecond);
  sparkTile("Closed", rate(status, (s) => s.counters.closed), perSecond);
  sparkTile("Received", rate(status, (s) => s.counters.received_bytes), perSecondBytes);
  sparkTile("Sent", rate(status, (s) => s.counters.sent_bytes), perSecondBytes);
  sparkTile("Pending", status.connections.reduce((sum, one) => sum + one.pending_bytes, 0), bytes);
  sparkTile("CPU", 100 * rate(status, (s) => s.process.cpu), (n) => Math.round(n) + " %");
  limitTile("Open", status.counters.open, status.limits["max-conns"], String);
  limitTile("Memory", process.resident_bytes, status.limits["max-memory"], bytes);
  limitTile("Descriptors", process.open_fds, process.max_fds, String);
}

function drawReasons(counts) {
  const list = byId("reasons"), most = Math.max(1, ...Object.values(counts));
  for (const [name, n] of Object.entries(counts)) {
    if (n > 0) {
      const line = pair(list, name);
      if (!line.querySelector("svg")) {
        line.append(clone("bar"));
        if (MEANING[name]) { line.firstChild.append(" ", element("span", MEANING[name])); }
      }
      setText(line.children[1], String(n));
      drawBar(line, 0);
      line.querySelector(".used").setAttribute("width", String(100 * n / most));
    }
  }
  const lines = [...list.children];
  lines.sort((a, b) => counts[b.dataset.name] - counts[a.dataset.name]);
  lines.forEach((line, i) => {
    if (list.children[i] !== line) { list.insertBefore(line, list.children[i]); }
  });
  setText(byId("none"), "Not yet: " + Object.keys(counts).filter((name) => counts[name] === 0).join(", "));
}

function drawState(status) {
  const silent = status.runtime.tasks === undefined, state = byId("state");
  setText(state, silent ? "no worker answers" : status.state);
  state.className = "badge" + (silent ? " bad" : status.state === "ready" ? "" : " near");
  setText(byId("version"), status.version);
  setText(byId("uptime"), "up " + seconds(status.uptime) + ", " + status.poller +
    (silent ? "" : ", " + status.runtime.workers + (status.runtime.workers === 1 ? " worker, " : " workers, ") +
      status.runtime.tasks + " tasks" +
      (status.runtime.stalls === 0 ? "" : ", " + status.runtime.stalls + " stalls (event=stall in the log)")));
}

/* The value of an option with its unit, which is in its name. */
function option(name, value) {
  if (typeof value !== "number" || value === 0) { return String(value); }
  return /memory|line|outbox/.test(name) ? bytes(value) : /timeout|grace|after|spin/.test(name) ? value + " s"
    : String(value);
}

function show(status) {
  drawState(status);
  drawNow(status);
  drawReasons(status.counters.closed_by_reason);
  setText(byId("listed"), status.counters.open > status.connections.length
    ? "The " + status.connections.length + " with most pending of " + status.counters.open : "");
  status.services.forEach((one, i) => {
    setText(pair(byId("services"), one.service, String(i)).lastChild, one.local);
  });
  for (const [name, value] of Object.entries(status.limits)) {
    if (value !== null) { setText(pair(byId("options"), name).lastChild, option(name, value)); }
  }
  open.data = status.connections;
  closed.data = status.recently_closed.slice(0, CLOSED_SHOWN);
  for (const one of closed.data) { one.ago = (Date.parse(status.now) - Date.parse(one.closed)) / 1000; }
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
    if (byId("news").textContent.startsWith("No answer")) { say(""); }
  } catch (error) {
    say("No answer: " + error.message);
    setText(byId("state"), "no answer");
    byId("state").className = "badge bad";
  }
  clearTimeout(timer);
  if (!paused && !document.hidden) { timer = setTimeout(ask, EVERY); }
}

const open = table("open", OPEN, "pending_bytes", true, "Nobody is connected.", kickCell);
const closed = table("closed", CLOSED, "ago", false, "None has been closed yet.", null);
byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) { ask(); }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused) { ask(); }
});
byId("keep").addEventListener("click", () => byId("sure").close());
byId("end").addEventListener("click", () => {
  byId("sure").close();
  kick(doomed.id, doomed.peer);
});
ask();
