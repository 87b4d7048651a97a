// The timeline: what happened, live, searchable.

import { byId, element, lineItem, say, show } from "./dom.js";

const MOST_SHOWN = 500;
const METRICS_MS = 5000;

/** Shows how the bus does. */
function showMetrics({ roundTripMs, perSecond, lost, vms }) {
  const place = document.getElementById("metrics");
  if (place === null) return;
  const rates = Object.entries(perSecond).filter(([, rate]) => rate > 0);
  const facts = [
    ["VMs", vms],
    ["round trip to the daemon", `${roundTripMs.toFixed(1)} ms`],
    ["events per second", rates.map(([source, rate]) => `${source} ${rate.toFixed(1)}`).join(", ") || "none"],
    ["events lost", lost],
  ];
  place.replaceChildren(
    ...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]),
  );
}

/** Whether a line has all the words. */
export function matches(line, words) {
  const text = `${line.vm} ${line.kind} ${line.what}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Puts lines at a list's top, and keeps it short. */
export function addLines(list, lines) {
  list.prepend(...lines.toReversed().map(lineItem));
  while (list.children.length > MOST_SHOWN) list.lastElementChild.remove();
}

/** Shows the timeline; gives what takes it away. */
export function showEvents(main, connection) {
  show(main, "events-page");
  const list = byId("lines");
  const wanted = (line) => {
    if (byId("audit-only").checked && line.kind !== "AUDIT" && line.kind !== "WEB") return false;
    return matches(line, byId("find").value.toLowerCase().split(/\s+/).filter(Boolean));
  };
  const all = () => {
    const found = connection.lines.filter(wanted);
    list.replaceChildren();
    addLines(list, found.slice(-MOST_SHOWN));
    byId("found").textContent = `${found.length} of ${connection.lines.length}`;
  };
  const onLines = ({ detail }) => {
    if (byId("hold").checked) return;
    addLines(list, detail.filter(wanted));
    byId("found").textContent = `${list.children.length} of ${connection.lines.length}`;
  };
  // Who hears the page is told what was found when it was asked for, and not with every event.
  const find = () => {
    all();
    say(`${byId("found").textContent} events`);
  };
  byId("find").oninput = find;
  byId("audit-only").onchange = find;
  byId("hold").onchange = all;
  const metrics = async () => {
    try {
      showMetrics(await connection.ask("metrics"));
    } catch {
      // The connection is away: the banner says so.
    }
  };
  const timer = setInterval(metrics, METRICS_MS);
  connection.addEventListener("lines", onLines);
  connection.addEventListener("hello", all);
  connection.addEventListener("hello", metrics);
  all();
  void metrics();
  return () => {
    clearInterval(timer);
    connection.removeEventListener("hello", metrics);
    connection.removeEventListener("lines", onLines);
    connection.removeEventListener("hello", all);
  };
}
