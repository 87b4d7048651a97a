/**
 * The requests to QEMU's display over its main D-Bus connection: the consoles and their sizes, registering a
 * listener, and whether QEMU's main loop is running.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_PICTURE_SIDE } from "../../base/limits.ts";
import { printable } from "../../base/printable.ts";
import { MESSAGE, type MessageHead } from "../../dbus/message.ts";
import { DBusPeer, type PeerListener } from "./dbus_peer.ts";
import { ALL_LEDS } from "../../event/kinds/pointer_kinds.ts";
import type { DBusValue, WireReader } from "../../dbus/wire_reader.ts";

const ROOT = "/org/qemu/Display1";
const CONSOLE = "org.qemu.Display1.Console";
const KEYBOARD = "org.qemu.Display1.Keyboard";
const PROPERTIES = "org.freedesktop.DBus.Properties";
/** Maximum number of consoles that are examined. */
const MAX_CONSOLES = 64;

/** The listener of the client. */
export interface ConsoleOwner {
  /** The console was found; its size is known. */
  onConsole(label: string): void;
  /** The console has this size from now on; pictures of that size may have come before. */
  onSize(width: number, height: number): void;
  /** QEMU has accepted the listener, or refused it while it has not noticed that the last one is gone. */
  onRegistered(isTaken: boolean): void;
  /** QEMU's main loop has run since it was asked. */
  onAnswered(): void;
  /** The keyboard lights that are on, bits as in KEYBOARD_LEDS; reported by QEMU 7.2 and later. */
  onLeds(bits: number): void;
}

/** Receives an answer, which may be an error. */
type Reply = (body: WireReader, head: MessageHead) => void;

/** The client of the main connection. */
export class ConsoleClient implements PeerListener, Disposable {
  /** The connection. */
  readonly peer: DBusPeer;
  readonly #owner: ConsoleOwner;
  readonly #head: number;
  readonly #replies = new Map<number, Reply>();
  /** Consoles still to be examined, and the number of graphic ones found so far. */
  #consoles: number[] = [];
  #graphic = 0;
  #path = "";
  #width = 0;
  #height = 0;

  /**
   * Starts looking for the console.
   *
   * @param socket the end of a pair whose other end QEMU was given; owned from now on
   * @param uid our own
   * @param head which of the graphic consoles, from 0
   */
  constructor(owner: ConsoleOwner, socket: OwnedFd, uid: number, head: number) {
    this.#owner = owner;
    this.#head = head;
    this.peer = new DBusPeer({ socket, uid, listener: this, maxSinkBytes: 0 });
  }

  /** Whether an answer from QEMU is pending. */
  get isWaiting(): boolean {
    return !this.isFound || this.#replies.size > 0;
  }

  /** Whether the console was found. */
  get isFound(): boolean {
    return this.#path !== "";
  }

  /** Its width, pixels; 0 before it is found. */
  get width(): number {
    return this.#width;
  }

  /** Its height, pixels. */
  get height(): number {
    return this.#height;
  }

