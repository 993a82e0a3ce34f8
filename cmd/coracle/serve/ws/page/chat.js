/* SPDX-License-Identifier: MIT */
/*
 * The chat. It says what every member of the room says, {"message":"..."}, with the name in front, and hears the room's
 * lines, one to a message. A name is what somebody calls himself; who it is says the address, which the server knows.
 * All that comes from others becomes text, never markup.
 *
 * Answers to what was said come in order: an acknowledgement, or why it was no message. What had no answer when the
 * connection was lost may have been heard or not, and is not said again by itself.
 *
 * The path is the room's. The first that the page sends is a question, who is there; what comes before the answer was
 * said earlier, and is kept until then. After a connection was lost it may repeat what was heard: that is left out.
 */
"use strict";

const ACKNOWLEDGED = ": 已经收到信息", SAYS = " 地址发送了请求消息：", INVALID = "invalid message: ";
const PRESENCE = '{"presence":';
const ENTRIES = 500, PEOPLE = 100; /* shown at most */
const FIRST_WAIT = 500, LONGEST_WAIT = 30000; /* ms until the next attempt, twice as long each time */
const byId = (id) => document.getElementById(id);
let socket = null, failures = 0, timer = 0;
const unanswered = [], people = new Map();
const path = /^(.*\/)room\/([^/]+)$/.exec(location.pathname) || [null, location.pathname, ""];
const heard = []; /* lines, own ones as others hear them: as many as are shown at most */
let earlier = null; /* lines before the answer; null: it has come */
let ownAddress = ""; /* the own address; "": not told */

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) { made.className = className; }
  if (text !== undefined) { made.textContent = text; }
  return made;
}

/* Adds to the log, and stays at its end if it was there. */
function show(entry) {
  const log = byId("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(entry);
  while (log.children.length > ENTRIES) { log.firstElementChild.remove(); }
  if (atEnd) { log.scrollTop = log.scrollHeight; }
}

function note(text, className) { show(element("p", "entry " + (className || "note"), text)); }

/* A name and a message may be of a right-to-left script: each by itself. When an earlier one was said is not known. */
function message(who, from, words, own, before) {
  const entry = element("p", own ? "entry own" : "entry"), body = element("bdi", "words", words), now = new Date();
  const time = before ? element("span", "from", "earlier")
    : element("time", "", now.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"}));
  if (!before) { time.dateTime = now.toISOString(); }
  entry.append(element("bdi", "who", who), " ", element("span", "from", from), " ", time, body);
  if (own) { entry.append(element("span", "fate", "sending")); }
  show(entry);
  return entry;
}

function settle(entry, fate, lost) {
  entry.lastElementChild.textContent = fate;
  entry.classList.toggle("lost", lost);
}

/* "alice: hello" is what this page sends; what others send may have no name. */
function nameAndWords(text) {
  const at = text.indexOf(": ");
  return at > 0 && at <= 32 ? [text.slice(0, at), text.slice(at + 2)] : ["", text];
}

function heardFrom(name, address) {
  people.delete(address);
  people.set(address, name);
  if (people.size > PEOPLE) { people.delete(people.keys().next().value); }
  showPeople();
}

function showPeople() {
  byId("count").textContent = people.size === 1 ? "1 other" : people.size + " others";
  byId("people").replaceChildren(...[...people].reverse().map(([from, who]) => {
    const item = element("li");
    item.append(element("bdi", "", who || "somebody"), " ", element("span", "from", from));
    return item;
  }));
}

function keep(line) {
  heard.push(line);
  if (heard.length > ENTRIES) { heard.shift(); }
}

/* How many of these lines are the last ones heard. */
function repeated(lines) {
  let count = Math.min(heard.length, lines.length);
  while (count > 0 && !heard.slice(-count).every((line, i) => line === lines[i])) { count--; }
  return count;
}

/* The answer has come. */
function enter() {
  const lines = earlier || [];
  earlier = null;
  lines.slice(repeated(lines)).forEach((line) => hear(line, true));
}

function hearPresence(told) {
  if (earlier) { enter(); }
  byId("members").hidden = !told;
  if (!told) { return; }
  ownAddress = told.you || ownAddress;
  byId("members").textContent = told.members === 1 ? "nobody else here" : told.members + " here";
  byId("listeners").textContent = "Who comes and goes is told among the messages.";
  (told.joined || []).filter((from) => from !== ownAddress).forEach((from) => note(from + " has come"));
  (told.left || []).forEach((from) => {
    note(((people.get(from) || "") + " " + from).trim() + " has left");
    people.delete(from);
  });
  if (told.more) { note(told.more + " more have come or left"); }
  if (people.size > 0 || (told.left || []).length > 0) { showPeople(); }
}

function hear(line, before) {
  const says = line.indexOf(SAYS);
  if (line.startsWith(PRESENCE)) {
    hearPresence(JSON.parse(line).presence);
  } else if (earlier) {
    earlier.push(line);
  } else if (says > 0) {
    const address = line.slice(0, says), [name, words] = nameAndWords(line.slice(says + SAYS.length));
    message(name || "somebody", address, words, false, before);
    heardFrom(name, address);
    keep(line);
  } else if (line.endsWith(ACKNOWLEDGED) && unanswered.length > 0) {
    const [entry, text] = unanswered.shift();
    settle(entry, "told to the room", false);
    keep(line.slice(0, -ACKNOWLEDGED.length) + SAYS + text);
  } else if (line.startsWith(INVALID) && unanswered.length > 0) {
    settle(unanswered.shift()[0], "not told: " + line.slice(INVALID.length), true);
  } else {
    note(line);
  }
}

function state(text, on) {
  byId("state").textContent = text;
  byId("state").classList.toggle("off", !on);
}

/* The wait before another attempt: its length at random between a half and all, so that not all come at once. */
function tryLater(why) {
  const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures++);
  clearTimeout(timer);
  timer = setTimeout(connect, longest * (0.5 + Math.random() / 2));
  state(why + "; trying again", false);
}

function lose(event) {
  socket = null;
  if (earlier) { enter(); }
  unanswered.splice(0).forEach(([entry]) => settle(entry, "not confirmed: it may not have been told", true));
  tryLater(event.code === 1001 ? "the server is ending" : event.reason ? "closed: " + event.reason : "not connected");
}

function connect() {
  if (socket) { return; }
  clearTimeout(timer);
  const made = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + location.pathname);
  socket = made;
  made.onopen = () => {
    failures = 0;
    earlier = [];
    made.send('{"presence":true}');
    state("connected", true);
  };
  made.onmessage = (event) => hear(String(event.data));
  made.onclose = (event) => { if (socket === made) { lose(event); } };
}

