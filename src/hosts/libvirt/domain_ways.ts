/**
 * What libvirt opens at a domain beside its monitor: its VNC server by a descriptor, its consoles as streams,
 * its guest's agent by calls.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import { CODE } from "../../base/codes.ts";
import { messageOf } from "../../base/fault.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import type { VmWays, WayHandler } from "../../qemu/monitor/vm_ways.ts";
import { ConsoleStream } from "./console_stream.ts";
import { DomainAgent } from "./domain_agent.ts";
import type { DomainLine } from "./domain_line.ts";
import { type Domain, openGraphics, readXml } from "./libvirt_calls.ts";
import { connectFailure, type LibvirtAddress, refusalOf } from "./libvirt_connection.ts";
import type { RpcClient } from "./rpc_client.ts";

/** Displays of a domain that are looked through. */
const MAX_GRAPHICS = 16;

/** Who is asked. */
export interface WaysHost {
  /** libvirt's address. */
  readonly address: LibvirtAddress;
  /** The loop. */
  readonly loop: LoopPort;
  /** The line to a domain that runs now; undefined when libvirt or it is away. */
  readonly lineOf: (name: string) => DomainLine | undefined;
}

/** Something that ends with its domain. */
export interface DomainEnd {
  /** Whose it is. */
  readonly domain: Domain;
  /** Ends it. */
  close(): void;
}

/** All that is open of all domains. */
export class DomainWays {
  readonly #host: WaysHost;
  readonly #open = new Set<DomainEnd>();

  /** None is open. */
  constructor(host: WaysHost) {
    this.#host = host;
  }

  /** The ways to one domain, by its name. */
  to(name: string): VmWays {
    return {
      openVnc: (done) => this.#openVnc(name, done),
      openConsole: (label, done) => this.#openConsole(name, label, done),
      openAgent: (done) => this.#openAgent(name, done),
    };
  }

  /** Ends what is open of some domains. */
  close(isMeant: (domain: Domain) => boolean): void {
    for (const each of [...this.#open]) {
      if (!isMeant(each.domain)) continue;
      this.#open.delete(each);
      each.close();
    }
  }

  #openVnc(name: string, done: WayHandler): void {
    this.#withLine(name, done, ({ domain }, client) => {
      readXml(client, domain, (xml) => {
        if (!xml.ok) return done({ ok: false, code: CODE.refused, why: refusalOf(xml) });
        const index = vncIndex(xml.value);
        if (index < 0) {
          return done({
            ok: false,
            code: CODE["not-supported"],
            why: "the domain has no VNC display; add <graphics type='vnc'/> to it",
          });
        }
        openGraphics(client, domain, index, (opened) => {
          if (opened.ok) done({ ok: true, socket: opened.value });
          else done({ ok: false, code: CODE.refused, why: refusalOf(opened) });
        });
      });
    });
  }

  #openConsole(name: string, label: string, done: WayHandler): void {
    const line = this.#lineOf(name, done);
    if (line === undefined) return;
    const { address, loop } = this.#host;
    try {
      this.#open.add(
        new ConsoleStream(address, loop, {
          domain: line.domain,
          // A character device is called after libvirt's own name of the device.
          alias: label.replace(/^char/, ""),
          done,
          onEnd: (console) => this.#open.delete(console),
        }),
      );
    } catch (error) {
      done({ ok: false, code: CODE["seam-down"], why: connectFailure(error) });
    }
  }

  #openAgent(name: string, done: WayHandler): void {
    this.#withLine(name, done, ({ domain }, client) => {
      try {
        const { agent, socket } = DomainAgent.open(
          this.#host.loop,
          client,
          domain,
          (ended) => this.#open.delete(ended),
        );
        this.#open.add(agent);
        done({ ok: true, socket });
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        done({ ok: false, code: CODE.busy, why: messageOf(error) });
      }
    });
  }

  #withLine(
    name: string,
    done: WayHandler,
    then: (line: DomainLine, client: RpcClient) => void,
  ): void {
    const line = this.#lineOf(name, done);
    line?.use((client, why) => {
      if (client === undefined) done({ ok: false, code: CODE["seam-down"], why });
      else then(line, client);
    });
  }

  /** The line to a domain; without one `done` has been told. */
  #lineOf(name: string, done: WayHandler): DomainLine | undefined {
    try {
      const line = this.#host.lineOf(name);
      if (line === undefined) done(away(name));
      return line;
    } catch (error) {
      done({ ok: false, code: CODE["seam-down"], why: connectFailure(error) });
      return undefined;
    }
  }
}

/** Which of a domain's displays is a VNC server; -1 when none is. */
export function vncIndex(xml: string): number {
  let index = 0;
  for (const found of xml.matchAll(/<graphics type=['"](\w{1,32})['"]/g)) {
    if (found[1] === "vnc") return index;
    if (++index === MAX_GRAPHICS) break;
  }
  return -1;
}

function away(name: string): Parameters<WayHandler>[0] {
  return { ok: false, code: CODE["seam-down"], why: `no libvirt domain runs as ${name}, or libvirt is away` };
}
