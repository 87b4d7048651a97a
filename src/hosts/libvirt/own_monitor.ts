/**
 * A monitor of vmsig's own in a QEMU that has one already, made while it runs: QEMU 11.1 and later have
 * monitors as objects (`object-add monitor-qmp`). The socket goes to QEMU as a descriptor, so there is no
 * path; with `close-action=delete` QEMU takes monitor and character device away when its client leaves.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import type { MonitorLine } from "./domain_line.ts";
import { jsonObject } from "./json_object.ts";

const FIRST_MAJOR = 11;
const FIRST_MINOR = 1;
/** Each has a name of its own: several daemons may have one in the same QEMU. */
let count = 0;

/**
 * Whether a QEMU can have one.
 *
 * @param version what `query-version` returns
 */
export function canHaveMonitors(version: unknown): boolean {
  const qemu = isObject(version) ? (version as Record<string, unknown>)["qemu"] : undefined;
  const { major, minor } = isObject(qemu) ? qemu as Record<string, unknown> : {};
  if (typeof major !== "number" || typeof minor !== "number") return false;
  return major > FIRST_MAJOR || (major === FIRST_MAJOR && minor >= FIRST_MINOR);
}

/**
 * Makes one.
 *
 * @param line to the QEMU, whose libvirt passes descriptors
 * @param file QEMU's end of the socket; its own from now on
 * @param done told "" when QEMU has it and greets there, else why not; then nothing is left of it
 */
export function makeOwnMonitor(line: MonitorLine, file: OwnedFd, done: (why: string) => void): void {
  const id = `vmsig-qmp-${Deno.pid}-${++count}`;
  const steps: readonly (readonly [object, undo: object])[] = [
    [{ execute: "getfd", arguments: { fdname: id } }, { execute: "closefd", arguments: { fdname: id } }],
    [
      {
        execute: "chardev-add",
        arguments: {
          id,
          backend: { type: "socket", data: { server: false, addr: { type: "fd", data: { str: id } } } },
        },
      },
      { execute: "chardev-remove", arguments: { id } },
    ],
    [
      {
        execute: "object-add",
        arguments: { "qom-type": "monitor-qmp", id: `${id}-object`, chardev: id, "close-action": "delete" },
      },
      {},
    ],
  ];
  const step = (index: number): void => {
    const next = steps[index];
    if (next === undefined) return done("");
    line.ask(JSON.stringify(next[0]), (result) => {
      const error = result.ok ? jsonObject(result.value)?.["error"] : undefined;
      if (result.ok && error === undefined) return step(index + 1);
      const undo = steps[index - 1]?.[1];
      if (undo !== undefined) line.ask(JSON.stringify(undo), () => {});
      done(result.ok ? wordsOf(error) : result.why);
    }, index === 0 ? file : undefined);
  };
  step(0);
}

function wordsOf(error: unknown): string {
  const desc = isObject(error) ? (error as Record<string, unknown>)["desc"] : undefined;
  return typeof desc === "string" ? desc.slice(0, 512) : "an error without words";
}
