// One VM: its screen, keyboard and mouse, and what else can be done to it.

import RFB from "@novnc/novnc";
import { byId, element, leaseLines, say, show, showState } from "./dom.js";
import { addLines } from "./events.js";
import { offerFilm } from "./film.js";
import { showPanel } from "./panels.js";

const AGAIN_MS = 1000;
const MINE =
  "You have keyboard and mouse. They are given back when you leave, or do nothing for five minutes.";
const FKEYS = Array.from({ length: 12 }, (_, i) => `f${i + 1}`);

/** Shows a VM; gives what takes it away. */
export function showVm(main, connection, name) {
  show(main, "vm-page");
  byId("vm-name").textContent = name;
  byId("fkeys").append(...FKEYS.map((key) => new Option(key.toUpperCase(), key)));
  byId("vtkeys").append(
    ...FKEYS.slice(0, 7).map((key) => new Option(`Ctrl+Alt+${key.toUpperCase()}`, `ctrl-alt-${key}`)),
  );
  byId("shot").href = `/shot?vm=${encodeURIComponent(name)}`;
  const screen = byId("screen");
  screen.setAttribute("aria-label", `Screen of ${name}`);
  const seat = byId("seat");
  const take = byId("take");
  const why = byId("why");
  let rfb;
  let timer;
  let isMine = false;
  let isShown = false;
  let isOver = false;
  let wasDown = false;

  const setSeat = (mine, words, isRefused = false) => {
    // What comes behind the page's end finds another page.
    if (isOver) return;
    isMine = mine;
    seat.textContent = words;
    seat.className = `seat ${isRefused ? "refused" : mine ? "mine" : ""}`;
    screen.classList.toggle("mine", mine);
    take.textContent = mine ? "Give back" : "Take over";
    take.disabled = !isShown || !connection.may.includes("input");
    why.hidden = mine || take.disabled;
    byId("chord").disabled = !mine;
    if (rfb !== undefined) {
      rfb.viewOnly = !mine;
      if (mine) rfb.focus();
    }
  };
  const lookingWords = () =>
    connection.may.includes("input")
      ? "You are looking: keys and clicks go nowhere until you take over."
      : "You are looking: your grant has no keyboard and mouse.";

  const look = () => {
    clearTimeout(timer);
    if (isOver || rfb !== undefined || connection.tab === "" || connection.vm(name) === undefined) return;
    const address = `${location.origin.replace(/^http/, "ws")}/screen?vm=${encodeURIComponent(name)}` +
      `&tab=${connection.tab}`;
    rfb = new RFB(screen, address, { shared: true });
    rfb.viewOnly = true;
    rfb.scaleViewport = true;
    rfb.background = "#000";
    // Where it is not known what the guest's cursor looks like, a dot says where the mouse is.
    rfb.showDotCursor = true;
    rfb.qualityLevel = 6;
    rfb.addEventListener("connect", () => {
      isShown = true;
      setSeat(false, lookingWords());
    });
    rfb.addEventListener("disconnect", () => {
      rfb = undefined;
      isShown = false;
      if (connection.tab !== "") {
        setSeat(false, "The screen is not connected; trying again. Nothing is held down.");
      }
      if (!isOver) timer = setTimeout(look, AGAIN_MS);
    });
  };

  const update = () => {
    const vm = connection.vm(name);
    if (vm === undefined) {
      byId("vm-state").textContent = "gone";
      byId("vm-state").className = "state bad";
      byId("vm-owner").textContent = "";
      if (connection.trouble === "") {
        setSeat(false, `${name} is gone; its screen comes back when it does.`, true);
      }
      return;
    }
    showState(byId("vm-state"), vm);
    // Its QEMU has ended, or cannot be reached: keys go nowhere, whoever has the keyboard.
    const isDown = vm.state === "down" || vm.state === "gone";
    if (isDown) setSeat(isMine, `${name} is ${vm.state}: its QEMU has ended or cannot be reached.`, true);
    else if (wasDown) setSeat(isMine, isMine ? MINE : lookingWords());
    wasDown = isDown;
    const lines = leaseLines(vm.leases).filter(({ name, isWaiting }) =>
      isWaiting || !(isMine && name === "input")
    );
    byId("vm-owner").textContent = lines.filter(({ isWaiting }) => !isWaiting).map(({ text }) => text).join(
      "; ",
    );
    byId("vm-waiting").replaceChildren(
      ...lines.filter(({ isWaiting }) => isWaiting).map(({ text }) => element("li", "", text)),
    );
    byId("console-button").hidden = !vm.seams.includes("console") || !connection.may.includes("console");
    look();
  };

  take.onclick = async () => {
    try {
      if (isMine) await connection.ask("give", { vm: name });
      else await connection.ask("take", { vm: name, why: why.value.trim() });
    } catch (error) {
      setSeat(false, error.message, true);
    }
  };
  const onSeat = ({ detail }) => {
    if (detail.vm !== name) return;
    if (detail.isMine) {
      return setSeat(true, MINE);
    }
    const isGiven = detail.why.startsWith("given back");
    setSeat(
      false,
      isGiven ? `Given back. ${lookingWords()}` : `You do not have keyboard and mouse: ${detail.why}.`,
      !isGiven,
    );
  };
  // What was this tab's went with the connection; the next one is another tab to the server.
  const onLost = () => {
    setSeat(false, "The connection to vmsig web was lost: keyboard and mouse were given back.", isMine);
    rfb?.disconnect();
  };
  const onTrouble = ({ detail }) => {
    if (detail.vm !== name) return;
    byId("no-picture").textContent = detail.why;
    byId("no-picture").hidden = detail.why === "";
  };
  const onLines = ({ detail }) => addLines(byId("vm-lines"), detail.filter((line) => line.vm === name));
  const allLines = () => {
    byId("vm-lines").replaceChildren();
    addLines(byId("vm-lines"), connection.lines.filter((line) => line.vm === name).slice(-100));
  };

  byId("chord").onchange = async ({ target }) => {
    const chord = target.value;
    target.value = "";
    try {
      await connection.ask("key", { vm: name, chord });
    } catch (error) {
      say(error.message);
      seat.textContent = error.message;
    }
    rfb?.focus();
  };
  const endFilm = offerFilm(name, () => screen.querySelector("canvas"));
  const panel = byId("panel");
  let closePanel;
  for (const button of main.querySelectorAll("[data-panel]")) {
    button.setAttribute("aria-expanded", "false");
    button.onclick = () => {
      const isOpen = button.getAttribute("aria-expanded") === "true";
      for (const each of main.querySelectorAll("[data-panel]")) each.setAttribute("aria-expanded", "false");
      panel.hidden = isOpen;
      closePanel?.();
      closePanel = undefined;
      panel.replaceChildren();
      if (isOpen) return;
      button.setAttribute("aria-expanded", "true");
      closePanel = showPanel(panel, button.dataset.panel, { connection, name });
    };
  }
  byId("full").onclick = () => {
    void screen.requestFullscreen?.().catch((error) => say(error.message));
    rfb?.focus();
  };
  // The way out of the screen for those who have no mouse: everything else belongs to the guest.
  const onKey = (event) => {
    if (!isMine || !event.ctrlKey || !event.altKey || !event.shiftKey) return;
    event.stopPropagation();
    event.preventDefault();
    rfb?.blur();
    take.focus();
    say("The keyboard is at the page again.");
  };
  // The screen would not hear of keys that come up elsewhere: it lets go of them, as when the window is left.
  screen.addEventListener("focusout", () => globalThis.dispatchEvent(new Event("blur")));
  document.addEventListener("keydown", onKey, true);
  connection.addEventListener("vms", update);
  connection.addEventListener("hello", update);
  connection.addEventListener("hello", allLines);
  connection.addEventListener("lost", onLost);
  connection.addEventListener("seat", onSeat);
  connection.addEventListener("trouble", onTrouble);
  connection.addEventListener("lines", onLines);
  setSeat(false, "The screen is being opened…");
  allLines();
  update();
  return () => {
    isOver = true;
    clearTimeout(timer);
    closePanel?.();
    endFilm();
    rfb?.disconnect();
    document.removeEventListener("keydown", onKey, true);
    connection.removeEventListener("vms", update);
    connection.removeEventListener("hello", update);
    connection.removeEventListener("hello", allLines);
    connection.removeEventListener("lost", onLost);
    connection.removeEventListener("seat", onSeat);
    connection.removeEventListener("trouble", onTrouble);
    connection.removeEventListener("lines", onLines);
  };
}
