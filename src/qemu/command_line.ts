/**
 * The only parser of QEMU command lines: finds the options and their arguments, which are `key=value` lists
 * or JSON objects. The syntax is QEMU's own: whether an option takes an argument does not depend on how the
 * next word begins; a doubled comma stands for one; a first value without a key belongs to the option's
 * implied key; `nokey` is `key=off`.
 *
 * A command line is written by the user who runs the program, so it is hostile: each character is examined a
 * bounded number of times, and at most {@linkcode MAX_QEMU_ARGUMENTS} words with {@linkcode
 * MAX_QEMU_LINE_BYTES} in total are read. Beyond that nothing is read, and `isWhole` is false.
 *
 * It does not interpret options: `memory_options.ts` does that for RAM, the host probe for the rest.
 * @module
 */
import { MAX_QEMU_ARGUMENTS, MAX_QEMU_LINE_BYTES } from "../base/limits.ts";

/** An option's argument as a map. */
export type Properties = ReadonlyMap<string, string>;

/** Options without an argument, of QEMU 5 to 11. */
const FLAGS: ReadonlySet<string> = new Set(
  ("S alt-grab async-teardown audio-help ctrl-grab curses daemonize enable-fips enable-hax enable-hvf enable-kvm enable-sync-profile full-screen h help jitdump mem-prealloc " +
    "no-acpi no-fd-bootchk no-frame no-hpet no-kvm no-quit no-reboot no-shutdown no-user-config nodefaults nodefconfig nographic old-param one-insn-per-tb only-migratable perfmap " +
    "portrait preconfig s sdl semihosting show-cursor singlestep snapshot tdf usb version win2k-hack xen-attach xen-domid-restrict")
    .split(" "),
);

/** Options with an argument, of the same versions. */
const TAKES: ReadonlySet<string> = new Set(
  ("D L M accel acpitable action add-fd append audio audiodev balloon bios blockdev boot bt cdrom chardev chroot compat cpu d debugcon device dfilter display drive dtb dump-vmstate " +
    "echr fda fdb fsdev fw_cfg g gdb global hda hdb hdc hdd icount incoming initrd iscsi k kernel loadvm m machine mem-path mon monitor msg mtdblock name net netdev nic numa object " +
    "option-rom overcommit parallel pflash pidfile plugin prom-env qmp qmp-pretty qtest qtest-log readconfig realtime rotate rtc run-with runas sandbox sd seed set semihosting-config " +
    "serial shim smbios smp soundhw spice startdate tb-size teletype tpmdev trace usbdevice uuid vga virtfs vnc watchdog watchdog-action writeconfig xen-domid")
    .split(" "),
);

/** A parsed command line. */
export class CommandLine {
  /** Whether all of it was read; if not, there may be options that are not known here. */
  readonly isWhole: boolean;
  /** Number of characters examined so far, a measure of the cost. */
  looked = 0;
  readonly #options = new Map<string, string[]>();
  /** Whether there was an invalid JSON object. */
  #isBroken = false;
  /** Arguments that have already been parsed. */
  readonly #lists = new Map<string, readonly Properties[]>();

  /**
   * Parses a command line.
   *
   * @param words its arguments without the program's name
   */
  constructor(words: readonly string[]) {
    let left = MAX_QEMU_LINE_BYTES;
    let i = 0;
    for (const end = Math.min(words.length, MAX_QEMU_ARGUMENTS); i < end;) {
      const word = words[i] as string;
      left -= word.length + 1;
      if (left < 0) break;
      i++;
      // A word without a dash is a disk image.
      if (!word.startsWith("-")) continue;
      this.looked += word.length;
      const name = word.slice(word.startsWith("--") ? 2 : 1);
      const value = i < end ? words[i] as string : undefined;
      if (!takesNext(name, value)) this.#add(name, "");
      else {
        left -= value.length + 1;
        if (left < 0) break;
        i++;
        this.#add(name, value);
      }
    }
    this.isWhole = i === words.length;
  }

  /** Whether an option is given. */
  has(name: string): boolean {
    return this.#options.has(name);
  }

  /** Its arguments as given, in order; "" for an option without one. */
  texts(name: string): readonly string[] {
    return this.#options.get(name) ?? [];
  }

  /**
   * Its parsed arguments, in order.
   *
   * @param implied the implied key of a first value, which depends only on the option
   */
  lists(name: string, implied: string): readonly Properties[] {
    const before = this.#lists.get(name);
    if (before !== undefined) return before;
    const lists = this.texts(name).map((text) => this.take(text, implied));
    this.#lists.set(name, lists);
    return lists;
  }

