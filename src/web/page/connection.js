// The WebSocket to the server: asks and answers by number, and what the server tells. It comes back by itself.

const FIRST_MS = 500;
const MOST_MS = 10_000;

/** What the server has told, and who wants to know of changes. */
export class Connection extends EventTarget {
  vms = [];
  lines = [];
  /** Addresses of the VMs' small pictures. */
  thumbs = new Map();
  layouts = ["us"];
  you = "";
  /** Names of the capabilities that this person has somewhere. */
  may = [];
  tab = "";
  /** Why nothing works now; "" when it does. */
  trouble = "Connecting…";
  #socket;
  #id = 0;
  #waiting = new Map();
  #seen = [];
  #pauseMs = FIRST_MS;
  #isOver = false;

  open() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#pauseMs = FIRST_MS;
    };
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.#onPicture(data);
      else this.#on(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#isOver) return;
      for (const { reject } of this.#waiting.values()) {
        reject(new Error("The connection to vmsig web was lost."));
      }
      this.#waiting.clear();
      this.tab = "";
      const isOut = code === 1008 && reason === "the session has ended";
      this.#setTrouble("The connection to vmsig web was lost; trying again. Nothing is held down in any VM.");
      this.#tell("lost");
      if (isOut) return this.#tell("out");
      // A refusal looks like any failure to the page: whether the session is still good is asked.
      if (!wasOpen) void this.#checkSession();
      setTimeout(() => this.#isOver || this.open(), this.#pauseMs);
      this.#pauseMs = Math.min(MOST_MS, this.#pauseMs * 2);
    };
  }

  close() {
    this.#isOver = true;
    this.#socket?.close();
  }

  /** Asks; the promise is the answer, or fails with what the server says. */
  ask(op, fields = {}) {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Error("There is no connection to vmsig web now."));
    }
    const id = ++this.#id;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    socket.send(JSON.stringify({ op, id, ...fields }));
    return answer;
  }

  /** Says which VMs are in view; there is no answer. */
  see(vms) {
    this.#seen = vms;
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ op: "see", id: 0, vms }));
    }
  }

  vm(name) {
    return this.vms.find((vm) => vm.name === name);
  }

  async #checkSession() {
    const response = await fetch("/session").catch(() => undefined);
    if (response?.ok && await response.text() === "no") this.#tell("out");
  }

  /** A small picture: its VM's name and a PNG. */
  #onPicture(data) {
    const length = new DataView(data).getUint16(0);
    const vm = new TextDecoder().decode(new Uint8Array(data, 2, length));
    const before = this.thumbs.get(vm);
    this.thumbs.set(vm, URL.createObjectURL(new Blob([data.slice(2 + length)], { type: "image/png" })));
    this.#tell("thumb", { vm });
    if (before !== undefined) URL.revokeObjectURL(before);
  }

  #on(message) {
    switch (message.t) {
      case "hello":
        this.you = message.you;
        this.may = message.may;
        this.tab = message.tab;
        this.layouts = message.layouts;
        this.lines = [];
        this.#tell("hello");
        this.see(this.#seen);
        break;
      case "daemon":
        this.#setTrouble(message.why === "" ? "" : `The daemon is away; waiting for it. ${message.why}`);
        break;
      case "vms":
        this.vms = message.vms;
        this.#tell("vms");
        break;
      case "lines":
        this.lines.push(...message.lines);
        if (this.lines.length > 2000) this.lines.splice(0, this.lines.length - 2000);
        this.#tell("lines", message.lines);
        break;
      case "seat":
      case "trouble":
        this.#tell(message.t, message);
        break;
      case "answer": {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.fault === undefined) waiting?.resolve(message);
        else waiting?.reject(new Error(message.fault));
      }
    }
  }

  #setTrouble(text) {
    this.trouble = text;
    this.#tell("state");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
