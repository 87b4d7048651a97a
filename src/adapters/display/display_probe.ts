/**
 * Asks a VM's monitor for its displays: a handful of questions without an effect on the VM. It is asked when
 * the monitor comes up, and again when something tells that they may be others (display_adapter.ts).
 * @module
 */
import { MAX_HEADS } from "../../base/limits.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import { questionsTo } from "../../qemu/monitor/qmp_questions.ts";
import {
  consolePaths,
  type DisplayHead,
  hasDbus,
  hasVnc,
  headOf,
  pluggedDevices,
  showsPicture,
} from "./display_facts.ts";

/** What the monitor tells. */
export interface DisplayAnswer {
  /** The heads: those of QEMU's consoles, in their order, and then what was plugged in. */
  readonly heads: readonly DisplayHead[];
  /** Whether a VNC server runs in it. */
  readonly hasVnc: boolean;
  /** Whether it was started with a D-Bus display that takes peers. */
  readonly hasDbus: boolean;
}

/** The console that a screendump without a device is of. */
const FIRST_CONSOLE = "/backend/console[0]";

/**
 * Asks.
 *
 * @param link the monitor, up
 * @param done told once: what was found, undefined when the monitor was lost meanwhile
 */
export function probeDisplays(link: QmpLink, done: (answer: DisplayAnswer | undefined) => void): void {
  // A VM without a display has no /backend.
  const ask = questionsTo(link, () => done(undefined));
  const heads: DisplayHead[] = [];
  const askServers = (): void =>
    ask("query-vnc", undefined, (vnc) => {
      ask("query-display-options", undefined, (options) => {
        done({ heads, hasVnc: hasVnc(vnc), hasDbus: hasDbus(options) });
      });
    });
  const askTypes = (plugged: readonly DisplayHead[]): void => {
    const head = plugged[0];
    if (head === undefined || heads.length === MAX_HEADS) return askServers();
    ask("qom-get", { path: head.path, property: "type" }, (type) => {
      if (showsPicture(type)) heads.push(head);
      askTypes(plugged.slice(1));
    });
  };
  const askPlugged = (): void =>
    ask("query-pci", undefined, (value) => askTypes(pluggedDevices(value, heads)));
  const askConsole = (paths: readonly string[]): void => {
    const path = paths[0];
    if (path === undefined || heads.length === MAX_HEADS) return askPlugged();
    const get = (property: string, then: (value: unknown) => void) =>
      ask("qom-get", { path, property }, then);
    get("device", (device) =>
      get("head", (head) => {
        const found = headOf(device, head, path === FIRST_CONSOLE);
        if (found !== undefined) heads.push(found);
        askConsole(paths.slice(1));
      }));
  };
  ask("qom-list", { path: "/backend" }, (value) => askConsole(consolePaths(value)));
}