  /** Passes a listener's other end to QEMU; owned from now on. */
  register(socket: OwnedFd): void {
    assert(this.isFound, "a listener is for a console");
    const message = { path: this.#path, interface: CONSOLE, member: "RegisterListener", signature: "h" };
    const serial = this.peer.send({ type: MESSAGE.CALL, ...message, body: (writer) => writer.u32(0) }, [
      socket,
    ]);
    this.#replies.set(serial, (_body, { type }) => this.#owner.onRegistered(type === MESSAGE.RETURN));
  }

  /** Sends any request, to learn when QEMU has processed it. */
  ask(): void {
    this.#getAll(this.#path, CONSOLE, (body, head) => {
      this.#takeProperties(propertiesOf(body, head));
      this.#owner.onAnswered();
    });
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.peer[Symbol.dispose]();
  }

  onReady(): void {
    this.#getAll(`${ROOT}/VM`, "org.qemu.Display1.VM", (body, head) => {
      const ids = propertiesOf(body, head).get("ConsoleIDs");
      if (!Array.isArray(ids) || ids.length > MAX_CONSOLES) throw wrong("it does not list its consoles");
      this.#consoles = ids.filter((id) => typeof id === "number");
      this.#nextConsole();
    });
  }

  sinkOf(): undefined {
    return undefined;
  }

  onMessage(head: MessageHead, body: WireReader): void {
    if (head.type === MESSAGE.SIGNAL) return this.#signal(head, body);
    const { replyTo } = head;
    if (replyTo === undefined) return;
    const reply = this.#replies.get(replyTo);
    this.#replies.delete(replyTo);
    reply?.(body, head);
  }

  #getAll(path: string, of: string, reply: Reply): void {
    const message = { path, interface: PROPERTIES, member: "GetAll", signature: "s" };
    const serial = this.peer.send({ type: MESSAGE.CALL, ...message, body: (writer) => writer.text(of) });
    this.#replies.set(serial, reply);
  }

  #nextConsole(): void {
    const id = this.#consoles.shift();
    if (id === undefined) {
      throw new Fault(
        "not-supported",
        `Cannot use QEMU's D-Bus display: it has no graphic console ${this.#head}`,
      );
    }
    const path = `${ROOT}/Console_${id}`;
    this.#getAll(path, CONSOLE, (body, head) => this.#consoleCame(path, propertiesOf(body, head)));
  }

  #consoleCame(path: string, properties: ReadonlyMap<unknown, DBusValue>): void {
    if (properties.get("Type") !== "Graphic" || this.#graphic++ < this.#head) return this.#nextConsole();
    this.#path = path;
    this.#takeProperties(properties);
    this.#askLights();
    const label = properties.get("Label");
    this.#owner.onConsole(typeof label === "string" ? label : "");
  }

  #signal(head: MessageHead, body: WireReader): void {
    if (head.member !== "PropertiesChanged" || head.interface !== PROPERTIES || head.path !== this.#path) {
      return;
    }
    if (head.signature !== "sa{sv}as") throw wrong("its signal PropertiesChanged has other types");
    const of = body.text();
    if (of !== CONSOLE && of !== KEYBOARD) return;
    const properties = body.value("a{sv}") as ReadonlyMap<unknown, DBusValue>;
    if (of === CONSOLE) this.#takeProperties(properties);
    else this.#takeLights(properties);
  }

  /** Queries the lights, because QEMU signals only that they have changed. */
  #askLights(): void {
    this.#getAll(this.#path, KEYBOARD, (body, head) => {
      // A console without a keyboard has none.
      if (head.type !== MESSAGE.ERROR) this.#takeLights(propertiesOf(body, head));
    });
  }

  #takeLights(properties: ReadonlyMap<unknown, DBusValue>): void {
    const lights = properties.get("Modifiers");
    if (typeof lights === "number") this.#owner.onLeds(lights & ALL_LEDS);
  }

  #takeProperties(properties: ReadonlyMap<unknown, DBusValue>): void {
    const width = properties.get("Width") ?? this.#width;
    const height = properties.get("Height") ?? this.#height;
    if (!isSide(width) || !isSide(height)) throw wrong("its console has an implausible size");
    if (width === this.#width && height === this.#height) return;
    this.#width = width;
    this.#height = height;
    this.#owner.onSize(width, height);
  }
}

function propertiesOf(body: WireReader, head: MessageHead): ReadonlyMap<unknown, DBusValue> {
  if (head.type === MESSAGE.ERROR) {
    throw new Fault(
      "refused",
      `Cannot use QEMU's D-Bus display: it says ${printable(head.error ?? "", 128)}`,
    );
  }
  if (head.signature !== "a{sv}") throw wrong("its properties have other types");
  return body.value("a{sv}") as ReadonlyMap<unknown, DBusValue>;
}

function isSide(value: DBusValue): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_PICTURE_SIDE;
}

function wrong(what: string): Fault {
  return new Fault("protocol-error", `Cannot use QEMU's D-Bus display: ${what}`);
}
