// Small helpers. Text from outside only ever goes in as text.

/** The element of an id. */
export const byId = (id) => document.getElementById(id);

/** Shows a page or panel out of its template. */
export function show(place, template) {
  place.replaceChildren(byId(template).content.cloneNode(true));
}

/** An element with a class and a text. */
export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Says something to those who hear the page. */
export function say(text) {
  byId("news").textContent = text;
}

/** Shows what is the matter across the page; "" for nothing. */
export function banner(text) {
  const place = byId("banner");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

/** Has the person look a second time. */
export function sure({ title, text, yes }) {
  const dialog = byId("sure");
  byId("sure-title").textContent = title;
  byId("sure-text").textContent = text;
  byId("sure-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

const TONES = { running: "good", up: "good", paused: "warn", attaching: "warn", crashed: "bad", down: "bad" };

/** Shows a VM's state. */
export function showState(place, { state, run }) {
  const word = state === "up" ? run || "up" : state;
  place.textContent = word;
  place.className = `state ${TONES[word] ?? ""}`;
}

/** Who has which lease and who waits for it, a line each. */
export function leaseLines(leases) {
  const lines = [];
  const quoted = (why) => why === "" ? "" : ` “${why}”`;
  for (const [name, { who, why, waiting }] of Object.entries(leases)) {
    if (who !== "") lines.push({ text: `${who} has ${name}${quoted(why)}`, name, isWaiting: false });
    for (const each of waiting) {
      lines.push({ text: `${each.who} waits for ${name}${quoted(each.why)}`, name, isWaiting: true });
    }
  }
  return lines;
}

/** A line of the timeline. */
export function lineItem({ ms, kind, vm, what, tone }) {
  const item = element("li", tone);
  const time = element("time", "", new Date(ms).toLocaleTimeString());
  time.dateTime = new Date(ms).toISOString();
  item.append(
    time,
    element("span", "vm", vm || "–"),
    element("span", "kind", kind),
    element("span", "what", what),
  );
  return item;
}
