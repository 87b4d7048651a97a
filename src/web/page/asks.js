// What models ask: shown above every page, and answered here.

import { byId, element, say } from "./dom.js";

const LOOK_MS = 2000;

/** Looks for questions while the page is connected. */
export function showAsks(connection) {
  const place = byId("asks");
  let shown = "";
  const look = async () => {
    if (document.hidden) return;
    try {
      const { asks } = await connection.ask("asks");
      const now = JSON.stringify(asks);
      if (now === shown) return;
      shown = now;
      place.replaceChildren(...asks.map((each) => questionOf(connection, each, look)));
      place.hidden = asks.length === 0;
      if (asks.length > 0) say(`A model asks about ${asks[0].vm}: ${asks[0].question}`);
    } catch {
      // The connection went; the banner says so.
    }
  };
  const timer = setInterval(look, LOOK_MS);
  void look();
  return () => {
    clearInterval(timer);
    place.replaceChildren();
    place.hidden = true;
  };
}

function questionOf(connection, { id, vm, question, choices }, look) {
  const form = element("form", "ask");
  form.append(element("b", "", `A model asks about ${vm}: `), element("span", "", question));
  const fault = element("span", "fault");
  const answer = async (text) => {
    try {
      await connection.ask("answer", { ask: id, text });
      say("Answered.");
    } catch (error) {
      fault.textContent = error.message;
    }
    void look();
  };
  if (choices.length > 0) {
    for (const { value, shown } of choices) {
      const button = element("button", "", shown);
      button.type = "button";
      button.onclick = () => answer(value);
      form.append(button);
    }
  } else {
    const input = element("input");
    input.maxLength = 4000;
    input.required = true;
    input.setAttribute("aria-label", `Answer about ${vm}`);
    const button = element("button", "main", "Answer");
    form.append(input, button);
    form.onsubmit = (event) => {
      event.preventDefault();
      void answer(input.value);
    };
  }
  const link = element("a", "", "look at it");
  link.href = `#/vm/${encodeURIComponent(vm)}`;
  form.append(link, fault);
  return form;
}
