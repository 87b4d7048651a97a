/**
 * The one reader of QEMU command lines: which options there are, and the `key=value` lists or JSON objects
 * that they have for an argument. The syntax is QEMU's own: an option takes an argument or it does not,
 * whatever that argument begins with; a doubled comma is one comma; a first value without a key belongs to
 * the option's implied one; `nokey` is `key=off`.
 *
 * Whoever runs a program writes its command line, so it is hostile: each character is looked at a bounded
 * number of times, and at most {@linkcode MAX_QEMU_ARGUMENTS} words of {@linkcode MAX_QEMU_LINE_BYTES}
 * together are read. What is past that is not read, and `isWhole` says so.
 *
 * It gives no meaning to options: `memory_options.ts` does for RAM, the host probe for the rest.
 * @module
 */
import { MAX_QEMU_ARGUMENTS, MAX_QEMU_LINE_BYTES } from "../base/limits.ts";

/** An option's argument by its keys. */
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

/** A command line, taken apart into its options. */
export class CommandLine {
  /** Whether all of it was read; a longer one has options that are not known here. */
  readonly isWhole: boolean;
  /** Characters looked at so far: what reading it has cost. */
  looked = 0;
  readonly #options = new Map<string, string[]>();
  /** Whether there was an object that is not valid. */
  #isBroken = false;
  /** Those that were taken apart already. */
  readonly #lists = new Map<string, readonly Properties[]>();

  /**
   * Takes a command line apart.
   *
   * @param words its arguments, without the program's name
   */
  constructor(words: readonly string[]) {
    let left = MAX_QEMU_LINE_BYTES;
    let i = 0;
    for (const end = Math.min(words.length, MAX_QEMU_ARGUMENTS); i < end;) {
      const word = words[i] as string;
      left -= word.length + 1;
      if (left < 0) break;
      i++;
      // What begins with no dash is the image of a disk.
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

  /** Whether an option was given. */
  has(name: string): boolean {
    return this.#options.has(name);
  }

  /** Its arguments as they were given, in order; "" for an option that has none. */
  texts(name: string): readonly string[] {
    return this.#options.get(name) ?? [];
  }

  /**
   * Its arguments, in order, each taken apart.
   *
   * @param implied the key of a first value that has none, which is always the same for an option
   */
  lists(name: string, implied: string): readonly Properties[] {
    const before = this.#lists.get(name);
    if (before !== undefined) return before;
    const lists = this.texts(name).map((text) => this.take(text, implied));
    this.#lists.set(name, lists);
    return lists;
  }

  /**
   * All lists of an option as one, for those that QEMU merges: of a key that is given twice the last one
   * counts.
   */
  merged(name: string, implied: string): Properties {
    const all = new Map<string, string>();
    for (const list of this.lists(name, implied)) for (const [key, value] of list) all.set(key, value);
    return all;
  }

  /** One argument, taken apart: a JSON object, or a list. */
  take(text: string, implied: string): Properties {
    this.looked += text.length;
    if (!text.startsWith("{")) return readProperties(text, implied);
    // QEMU itself does not start with an object that is not valid: a process that runs with one is not a
    // QEMU, and thousands of them cost thousands of errors.
    const properties = this.#isBroken ? undefined : readObject(text);
    this.#isBroken = properties === undefined;
    return properties ?? NOTHING;
  }

  #add(name: string, value: string): void {
    // An alias; the two are merged in the order in which they stand.
    const known = name === "M" ? "machine" : name;
    const before = this.#options.get(known);
    if (before === undefined) this.#options.set(known, [value]);
    else before.push(value);
  }
}

/** Whether some QEMU has an option of this name. */
export function isKnownOption(name: string): boolean {
  return FLAGS.has(name) || TAKES.has(name);
}

/** Whether the next word is the argument of an option, whatever that word begins with. */
export function takesArgument(name: string): boolean {
  return TAKES.has(name);
}

function takesNext(name: string, next: string | undefined): next is string {
  if (next === undefined || FLAGS.has(name)) return false;
  // An option of a QEMU that we do not know: what looks like another option is taken for one.
  return TAKES.has(name) || !next.startsWith("-");
}

/**
 * Takes an option's argument apart, in one pass.
 *
 * @param implied the key of a first value that has none
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

/** A value up to the comma that ends it; `end` is where that comma is, or the end of the text. */
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
 * The texts, numbers and truth values of a JSON object, as a list would have them; what is nested is left
 * out. Undefined when it is not JSON.
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

/** Whether a property is set; `key` alone is `key=on`. */
export function isOn(value: string | undefined): boolean {
  return value === "on" || value === "yes" || value === "true" || value === "y";
}

const UNITS = "BKMGTPE";

/**
 * A size as QEMU reads it, in bytes; undefined when it is not valid.
 *
 * @param bare the unit of a number without one, bytes
 */
export function readSize(text: string | undefined, bare: number): number | undefined {
  if (text === undefined || text.length > 64) return undefined;
  if (/^0x[0-9a-f]+$/i.test(text)) return Number(text) * bare;
  const found = /^(\d+(?:\.\d+)?)([BKMGTPE]?)$/i.exec(text);
  if (found === null) return undefined;
  const unit = (found[2] as string).toUpperCase();
  return Math.floor(Number(found[1]) * (unit === "" ? bare : 1024 ** UNITS.indexOf(unit)));
}
