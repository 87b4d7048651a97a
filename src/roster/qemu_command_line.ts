/**
 * A QEMU command line, read for what vmsig needs of a VM: its name, its QMP sockets, what backs its RAM, its keyboards and pointers, its display. QEMU's option syntax as its manual page gives
 * it: `key=value` lists separated by commas, a doubled comma for one in a value, a first value without a key.
 *
 * It knows nothing of processes; `host_probe.ts` does.
 * @module
 */

/** A QMP socket that a VM offers. */
export interface QmpOffer {
  /** Path of the unix socket. */
  readonly path: string;
  /** QEMU listens there (and does not call somebody else). */
  readonly listens: boolean;
}

/** What a command line says. */
export interface QemuSetup {
  /** From -name; "" without one. */
  readonly name: string;
  /** "pc", "q35", … as given; "" when QEMU's default stands. */
  readonly machine: string;
  /** RAM in bytes, as -m says; QEMU's default otherwise. */
  readonly ramBytes: number;
  /** Its QMP sockets, in the order given. */
  readonly qmp: readonly QmpOffer[];
  /** What backs the RAM. `shared`: another process can read it. */
  readonly memory: { readonly backend: string; readonly shared: boolean; readonly path: string };
  /** Names of keyboard and pointer devices, with those that the machine has by itself. */
  readonly keyboards: readonly string[];
  /** Names of pointer devices, likewise. */
  readonly pointers: readonly string[];
  /** Whether there is an absolute pointer. */
  readonly hasTablet: boolean;
  /** The display device and what shows it. */
  readonly display: string;
}
/** An option's argument by its keys. */

export type Properties = ReadonlyMap<string, string>;

/** Reads an option's argument: the value without a key is found under "". */
export function readProperties(text: string): Properties {
  const properties = new Map<string, string>();
  const parts = text.replaceAll(",,", "\0").split(",").map((part) => part.replaceAll("\0", ","));
  parts.forEach((part, i) => {
    const equals = part.indexOf("=");
    if (equals < 0 && i === 0) properties.set("", part);
    else if (equals < 0) properties.set(part, "on");
    else properties.set(part.slice(0, equals), part.slice(equals + 1));
  });
  return properties;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** A size as -m and memory backends give it; `bare` is the unit of a number without one. */
export function readSize(text: string, bare: number): number | undefined {
  const found = /^(\d+(?:\.\d+)?)([BKMGT]?)$/i.exec(text);
  if (found === null) return undefined;
  const unit = (found[2] as string).toUpperCase();
  return Number(found[1]) * (unit === "" ? bare : UNITS[unit] as number);
}

const DEFAULT_RAM_BYTES = 128 * 2 ** 20;

/** Reads a whole command line, without the program's name. */
export function readQemuCommandLine(args: readonly string[]): QemuSetup {
  const options = new Map<string, Properties[]>();
  const bare = new Map<string, string[]>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (!arg.startsWith("-")) continue;
    const name = arg.replace(/^--?/, "");
    const value = args[i + 1];
    const taken = value !== undefined && !value.startsWith("-") ? value : "";
    options.set(name, [...(options.get(name) ?? []), readProperties(taken)]);
    bare.set(name, [...(bare.get(name) ?? []), taken]);
    if (taken !== "") i++;
  }
  const all = (name: string): Properties[] => options.get(name) ?? [];
  const machine = [...all("machine"), ...all("M")];
  return {
    name: nameOf(all("name")),
    machine: machine.map((m) => m.get("type") ?? m.get("") ?? "").find((type) => type !== "") ?? "",
    ramBytes: ramBytesOf(all("m")),
    qmp: qmpOf(bare, all),
    memory: memoryOf(machine, all("object"), bare.get("mem-path")?.[0]),
    ...inputOf(all("device"), bare.get("usbdevice") ?? [], machine),
    display: displayOf(all, bare),
  };
}

