/**
 * Waits for a process of a guest. The guest's RAM is mapped here; its kernel counts forks, and its processes
 * are listed only when that number has changed: 20 reads per second cost a few microseconds each, and affect
 * nobody else. A process gets its name shortly after the fork (exec), so for some time after each change the
 * list is read again.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import type { GuestOs } from "../guest/guest_os.ts";
import type { Client } from "./client.ts";
import type { ClientEvent } from "./client_event.ts";
import type { EventStream } from "./event_stream.ts";
import { GuestView } from "./guest_view.ts";
import type { MemoryElsewhere } from "./memory_view.ts";
import { WAIT_PROCESS_MS, waitQuestion } from "../nats/wire/memory_question.ts";
import type { WaitMatch } from "./wait_condition.ts";

const LOOK_MS = 50;
/** Time for the answer of another host, ms. */
const ANSWER_MS = 10_000;
/** Time after a fork during which the list is read again, ms. */
const EXEC_MS = 2000;
/** Linux keeps this many characters of a process's name. */
const SHORT_NAME = 15;

/** Where to look for the process. */
export interface ProcessWaiting {
  /** The client, which must receive MEMCTX. */
  readonly client: Client;
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** Its name. */
  readonly name: string;
  /** Aborts the wait. */
  readonly signal: AbortSignal;
  /** Sets why there is none now, for the message when time is up; "" when there may be one. */
  readonly onMisfit: (why: string) => void;
}

/**
 * Waits until a process with this name runs.
 *
 * @param wanted its name in the guest's kernel; of a longer name the first 15 characters count
 * @throws {Fault} `no-capability`; `busy` when an earlier stream of this client took the context; the
 *   signal's reason
 */
export async function waitForProcess(waiting: ProcessWaiting, wanted: string): Promise<WaitMatch> {
  const { client, endpoint, signal, onMisfit } = waiting;
  const { elsewhere } = client.memory;
  if (elsewhere !== undefined) return await waitElsewhere(elsewhere, waiting, wanted);
  await using stream = client.events({ kinds: ["MEMCTX", "MEMCTX_INVALIDATED"], endpoints: [endpoint] });
  const end = (): void => stream.end();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    await client.completeRoster();
    if (client.memory.hasContext(endpoint) && stream.buffered === 0) throw taken(waiting);
    if (!client.memory.hasContext(endpoint)) onMisfit("no system was found in the VM's memory");
    for (;;) {
      const { done, value } = await stream.next();
      if (done) {
        throw new Fault("unreachable", "Cannot wait any longer: the connection to the daemon has ended");
      }
      if (value.kindName !== "MEMCTX") continue;
      onMisfit("");
      const match = await inEpoch(waiting, wanted, value, stream);
      if (match !== undefined) return match;
    }
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Has the VM's host wait, which reads the memory there, repeatedly until the process is found. */
async function waitElsewhere(
  ask: MemoryElsewhere,
  { client, endpoint, signal }: ProcessWaiting,
  wanted: string,
): Promise<WaitMatch> {
  await client.completeRoster();
  const over = Promise.withResolvers<never>();
  const end = (): void => over.reject(signal.reason);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    for (;;) {
      const asking = ask(endpoint, waitQuestion(wanted), WAIT_PROCESS_MS + ANSWER_MS);
      const { pid, epoch } = await Promise.race([asking, over.promise]);
      if (typeof pid === "number" && typeof epoch === "number") {
        return { what: "process", process: wanted, pid, epoch };
      }
    }
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Waits within one epoch; undefined when it has ended. */
async function inEpoch(
  { client, signal }: ProcessWaiting,
  wanted: string,
  context: ClientEvent,
  stream: EventStream,
): Promise<WaitMatch | undefined> {
  await using view = GuestView.of(client, context);
  const { guest, memory, epoch } = view;
  if (!guest.found) return undefined;
  const search = new ProcessSearch(guest.os, wanted);
  for (;;) {
    // The stream contains the epoch's end, or the next one's context.
    if (signal.aborted || stream.buffered > 0) return undefined;
    memory.renew();
    const pid = search.look(performance.now());
    if (pid !== undefined && await isStillTrue(view)) return { what: "process", process: wanted, pid, epoch };
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function isStillTrue(view: GuestView): Promise<boolean> {
  try {
    await view.check();
    return true;
  } catch (error) {
    if (error instanceof Fault && error.code === "seam-down") return false;
    throw error;
  }
}

/** Looks for a process by name whenever there may be a new one. */
export class ProcessSearch {
  readonly #os: Pick<GuestOs, "births" | "processes">;
  readonly #name: string;
  #births: number | undefined;
  #untilMs = -Infinity;
  #hasLooked = false;

  /** Searches in one system. */
  constructor(os: Pick<GuestOs, "births" | "processes">, name: string) {
    this.#os = os;
    this.#name = name;
  }

  /**
   * Looks once.
   *
   * @returns the process's pid; undefined while there is none
   */
  look(nowMs: number): number | undefined {
    const births = this.#os.births();
    // The processes of a system without a fork count are listed each time.
    if (!this.#hasLooked || births === undefined || births !== this.#births) this.#untilMs = nowMs + EXEC_MS;
    this.#births = births;
    this.#hasLooked = true;
    if (nowMs > this.#untilMs) return undefined;
    return this.#os.processes().items.find(({ name }) => this.#isWanted(name))?.pid;
  }

  #isWanted(name: string): boolean {
    return name === this.#name ||
      (this.#name.length > SHORT_NAME && name === this.#name.slice(0, SHORT_NAME));
  }
}

function taken({ name }: ProcessWaiting): Fault {
  return new Fault(
    "busy",
    `Cannot wait for a process of ${name}: an earlier stream of this client took its context; connect again`,
  );
}
