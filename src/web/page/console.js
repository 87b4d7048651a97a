// A serial console: xterm.js over a WebSocket of the tab. It is a file of its own, loaded when one is opened.

import { Terminal } from "@xterm/xterm";

// The page's policy lets no script write a style element; a constructed sheet is the same without one.
function styleElement() {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  const element = document.createElement("span");
  element.hidden = true;
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (text) => sheet.replaceSync(text),
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

/** Opens a terminal in a place; all the style elements that it ever has it makes here. */
function openStyled(terminal, place) {
  const create = document.createElement;
  document.createElement = (name, ...more) =>
    name === "style" ? styleElement() : create.call(document, name, ...more);
  try {
    terminal.open(place);
  } finally {
    delete document.createElement;
  }
}

/**
 * Shows a console in a place; `onState` is told what becomes of it, in words. Gives what takes it away, and
 * what takes the right to type and gives it back.
 */
export function openConsole(place, address, onState) {
  const terminal = new Terminal({
    disableStdin: true,
    convertEol: false,
    scrollback: 5000,
    cols: 80,
    rows: 24,
    fontSize: 14,
    screenReaderMode: true,
    allowProposedApi: false,
  });
  openStyled(terminal, place);
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  let isMine = false;
  let isOver = false;
  let wasTold = false;
  const setMine = (mine, words) => {
    isMine = mine;
    terminal.options.disableStdin = !mine;
    onState(mine, words);
    if (mine) terminal.focus();
  };
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return terminal.write(new Uint8Array(data));
    const message = JSON.parse(data);
    switch (message.t) {
      case "open":
        return setMine(false, "You are reading: nothing that you type goes to the VM.");
      case "mine":
        return setMine(true, "What you type goes to the VM.");
      case "looking":
        return setMine(false, message.why === "" ? "Given back: you are reading." : message.why);
      case "refused":
        return onState(isMine, message.why, true);
      case "lost":
        return terminal.write(`\r\n[${message.bytes} bytes were lost here]\r\n`);
      case "ended":
        wasTold = true;
        return setMine(false, message.why);
    }
  };
  socket.onclose = () => {
    if (!isOver && !wasTold) {
      setMine(false, "The console is not connected any more; nothing is typed. Open it again.");
    }
  };
  const encoder = new TextEncoder();
  const send = (bytes) => {
    if (!isMine || socket.readyState !== WebSocket.OPEN) return;
    for (let at = 0; at < bytes.length; at += 4096) socket.send(bytes.slice(at, at + 4096));
  };
  terminal.onData((text) => send(encoder.encode(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (c) => c.charCodeAt(0) & 0xff)));
  return {
    toggle() {
      if (socket.readyState === WebSocket.OPEN) socket.send(isMine ? "give" : "take");
    },
    /** What is shown now, for who reads it. */
    text() {
      const { active } = terminal.buffer;
      const lines = [];
      for (let i = 0; i < active.length; i++) lines.push(active.getLine(i)?.translateToString(true) ?? "");
      return lines.join("\n").trimEnd();
    },
    close() {
      isOver = true;
      socket.close();
      terminal.dispose();
    },
  };
}
