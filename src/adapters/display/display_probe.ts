/**
 * Asks a VM's monitor for its displays, once each time it comes up: a handful of questions without an effect
 * on the VM.
 * @module
 */
import { SECOND } from "../../base/clock.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import {
  consolePaths,
  type DisplayFacts,
  type DisplayHead,
  hasDbus,
  hasVnc,
  headOf,
} from "./display_facts.ts";

const ANSWER_NS = 10 * SECOND;

/**
 * Asks.
 *
 * @param link the monitor, up
 * @param done told once: what was found, undefined when the monitor was lost meanwhile
 */
export function probeDisplays(link: QmpLink, done: (facts: DisplayFacts | undefined) => void): void {
  const { generation } = link;
  const ask = (command: string, args: object | undefined, then: (value: unknown) => void): void =>
    link.execute(
      command,
      args,
      (reply) => {
        if (link.generation !== generation || !isAnswer(reply)) return done(undefined);
        // An error means that there is no such thing: a VM without display has no /backend.
        then(reply.outcome === "done" ? reply.value : undefined);
      },
      { timeoutNs: ANSWER_NS },
    );
  const heads: DisplayHead[] = [];
  const askServers = (): void =>
    ask("query-vnc", undefined, (vnc) => {
      ask("query-display-options", undefined, (options) => {
        done({ heads, hasVnc: hasVnc(vnc), hasDbus: hasDbus(options) });
      });
    });
  const askConsole = (paths: readonly string[]): void => {
    const path = paths[0];
    if (path === undefined || heads.length === MAX_HEADS) return askServers();
    const get = (property: string, then: (value: unknown) => void) =>
      ask("qom-get", { path, property }, then);
    get("device", (device) =>
      get("head", (head) => {
        const found = headOf(device, head);
        if (found !== undefined) heads.push(found);
        askConsole(paths.slice(1));
      }));
  };
  ask("qom-list", { path: "/backend" }, (value) => askConsole(consolePaths(value)));
}

function isAnswer(reply: QmpReply): boolean {
  return reply.outcome === "done" || reply.outcome === "error";
}
