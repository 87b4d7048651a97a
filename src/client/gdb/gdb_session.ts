/**
 * One attached GDB: answers its requests, one after the other. GDB assumes that its target is stopped, but
 * the VM is stopped only on request (an interrupt, `monitor stop`, or `--stop`); otherwise GDB reads it while
 * it runs.
 *
 * Numbers in requests are checked and lengths bounded. What cannot be done is an error to GDB and a line for
 * the person who runs the server, since GDB 13 shows no text for most errors.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { bytesOfHex, hexOfBytes } from "../../base/hex.ts";
import { MAX_GDB_PACKET } from "../../base/limits.ts";
import { oneLine } from "../../base/printable.ts";
import type { GdbTarget, GdbThread } from "./gdb_target.ts";
import { hexNumber, hexText, rangeOf, xmlText } from "./packet_words.ts";
import { bytesOf, textOfBody } from "./packets.ts";
import type { RegisterValues } from "./x86_registers.ts";

/** Limit of memory per answer, bytes: two digits each. */
const MAX_MEMORY_BYTES = MAX_GDB_PACKET / 2 - 16;
const THREADS_PER_PACKET = 400;
const REFUSED = "E01";
const UNREADABLE = "E14";
const SIGINT = "02";
const SIGTRAP = "05";
const HELP = `monitor stop     stop the VM, under the power lease
monitor cont     let it run
monitor status   whether it runs, and what was refused last
monitor offset   by how much the kernel was moved (KASLR)
`;

/** An answer's body; undefined for none. */
type Answer = string | Uint8Array | undefined;

/** The outputs of a session. */
export interface GdbPeer {
  /** Sends a packet with this body. */
  send(body: string | Uint8Array): Promise<void>;
  /** Prints a line for the person who runs the server. */
  note(text: string): void;
}

/** A session. */
export class GdbSession {
  readonly #target: GdbTarget;
  readonly #peer: GdbPeer;
  #threads: readonly GdbThread[] = [];
  /** The thread that `g` refers to. */
  #chosen = 1;
  /** GDB is waiting for it to stop. */
  #isResumed = false;
  #lastRefusal = "nothing";
  #sent: { readonly name: string; readonly bytes: Uint8Array | undefined } | undefined;
  /** Number of threads already listed by qfThreadInfo and qsThreadInfo. */
  #listed = 0;
  #registers: { readonly id: number; readonly values: RegisterValues } | undefined;
  /** Whether acknowledgements are off from now on. */
  isWithoutAcks = false;
  /** Whether GDB has disconnected. */
  isOver = false;

  /** A session with an attached target. */
  constructor(target: GdbTarget, peer: GdbPeer) {
    this.#target = target;
    this.#peer = peer;
  }

  /** Answers a request. */
  async take(body: Uint8Array): Promise<void> {
    const text = textOfBody(body);
    try {
      const answer = await this.#answer(text, body);
      if (answer !== undefined) await this.#peer.send(answer);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      await this.#peer.send(this.#refuse(error));
    }
  }

  /** GDB's Ctrl-C. */
  async interrupt(): Promise<void> {
    if (!this.#isResumed) return;
    try {
      await this.#target.stop();
      await this.#stopped(SIGINT);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#refuse(error);
      // GDB waits for a stop in any case: it gets one, with the note that the VM continues.
      await this.#say(`${messageOf(error)}\nThe VM keeps running; what follows is read while it runs.\n`);
      await this.#stopped(SIGINT);
    }
  }

  /** The VM was stopped, for whatever reason. */
  async onStop(): Promise<void> {
    this.#registers = undefined;
    if (this.#isResumed) await this.#stopped(SIGTRAP);
  }

  /** The VM has ended, or another system runs in it. */
  async onEnd(): Promise<void> {
    this.#registers = undefined;
    if (!this.#isResumed) return;
    this.#isResumed = false;
    await this.#peer.send("W00");
  }

  #answer(text: string, body: Uint8Array): Answer | Promise<Answer> {
    switch (text[0]) {
      case "?":
        return this.#stopReply(SIGTRAP);
      case "g":
        return this.#values().then((values) => this.#target.layout.all(values));
      case "p":
        return this.#one(text);
      case "G":
      case "P":
        throw new Fault("not-supported", "Cannot write registers: QEMU's monitor can only read them");
      case "m":
        return this.#read(text);
      case "M":
        return this.#writeHex(text);
      case "X":
        return this.#writeBytes(text, body);
      case "H":
        return this.#choose(text);
      case "T":
        return this.#isAlive(text);
      case "c":
      case "C":
        return this.#resume();
      case "s":
      case "S":
        return this.#step();
      case "D":
        this.isOver = true;
        return "OK";
      case "k":
        // The only packet without an answer.
        this.isOver = true;
        return undefined;
      case "Z":
      case "z":
        throw new Fault("not-supported", "Cannot set breakpoints in a VM: nothing in it is stopped by one");
      case "v":
        return this.#v(text);
      case "q":
        return this.#query(text);
      case "Q":
        if (text !== "QStartNoAckMode") return "";
        this.isWithoutAcks = true;
        return "OK";
    }
    return "";
  }

  async #stopReply(signal: string): Promise<string> {
    this.#registers = undefined;
    this.#threads = await this.#target.threads();
    if (!this.#threads.some(({ id }) => id === this.#chosen)) this.#chosen = this.#threads[0]?.id ?? 1;
    return `T${signal}thread:${this.#chosen.toString(16)};`;
  }

  async #stopped(signal: string): Promise<void> {
    this.#isResumed = false;
    await this.#peer.send(await this.#stopReply(signal));
  }

  async #values(): Promise<RegisterValues> {
    if (this.#registers?.id !== this.#chosen || await this.#target.isRunning()) {
      this.#registers = { id: this.#chosen, values: await this.#target.registers(this.#chosen) };
    }
    return this.#registers.values;
  }