function nameOf(names: readonly Properties[]): string {
  return names.map((name) => name.get("guest") ?? name.get("") ?? "").find((name) => name !== "") ?? "";
}

function ramBytesOf(sizes: readonly Properties[]): number {
  for (const size of sizes) {
    const text = size.get("size") ?? size.get("");
    const bytes = text === undefined ? undefined : readSize(text, 2 ** 20);
    if (bytes !== undefined) return bytes;
  }
  return DEFAULT_RAM_BYTES;
}

function qmpOf(
  bare: ReadonlyMap<string, readonly string[]>,
  all: (name: string) => Properties[],
): QmpOffer[] {
  const offers: QmpOffer[] = [];
  for (const text of [...(bare.get("qmp") ?? []), ...(bare.get("qmp-pretty") ?? [])]) {
    if (!text.startsWith("unix:")) continue;
    const properties = readProperties(text.slice("unix:".length));
    const path = properties.get("") ?? properties.get("path");
    if (path !== undefined) offers.push({ path, listens: isOn(properties.get("server")) });
  }
  for (const monitor of all("mon")) {
    if (monitor.get("mode") !== "control") continue;
    const id = monitor.get("chardev") ?? monitor.get("");
    const chardev = all("chardev").find((each) => each.get("id") === id && each.get("") === "socket");
    const path = chardev?.get("path");
    if (path !== undefined) offers.push({ path, listens: isOn(chardev?.get("server")) });
  }
  return offers;
}

function memoryOf(
  machines: readonly Properties[],
  objects: readonly Properties[],
  memPath: string | undefined,
): QemuSetup["memory"] {
  const id = machines.map((machine) => machine.get("memory-backend")).find((each) => each !== undefined);
  const backend = objects.find((object) =>
    (object.get("") ?? object.get("qom-type") ?? "").startsWith("memory-backend-") && object.get("id") === id
  );
  if (backend === undefined) {
    return memPath === undefined
      ? { backend: "private", shared: false, path: "" }
      : { backend: "mem-path", shared: false, path: memPath };
  }
  const type = (backend.get("") ?? backend.get("qom-type") ?? "").slice("memory-backend-".length);
  // A memfd backend is shared unless said otherwise; a file or ram backend is not.
  const shared = isOn(backend.get("share") ?? (type === "memfd" ? "on" : "off"));
  return { backend: type, shared, path: backend.get("mem-path") ?? "" };
}

function inputOf(
  devices: readonly Properties[],
  usb: readonly string[],
  machines: readonly Properties[],
): Pick<QemuSetup, "keyboards" | "pointers" | "hasTablet"> {
  const names = [...devices.map((device) => device.get("driver") ?? device.get("") ?? ""), ...usb];
  const keyboards = names.filter((name) => /keyboard|kbd/.test(name));
  const pointers = names.filter((name) => /tablet|mouse|multitouch/.test(name));
  // pc and q35 have a PS/2 keyboard and mouse unless i8042 is off.
  if (!machines.some((machine) => machine.get("i8042") === "off")) {
    keyboards.push("ps2-kbd");
    pointers.push("ps2-mouse");
  }
  return { keyboards, pointers, hasTablet: pointers.some((name) => /tablet|multitouch/.test(name)) };
}

function displayOf(
  all: (name: string) => Properties[],
  bare: ReadonlyMap<string, readonly string[]>,
): string {
  const devices = all("device").map((device) => device.get("driver") ?? device.get("") ?? "");
  const adapter = devices.find((name) => /vga|gpu|qxl|ramfb|bochs-display/i.test(name)) ??
    bare.get("vga")?.[0] ?? "std";
  const shown = bare.get("display")?.[0]?.split(",")[0] ?? (bare.has("nographic") ? "none" : "default");
  return `${adapter}/${shown}`;
}

function isOn(value: string | undefined): boolean {
  return value === "on" || value === "yes" || value === "true" || value === "";
}