  /**
   * All lists of an option merged into one, as QEMU does for some: if a key is repeated, the last one counts.
   */
  merged(name: string, implied: string): Properties {
    const all = new Map<string, string>();
    for (const list of this.lists(name, implied)) for (const [key, value] of list) all.set(key, value);
    return all;
  }

  /** Parses one argument: a JSON object, or a list. */
  take(text: string, implied: string): Properties {
    this.looked += text.length;
    if (!text.startsWith("{")) return readProperties(text, implied);
    // QEMU does not start with an invalid object: a process that runs with one is not a QEMU, and thousands
    // of them would cost thousands of exceptions.
    const properties = this.#isBroken ? undefined : readObject(text);
    this.#isBroken = properties === undefined;
    return properties ?? NOTHING;
  }

  #add(name: string, value: string): void {
    // An alias; both are merged in their order on the line.
    const known = name === "M" ? "machine" : name;
    const before = this.#options.get(known);
    if (before === undefined) this.#options.set(known, [value]);
    else before.push(value);
  }
}

/** Whether QEMU has an option with this name. */
export function isKnownOption(name: string): boolean {
  return FLAGS.has(name) || TAKES.has(name);
}

/** Whether the next word is the option's argument, however it begins. */
export function takesArgument(name: string): boolean {
  return TAKES.has(name);
}

function takesNext(name: string, next: string | undefined): next is string {
  if (next === undefined || FLAGS.has(name)) return false;
  // For an unknown option, a word that looks like another option counts as one.
  return TAKES.has(name) || !next.startsWith("-");
}

/**
 * Parses an option's argument in one pass.
 *
 * @param implied the implied key of a first value
 */
export function readProperties(text: string, implied = ""): Properties {
  const properties = new Map<string, string>();
  for (let at = 0; at < text.length;) {
    const start = at;
    while (at < text.length && text[at] !== "=" && text[at] !== ",") at++;
    if (text[at] === "=") {
      const value = readValue(text, at + 1);
      properties.set(text.slice(start, at), value.text);
      at = value.end + 1;
    } else if (start === 0) {
      const value = readValue(text, 0);
      properties.set(implied, value.text);
      at = value.end + 1;
    } else {
      const word = text.slice(start, at++);
      if (word.startsWith("no") && word.length > 2) properties.set(word.slice(2), "off");
      else properties.set(word, "on");
    }
  }
  return properties;
}

/** A value up to the comma that ends it; `end` is that comma's index, or the end of the text. */
function readValue(text: string, start: number): { readonly text: string; readonly end: number } {
  let value = "";
  for (let from = start;;) {
    const comma = text.indexOf(",", from);
    const end = comma < 0 ? text.length : comma;
    if (text[end + 1] !== "," || comma < 0) return { text: value + text.slice(from, end), end };
    value += text.slice(from, end + 1);
    from = end + 2;
  }
}

const NOTHING: Properties = new Map();

/**
 * The strings, numbers and booleans of a JSON object in the form of a list; nested values are omitted.
 * Undefined if it is not JSON.
 */
function readObject(text: string): Properties | undefined {
  const properties = new Map<string, string>();
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  for (const [key, value] of Object.entries(object as object)) {
    if (typeof value === "string" || typeof value === "number") properties.set(key, `${value}`);
    else if (typeof value === "boolean") properties.set(key, value ? "on" : "off");
  }
  return properties;
}

/** Whether a property is on; `key` alone means `key=on`. */
export function isOn(value: string | undefined): boolean {
  return value === "on" || value === "yes" || value === "true" || value === "y";
}

const UNITS = "BKMGTPE";

/**
 * A size in QEMU's notation, in bytes; undefined if it is not valid.
 *
 * @param bare the unit of a number without a suffix, bytes
 */
export function readSize(text: string | undefined, bare: number): number | undefined {
  if (text === undefined || text.length > 64) return undefined;
  if (/^0x[0-9a-f]+$/i.test(text)) return Number(text) * bare;
  const found = /^(\d+(?:\.\d+)?)([BKMGTPE]?)$/i.exec(text);
  if (found === null) return undefined;
  const unit = (found[2] as string).toUpperCase();
  return Math.floor(Number(found[1]) * (unit === "" ? bare : 1024 ** UNITS.indexOf(unit)));
}