function say(event) {
  event.preventDefault();
  const name = byId("name").value.trim(), text = byId("text").value;
  if (text.trim() === "") { return; }
  if (!socket || socket.readyState !== WebSocket.OPEN) {
    note("Not connected: the message has not been sent.", "bad");
    return;
  }
  const said = name ? name + ": " + text : text;
  socket.send(JSON.stringify({message: said}));
  unanswered.push([message(name || "you", "", text, true), said]);
  byId("text").value = "";
}

/* A name is what the server takes for one (room/name.h); what it takes for none it says itself. */
function goToRoom(event) {
  event.preventDefault();
  const name = byId("room").value.trim(), good = name === "" || /^(?!\.)([-\w.]|[^\x00-\x7f])+$/.test(name);
  byId("room-note").textContent = good ? "" : "A name has letters, digits, - _ and ., and no . in front.";
  if (good) { location.assign(path[1] + (name ? "room/" + encodeURIComponent(name) : "")); }
}

/* The path may be written in a way that is no UTF-8. */
function showRoom() {
  let name = path[2];
  try { name = decodeURIComponent(name); } catch { /* then as it is */ }
  if (name) {
    document.title = name + " \u2013 " + document.title;
    byId("title").replaceChildren("room ", element("bdi", "", name));
  }
}

/* Storage may be forbidden. */
function remember(name) {
  try {
    if (name === undefined) { return localStorage.getItem("name") || ""; }
    localStorage.setItem("name", name);
  } catch { /* then it is asked for again */ }
  return "";
}

byId("name").value = remember();
byId("name").addEventListener("change", () => remember(byId("name").value.trim()));
byId("form").addEventListener("submit", say);
byId("rooms").addEventListener("submit", goToRoom);
showRoom();
addEventListener("online", connect);
connect();
byId("text").focus();
