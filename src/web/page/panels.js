// What opens below the tools of a VM: paste, power, text, processes.

import { byId, element, say, show, sure } from "./dom.js";

/** Loaded when it is needed, and only then. */
const CONSOLE_FILE = ["", "console.js"].join("/");

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

/** Shows a panel; gives what ends it, where there is something to end. */
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
  return PANELS[kind]({ panel, connection, name, attempt });
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

  console({ connection, name, attempt }) {
    const port = byId("console-port");
    const take = byId("console-take");
    const state = byId("console-state");
    let shown;
    let isOver = false;
    const onState = (mine, words, isRefused = false) => {
      state.textContent = words;
      state.className = `hint ${isRefused ? "refused" : ""}`;
      take.textContent = mine ? "Give back" : "Type here";
      take.disabled = !connection.may.includes("console_write");
    };
    let count = 0;
    const open = async () => {
      const mine = ++count;
      shown?.close();
      shown = undefined;
      byId("terminal").replaceChildren();
      const { openConsole } = await import(CONSOLE_FILE);
      // Another one was chosen meanwhile, or the panel was closed.
      if (isOver || mine !== count) return true;
      const address = `${location.origin.replace(/^http/, "ws")}/console?vm=${encodeURIComponent(name)}` +
        `&tab=${connection.tab}&port=${port.value}`;
      shown = openConsole(byId("terminal"), address, onState);
      return true;
    };
    take.onclick = () => shown?.toggle();
    port.onchange = () => attempt(open);
    byId("console-copy").onclick = () =>
      attempt(async () => {
        await navigator.clipboard.writeText(shown?.text() ?? "");
        say("The console's text was copied.");
        return true;
      });
    void attempt(async () => {
      const { consoles } = await connection.ask("consoles", { vm: name });
      if (isOver) return;
      port.append(...consoles.map((each) => new Option(`${each.label} (${each.role})`, each.number)));
      if (consoles.length === 0) throw new Error(`${name} has no console.`);
      const first = consoles.find(({ place }) => place !== "other") ?? consoles[0];
      port.value = String(first.number);
      return await open();
    });
    return () => {
      isOver = true;
      shown?.close();
    };
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
