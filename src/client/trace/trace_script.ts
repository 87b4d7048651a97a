/**
 * What the page of a trace does, in the browser: it paints pictures out of what changed, and shows lists
 * beside them. Text goes into the page by textContent alone.
 * @module
 */

/** Its script; plain JavaScript of browsers from 2023 on. */
export const TRACE_SCRIPT: string = String.raw`"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const MOST_SHOWN = 1000;
let time = 0, screen = 0, tab = "events", action = -1, painting = 0;

function clock(ms) {
  const s = ms / 1000, m = Math.floor(s / 60);
  return (m > 0 ? m + ":" : "") + (m > 0 ? (s % 60).toFixed(2).padStart(5, "0") : s.toFixed(2)) + (m > 0 ? "" : " s");
}

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8ClampedArray(await new Response(stream).arrayBuffer());
}

const byScreen = data.screens.map((_, s) => data.frames.filter((frame) => frame.s === s));

/** Index of the last picture at or before a time; of the first one when all are later. */
function frameAt(frames, t) {
  let low = 0, high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle].t <= t) low = middle + 1; else high = middle;
  }
  return Math.max(0, low - 1);
}

/** Paints the picture of a time, from the last whole one on. */
async function paint(canvas, t, mine) {
  const frames = byScreen[screen] || [];
  if (frames.length === 0) { canvas.width = 320; canvas.height = 200; return undefined; }
  const last = frameAt(frames, t);
  let first = last;
  while (first > 0 && !frames[first].k) first--;
  const { w, h } = frames[first];
  const whole = new ImageData(w, h);
  for (let i = first; i <= last; i++) {
    const { r, d } = frames[i];
    const rgba = await inflated(bytesOf(d));
    if (mine !== painting) return undefined;
    let done = 0;
    for (let k = 0; k < r.length; k += 4) {
      for (let row = 0; row < r[k + 3]; row++) {
        const length = r[k + 2] * 4;
        whole.data.set(rgba.subarray(done, done + length), ((r[k + 1] + row) * w + r[k]) * 4);
        done += length;
      }
    }
  }
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").putImageData(whole, 0, 0);
  return frames[last];
}

/**
 * When the next action begins: what the screen shows until then is this action's effect, because a screen
 * answers late.
 */
function afterOf(index) {
  const { t, end, vm } = data.actions[index];
  const next = data.actions.slice(index + 1).find((other) => other.vm === vm && other.t >= (end ?? t));
  return next === undefined ? data.durationMs : Math.min(data.durationMs, Math.max((end ?? t) + 200, next.t - 1));
}

async function show() {
  const mine = ++painting;
  $("time").value = time;
  $("now").textContent = clock(time);
  const chosen = data.actions[action];
  const [from, to] = chosen === undefined ? [undefined, time] : [chosen.t, afterOf(action)];
  $("before").parentElement.hidden = chosen === undefined;
  lists();
  if (from !== undefined) {
    const frame = await paint($("before"), from, mine);
    if (mine !== painting) return;
    $("beforeText").textContent = "Before: " + chosen.what + (frame ? ", picture of " + clock(frame.t) : "");
  }
  const frame = await paint($("after"), to, mine);
  if (mine !== painting) return;
  $("afterText").textContent = (chosen === undefined ? "The screen at " + clock(time) : "After it, until " + clock(to)) +
    (frame ? ", picture of " + clock(frame.t) : ", there is no picture");
  document.body.dataset.painted = String(mine);
}

function matches(...words) {
  const wanted = $("search").value.toLowerCase();
  return wanted === "" || words.join(" ").toLowerCase().includes(wanted);
}

function row(t, isCurrent) {
  const line = make("li", t > time ? "later" : "");
  if (isCurrent) line.setAttribute("aria-current", "true");
  line.append(make("time", "", clock(t)));
  return line;
}

function lists() {
  const found = data.actions.flatMap((each, i) => matches(each.what, each.why, each.said, each.vm) ? [[each, i]] : []);
  $("count").textContent = "(" + found.length + ")";
  $("actions").replaceChildren(...near(found, ([each]) => each.t).map(([each, i]) => {
    const line = row(each.t, i === action);
    line.tabIndex = 0;
    if (each.why !== "") line.classList.add("bad");
    line.append(make("span", "", each.what));
    if (data.screens.length > 1) line.append(" ", make("small", "", each.vm));
    line.append(" ", make("small", "", each.end === undefined ? "not ended" : clock(each.end - each.t)));
    if (each.why !== "") line.append(make("span", "why", each.why));
    else if (each.said !== "") line.append(make("span", "said", each.said));
    const choose = () => { action = i; time = Math.round(each.t); const s = data.screens.indexOf(each.vm); if (s >= 0) setScreen(s); show(); };
    line.addEventListener("click", choose);
    line.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
    return line;
  }));
  let lines;
  if (tab === "processes") lines = processRows();
  else {
    const all = data[tab].filter((each) => matches(each.kind, each.what, each.vm));
    const last = all.findLastIndex((each) => each.t <= time);
    lines = near(all.map((each, i) => [each, i]), ([each]) => each.t).map(([each, i]) => {
      const line = row(each.t, i === last);
      line.append(make("b", "", each.kind), make("small", "", each.vm), make(tab === "console" ? "pre" : "span", "", each.what));
      return line;
    });
  }
  $("lines").replaceChildren(...lines);
  for (const list of [$("actions"), $("lines")]) reveal(list.querySelector("[aria-current]"));
  for (const button of $("strip").children) {
    const [from, to] = [Number(button.dataset.from), Number(button.dataset.to)];
    if (time >= from && time < to) { button.setAttribute("aria-current", "true"); }
    else button.removeAttribute("aria-current");
  }
  reveal($("strip").querySelector("[aria-current]"));
}

/** Scrolls the list that a line is in, and not the page, which would take its head out of sight. */
function reveal(line) {
  const list = line?.closest("#lines, section, #strip");
  if (!list) return;
  const [at, box] = [line.getBoundingClientRect(), list.getBoundingClientRect()];
  list.scrollTop += Math.min(0, at.top - box.top) + Math.max(0, at.bottom - box.bottom);
  list.scrollLeft += Math.min(0, at.left - box.left) + Math.max(0, at.right - box.right);
}

/** Of a long list what is around this time. */
function near(all, timeOf) {
  if (all.length <= MOST_SHOWN) return all;
  const at = Math.max(0, all.findLastIndex((each) => timeOf(each) <= time));
  const from = Math.min(Math.max(0, at - MOST_SHOWN / 2), all.length - MOST_SHOWN);
  return all.slice(from, from + MOST_SHOWN);
}

function processRows() {
  const rows = [];
  for (const vm of new Set(data.processes.map((each) => each.vm))) {
    const lists = data.processes.filter((each) => each.vm === vm);
    const at = Math.max(0, lists.findLastIndex((each) => each.t <= time));
    const now = lists[at], before = lists[at - 1];
    const known = new Set(before ? before.list.map(([pid, , name]) => pid + " " + name) : []);
    rows.push(row(now.t, false));
    rows.at(-1).append(make("b", "", vm), make("small", "", now.list.length + " processes, as of then"));
    for (const [pid, ppid, name] of now.list) {
      if (!matches(String(pid), name)) continue;
      const line = make("li", "");
      const isNew = before !== undefined && !known.has(pid + " " + name);
      line.append(make("b", "", String(pid)), make("small", "", "of " + ppid), make("span", "", name + (isNew ? "  (new)" : "")));
      rows.push(line);
    }
  }
  if (rows.length === 0) rows.push(make("li", "", "No processes were kept."));
  return rows;
}

function setScreen(s) {
  screen = s;
  $("screen").value = String(s);
}

document.querySelector("h1").textContent = data.name;
$("about").append(data.host + ", " + data.startedAt + ", " + clock(data.durationMs) + ", " + data.frames.length + " pictures");
if (data.defect !== "") $("about").append(make("span", "bad", "; it ends early: " + data.defect));
if (data.leftOut > 0) $("about").append("; " + data.leftOut + " lines are left out");
$("time").max = data.durationMs;
data.screens.forEach((name, s) => { const option = make("option", "", name); option.value = String(s); $("screen").append(option); });
$("screen").hidden = data.screens.length < 2;
data.strip.forEach((each, i) => {
  const button = make("button", "");
  const image = make("img", "");
  image.src = "data:image/png;base64," + each.png;
  image.alt = data.screens[each.s] + " at " + clock(each.t);
  button.dataset.from = String(i === 0 ? 0 : each.t);
  button.dataset.to = String(data.strip[i + 1] ? data.strip[i + 1].t : Infinity);
  button.append(image, make("span", "", clock(each.t)));
  button.addEventListener("click", () => { action = -1; time = each.t; setScreen(each.s); show(); });
  $("strip").append(button);
});
$("time").addEventListener("input", () => { action = -1; time = Number($("time").value); show(); });
$("screen").addEventListener("change", () => { screen = Number($("screen").value); show(); });
$("search").addEventListener("input", lists);
for (const button of document.querySelectorAll("[role=tab]")) {
  button.addEventListener("click", () => {
    tab = button.dataset.tab;
    for (const other of document.querySelectorAll("[role=tab]")) other.setAttribute("aria-selected", String(other === button));
    lists();
  });
}
const failed = data.actions.findIndex((each) => each.why !== "");
action = failed >= 0 ? failed : data.actions.length > 0 ? 0 : -1;
time = action >= 0 ? Math.round(data.actions[action].t) : 0;
show();
`;
