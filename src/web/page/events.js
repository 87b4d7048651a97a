// The timeline: what happened, live, searchable.

import { byId, lineItem, show } from "./dom.js";

const MOST_SHOWN = 500;

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
  byId("find").oninput = all;
  byId("audit-only").onchange = all;
  byId("hold").onchange = all;
  connection.addEventListener("lines", onLines);
  connection.addEventListener("hello", all);
  all();
  return () => {
    connection.removeEventListener("lines", onLines);
    connection.removeEventListener("hello", all);
  };
}