  async #one(text: string): Promise<string> {
    const number = hexNumber(text.slice(1), 4);
    const value = number === undefined ? undefined : this.#target.layout.one(await this.#values(), number);
    return value ?? REFUSED;
  }

  async #read(text: string): Promise<string> {
    const range = rangeOf(text.slice(1));
    if (range === undefined) return REFUSED;
    const bytes = await this.#target.read(range.address, Math.min(range.length, MAX_MEMORY_BYTES));
    return bytes.length === 0 && range.length > 0 ? UNREADABLE : hexOfBytes(bytes);
  }

  async #writeHex(text: string): Promise<string> {
    const colon = text.indexOf(":");
    const bytes = text.length === colon + 1 ? new Uint8Array(0) : bytesOfHex(text.slice(colon + 1));
    return bytes === undefined || colon < 0 ? REFUSED : await this.#write(text.slice(1, colon), bytes);
  }

  async #writeBytes(text: string, body: Uint8Array): Promise<string> {
    const colon = text.indexOf(":");
    return colon < 0 ? REFUSED : await this.#write(text.slice(1, colon), body.subarray(colon + 1));
  }

  async #write(range: string, bytes: Uint8Array): Promise<string> {
    const { address, length } = rangeOf(range) ?? { address: 0, length: -1 };
    if (length !== bytes.length) return REFUSED;
    // GDB sends an empty write to find out whether the packet is supported.
    if (length > 0) await this.#target.write(address, bytes);
    return "OK";
  }

  async #choose(text: string): Promise<string> {
    const id = text[2] === "-" ? 0 : hexNumber(text.slice(2), 8);
    if (id === undefined) return REFUSED;
    if (text[1] !== "g") return "OK";
    if (this.#threads.length === 0) this.#threads = await this.#target.threads();
    if (id === 0) this.#chosen = this.#threads[0]?.id ?? 1;
    else if (this.#threads.some((thread) => thread.id === id)) this.#chosen = id;
    else return REFUSED;
    return "OK";
  }

  async #isAlive(text: string): Promise<string> {
    const id = hexNumber(text.slice(1), 8);
    return (await this.#target.threads()).some((thread) => thread.id === id) ? "OK" : REFUSED;
  }

  async #resume(): Promise<undefined> {
    await this.#target.cont();
    this.#registers = undefined;
    this.#isResumed = true;
  }

  async #step(): Promise<string> {
    const fault = new Fault("not-supported", "Cannot step a VM: its monitor only stops it and lets it go on");
    this.#refuse(fault);
    await this.#say(`${fault.message}\n`);
    // A trap would report that the step was made, and `next` would step for ever.
    return await this.#stopReply(SIGINT);
  }

  #v(text: string): Promise<string | undefined> | string {
    if (text === "vCont?") return "vCont;c;C;s;S";
    if (text.startsWith("vKill")) {
      this.isOver = true;
      return "OK";
    }
    const action = /^vCont;([cCsS])/.exec(text)?.[1];
    if (action === undefined) return "";
    return action === "c" || action === "C" ? this.#resume() : this.#step();
  }

  async #query(text: string): Promise<string | Uint8Array> {
    const name = /^q[A-Za-z]+/.exec(text)?.[0] ?? "";
    switch (name) {
      case "qSupported":
        return this.#supported();
      case "qAttached":
        return "1";
      case "qC":
        return `QC${this.#chosen.toString(16)}`;
      case "qfThreadInfo":
        this.#threads = await this.#target.threads();
        this.#listed = 0;
        return this.#list();
      case "qsThreadInfo":
        return this.#list();
      case "qThreadExtraInfo": {
        const id = hexNumber(text.slice(name.length + 1), 8);
        const thread = this.#threads.find((one) => one.id === id);
        return thread === undefined ? REFUSED : hexText(thread.name);
      }
      case "qOffsets": {
        const offset = this.#target.offset();
        if (offset === undefined) return "";
        const by = BigInt.asUintN(64, offset).toString(16);
        return `Text=${by};Data=${by};Bss=${by}`;
      }
      case "qSymbol":
        return "OK";
      case "qXfer":
        return await this.#transfer(text);
      case "qRcmd":
        return hexText(await this.#monitor(text.slice(name.length + 1)));
    }
    return "";
  }

  #list(): string {
    const some = this.#threads.slice(this.#listed, this.#listed + THREADS_PER_PACKET);
    this.#listed += some.length;
    return some.length === 0 ? "l" : `m${some.map(({ id }) => id.toString(16)).join(",")}`;
  }

  #supported(): string {
    const ofProcess = this.#target.auxv() === undefined ? [] : ["qXfer:auxv:read+"];
    return [
      `PacketSize=${(MAX_GDB_PACKET - 4).toString(16)}`,
      "QStartNoAckMode+",
      "vContSupported+",
      "qXfer:features:read+",
      "qXfer:threads:read+",
      ...ofProcess,
    ].join(";");
  }

  async #transfer(text: string): Promise<string | Uint8Array> {
    const parts = /^qXfer:([a-z-]+):read:([^:]*):([0-9a-f]{1,8}),([0-9a-f]{1,8})$/.exec(text);
    if (parts === null) return "";
    const [, object = "", annex = "", from = "", most = ""] = parts;
    const start = parseInt(from, 16);
    const name = `${object}:${annex}`;
    // The pieces of one transfer come from one snapshot of the list.
    if (start === 0 || this.#sent?.name !== name) {
      this.#sent = { name, bytes: await this.#object(object, annex) };
    }
    const whole = this.#sent.bytes;
    if (whole === undefined) return "E00";
    const length = Math.min(parseInt(most, 16), MAX_MEMORY_BYTES);
    const piece = whole.subarray(start, start + length);
    const out = new Uint8Array(piece.length + 1);
    out[0] = (start + piece.length < whole.length ? "m" : "l").charCodeAt(0);
    out.set(piece, 1);
    return out;
  }

  async #object(object: string, annex: string): Promise<Uint8Array | undefined> {
    switch (object) {
      case "features":
        return annex === "target.xml" ? bytesOf(this.#target.layout.description) : undefined;
      case "auxv":
        return this.#target.auxv();
      case "threads": {
        this.#threads = await this.#target.threads();
        const rows = this.#threads.map(({ id, name }) =>
          `<thread id="${id.toString(16)}" name="${xmlText(oneLine(name))}"/>`
        );
        return new TextEncoder().encode(`<?xml version="1.0"?><threads>${rows.join("")}</threads>`);
      }
    }
    return undefined;
  }

  /** A refusal is sent as text, because GDB 13 would show an error as digits. */
  async #monitor(hex: string): Promise<string> {
    try {
      return await this.#obey(hex);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#refuse(error);
      return `${oneLine(error.message)}\n`;
    }
  }

  async #obey(hex: string): Promise<string> {
    const line = new TextDecoder().decode(bytesOfHex(hex.replace(/^,/, "")) ?? new Uint8Array(0)).trim();
    switch (line) {
      case "stop":
        await this.#target.stop();
        this.#registers = undefined;
        return "the VM is stopped\n";
      case "cont":
        await this.#target.cont();
        return "the VM runs\n";
      case "status":
        return `the VM ${
          await this.#target.isRunning() ? "runs" : "is stopped"
        }\nrefused last: ${this.#lastRefusal}\n`;
      case "offset": {
        const offset = this.#target.offset();
        return offset === undefined ? "not known\n" : `0x${BigInt.asUintN(64, offset).toString(16)}\n`;
      }
    }
    return HELP;
  }

  #refuse(fault: Fault): string {
    this.#lastRefusal = oneLine(fault.message);
    this.#peer.note(`${fault.code}: ${fault.message}`);
    // Later versions of GDB show the text.
    return `E.${this.#lastRefusal.replaceAll(/[^ -~]/g, "?")}`;
  }

  async #say(text: string): Promise<void> {
    await this.#peer.send(`O${hexText(text)}`);
  }
}
