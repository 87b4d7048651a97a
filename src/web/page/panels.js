// What opens below the tools of a VM: paste, power, text, processes.

import { byId, element, say, show, sure } from "./dom.js";

const HURTS = {
  powerdown: [
    "Shut down?",
    "asks the guest to shut down, as its power button does. What runs in it ends.",
    "Shut down",
  ],
  reset: [
    "Reset?",
    "restarts the VM at once, as its reset button does. What is not on its disks is lost.",
    "Reset",
  ],
  quit: [
    "End the VM?",
    "ends the VM's process at once, as pulling the plug does. What is not on its disks is lost.",
    "End",
  ],
};

/** Shows a panel. */
export function showPanel(panel, kind, { connection, name }) {
  show(panel, `${kind}-panel`);
  const fault = panel.querySelector(".fault");
  const attempt = async (work) => {
    fault.textContent = "";
    try {
      return await work();
    } catch (error) {
      fault.textContent = error.message;
      return undefined;
    }
  };
  PANELS[kind]({ panel, connection, name, attempt });
}

const PANELS = {
  paste({ connection, name, attempt }) {
    const layout = byId("layout");
    layout.append(...connection.layouts.map((one) => new Option(one)));
    layout.value = localStorage.getItem("layout") ?? "us";
    if (layout.value === "") layout.value = "us";
    const text = byId("paste-text");
    text.focus();
    byId("paste-form").onsubmit = async (event) => {
      event.preventDefault();
      localStorage.setItem("layout", layout.value);
      const typed = text.value;
      const done = await attempt(() =>
        connection.ask("paste", { vm: name, text: typed, layout: layout.value })
      );
      if (done === undefined) return;
      say("The text was typed.");
      if (text.value === typed) text.value = "";
    };
  },

  power({ panel, connection, name, attempt }) {
    for (const button of panel.querySelectorAll("[data-power]")) {
      button.onclick = async () => {
        const what = button.dataset.power;
        if (Object.hasOwn(HURTS, what)) {
          const [title, text, yes] = HURTS[what];
          if (!await sure({ title: `${title} (${name})`, text: `This ${text}`, yes })) return;
        }
        const done = await attempt(() => connection.ask("power", { vm: name, what }));
        if (done !== undefined) say(`${name}: ${what} was done.`);
      };
    }
  },

  text({ connection, name, attempt }) {
    const read = async () => {
      const answer = await attempt(() => connection.ask("text", { vm: name }));
      if (answer === undefined) return;
      byId("text").textContent = answer.lines.join("\n").trimEnd() || "(no text)";
      const unsure = answer.unknown > 0 ? `; ${answer.unknown} cells are not known characters` : "";
      byId("text-source").textContent = `from: ${answer.source}${unsure}`;
      say("The text was read.");
    };
    byId("text-again").onclick = read;
    byId("text-copy").onclick = () =>
      attempt(async () => {
        await navigator.clipboard.writeText(byId("text").textContent);
        say("The text was copied.");
        return true;
      });
    void read();
  },

  processes({ connection, name, attempt }) {
    let all = [];
    let more = 0;
    const fill = () => {
      const word = byId("ps-filter").value.toLowerCase();
      const found = all.filter((each) => `${each.pid} ${each.name}`.toLowerCase().includes(word));
      byId("ps-rows").replaceChildren(...found.map((each) => {
        const row = element("tr");
        const shown = each.kernelThread ? `[${each.name}]` : each.name;
        row.append(element("td", "", each.pid), element("td", "", each.ppid), element("td", "", shown));
        return row;
      }));
      byId("ps-count").textContent = `${found.length} of ${all.length + more}`;
    };
    const read = async () => {
      const answer = await attempt(() => connection.ask("processes", { vm: name }));
      if (answer === undefined) return;
      all = answer.processes;
      more = answer.more;
      fill();
    };
    byId("ps-filter").oninput = fill;
    byId("ps-again").onclick = read;
    void read();
  },
};
