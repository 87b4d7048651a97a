/**
 * Waiting for what shows on a VM's screen, for a process in its guest, for a state of the VM, or for the VM
 * to be there. Moved by events: frames as they come, the VM's events, the guest's contexts. Nothing tells of
 * a guest's processes: there the kernel's own count of forks is looked at, in memory that is mapped here.
 *
 * What was there before a reset does not count: see `wait_screen.ts` for pictures; a process counts only in
 * the epoch that it was found in, which still holds when it is told.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { CAP } from "../event/capability.ts";
import { VM_DETAIL_NAMES, VM_STATE_NAMES, VM_STATE_NUMBER } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { Client } from "./client.ts";
import type { EventStream } from "./event_stream.ts";
import { patientFrames } from "./patient_frames.ts";
import type { EndpointRef } from "./roster_view.ts";
import {
  checkCondition,
  describeCondition,
  MAX_WAIT_MS,
  type WaitCondition,
  type WaitMatch,
  type WaitResult,
} from "./wait_condition.ts";
import { waitForProcess } from "./wait_process.ts";
import { type ScreenCondition, ScreenWait } from "./wait_screen.ts";
import { TextSource } from "./wait_text.ts";

/** How to wait. */
export interface WaitOptions {
  /** How long at most, ms; for ever unless told. */
  readonly timeoutMs?: number;
  /**
   * Since when that counts, and `afterMs`: `performance.now()`, by whoever began earlier. Now unless told.
   */
  readonly sinceMs?: number;
  /** Gives up when it is aborted. */
  readonly signal?: AbortSignal;
  /** The head that is looked at; 0 unless told. */
  readonly head?: number;
  /** What is on the screen at first does not count: it has to be gone once. False unless told. */
  readonly fresh?: boolean;
  /** Told once when there is no such endpoint, and one is waited for: who there is. */
  readonly onAbsent?: (text: string) => void;
  /**
   * Told, each time that it is something new, why nothing can match now: the screen's size, no known system.
   */
  readonly onMisfit?: (text: string) => void;
}

/** The VM's state is known first; for so long its memory's seam may take to come up. */
const SETTLE_MS = 2000;
/** Frames per second that are looked at. */
const RATE = 20;

/** One wait under way. */
interface Waiting {
  readonly client: Client;
  readonly endpoint: EndpointId;
  readonly name: string;
  readonly signal: AbortSignal;
  readonly head: number;
  readonly fresh: boolean;
  /** Told why it cannot be there now, for when time is up; "" when it can. */
  readonly onMisfit: (why: string) => void;
}

/**
 * Waits for something of a VM.
 *
 * The client needs the sources of what it waits for in its subscription: FRAME and VMHOST for the screen,
 * VMHOST for states, MEMCTX for processes and `ready`. A process is waited for by a client that has not given
 * the VM's context to an earlier stream. A VM that is not there yet is waited for by `ready` alone: a name
 * with a slip in it would be waited for as well.
 *
 * @example
 * ```ts
 * const found = await waitFor(client, "web", { text: /login:/ }, { timeoutMs: 60_000 });
 * console.log(found.afterMs, found.what === "text" && found.row);
 * ```
 *
 * @throws {Fault} `timed-out`, `interrupted`, `bad-argument`; `no-endpoint`; what the screen or the memory is
 *   refused with
 */
export async function waitFor(
  client: Client,
  ref: EndpointRef,
  condition: WaitCondition,
  options: WaitOptions = {},
): Promise<WaitResult> {
  checkCondition(condition);
  const { timeoutMs = Infinity, head = 0, fresh = false } = options;
  const beganMs = options.sinceMs ?? performance.now();
  // Who says a number has the roster, which knows the name.
  const said = typeof ref === "number" ? client.roster.nameOf(ref as EndpointId) : ref;
  const what = `wait for ${describeCondition(condition, printable(said))}`;
  const over = new AbortController();
  let absent = "";
  const late = (): void => {
    over.abort(new Fault("timed-out", `Cannot ${what}: not within ${timeoutMs} ms${absent}`));
  };
  const noteWhy = (why: string): void => {
    absent = why === "" ? "" : `, in which ${why}`;
  };
  let misfit = "";
  const onMisfit = (why: string): void => {
    noteWhy(why);
    if (why !== "" && why !== misfit) options.onMisfit?.(why);
    misfit = why;
  };
  const onAbsent = (text: string): void => {
    noteWhy(text);
    if (text !== "") options.onAbsent?.(text);
  };
  const interrupt = (): void => over.abort(new Fault("interrupted", `Cannot ${what}: interrupted`));
  const leftMs = timeoutMs - (performance.now() - beganMs);
  const timer = timeoutMs <= MAX_WAIT_MS ? setTimeout(late, Math.max(1, leftMs)) : undefined;
  options.signal?.addEventListener("abort", interrupt, { once: true });
  if (options.signal?.aborted === true) interrupt();
  try {
    const endpoint = await endpointFor({ client, ref, condition, signal: over.signal, noteWhy, onAbsent });
    const name = client.roster.nameOf(endpoint);
    const waiting = { client, endpoint, name, signal: over.signal, head, fresh, onMisfit };
    const match = await begin(waiting, condition);
    return { ...match, endpoint, name, afterMs: Math.round(performance.now() - beganMs) };
  } catch (error) {
    // Whatever ended because time was up ended for that.
    if (over.signal.aborted) throw over.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", interrupt);
    over.abort();
  }
}

/** The endpoint's number; for `ready` once there is such an endpoint. */
async function endpointFor({ client, ref, condition, signal, noteWhy, onAbsent }: {
  readonly client: Client;
  readonly ref: EndpointRef;
  readonly condition: WaitCondition;
  readonly signal: AbortSignal;
  readonly noteWhy: (why: string) => void;
  readonly onAbsent: (text: string) => void;
}): Promise<EndpointId> {
  if (!("ready" in condition)) return await client.endpoint(ref);
  await using stream = client.events({ kinds: ["ROSTER"] });
  using _end = endWith(stream, signal);
  noteWhy("the daemon did not tell which VMs it has");
  await client.completeRoster();
  let found = client.roster.find(ref);
  if (found === undefined) onAbsent(client.roster.absent(ref));
  while (found === undefined) {
    const { value: event, done } = await stream.next();
    if (done === true) throw ended();
    event[Symbol.dispose]();
    found = client.roster.find(ref);
  }
  onAbsent("");
  return found;
}

function begin(waiting: Waiting, condition: WaitCondition): Promise<WaitMatch> {
  if ("state" in condition) return waitForState(waiting, condition.state);
  if ("ready" in condition) return waitUntilReady(waiting);
  if ("process" in condition) return waitForProcess(waiting, condition.process);
  return waitForScreen(waiting, condition);
}

/** Ends a stream when the wait is over; disposing of the result calls that off. */
function endWith(stream: EventStream, signal: AbortSignal): Disposable {
  const end = (): void => stream.end();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", end) };
}

async function waitForState({ client, endpoint, signal }: Waiting, wanted: string): Promise<WaitMatch> {
  await using stream = client.events({ kinds: ["VM_LIFECYCLE", "SEAM_UP"], endpoints: [endpoint] });
  using _end = endWith(stream, signal);
  const ask = async (): Promise<WaitMatch | undefined> => {
    try {
      const { state, detail } = await client.vmState(endpoint, { signal });
      return state === wanted ? { what: "state", state, detail } : undefined;
    } catch (error) {
      // A monitor that is being connected to, or was lost, comes back: it is asked again when it is up.
      if (error instanceof Fault && error.code === "seam-down") return undefined;
      throw error;
    }
  };
  let match = await ask();
  if (match !== undefined) return match;
  for await (const event of stream) {
    if (event.kind === KIND.SEAM_UP && event.source === SOURCE.VMHOST) match = await ask();
    if (match !== undefined) return match;
    const vm = event.as("VM_LIFECYCLE");
    if (vm === undefined || VM_STATE_NAMES[vm.state] !== wanted) continue;
    return { what: "state", state: wanted, detail: VM_DETAIL_NAMES[vm.detail] ?? `detail-${vm.detail}` };
  }
  throw ended();
}

async function waitUntilReady({ client, endpoint, signal }: Waiting): Promise<WaitMatch> {
  await using stream = client.events({ endpoints: [endpoint], sources: ["CORE", "MEMCTX"] });
  using _end = endWith(stream, signal);
  await client.completeRoster();
  const maySee = (client.grant.caps & CAP.MEMCTX) !== 0;
  let isSettled = false;
  let settling: ReturnType<typeof setTimeout> | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<WaitMatch>();
  const look = (): void => {
    const entry = client.roster.get(endpoint);
    if (entry?.state !== "up") return;
    settling ??= setTimeout(() => {
      isSettled = true;
      look();
    }, SETTLE_MS);
    const hasContext = client.memory.hasContext(endpoint);
    const hasSeam = entry.seams.includes("memctx");
    // Without a context it is still looked for, unless the daemon has said why there is none.
    const isOver = client.memory.trouble(endpoint) !== undefined || (isSettled && !hasSeam);
    if (hasContext || isOver || !maySee) resolve({ what: "ready", seams: entry.seams, hasContext });
  };
  const watching = (async () => {
    look();
    for await (const _event of stream) look();
    throw ended();
  })().catch(reject);
  try {
    return await promise;
  } finally {
    clearTimeout(settling);
    stream.end();
    await watching;
  }
}

async function waitForScreen(waiting: Waiting, condition: ScreenCondition): Promise<WaitMatch> {
  const { client, endpoint, head, signal } = waiting;
  const wait = new ScreenWait(condition, waiting.fresh);
  const { promise, resolve, reject } = Promise.withResolvers<WaitMatch>();
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const text = new TextSource(client, { endpoint, head, signal: both });
  let still: ReturnType<typeof setTimeout> | undefined;
  await using vm = client.events({ kinds: ["VM_LIFECYCLE"], endpoints: [endpoint] });
  using _end = endWith(vm, both);
  const resets = async (): Promise<void> => {
    for await (const event of vm) {
      if (event.as("VM_LIFECYCLE")?.state === VM_STATE_NUMBER.RESET) wait.reset();
    }
  };
  const frames = async (): Promise<void> => {
    for await (const frame of patientFrames(client, endpoint, { head, perSecond: RATE, signal: both })) {
      const picture = frame.picture();
      const { frameId } = frame;
      const seen = { frameId, picture, text: wait.needsText ? await text.read(picture) : undefined };
      const result = wait.see(seen);
      if (typeof result === "object") return resolve(result);
      const { misfit } = wait;
      waiting.onMisfit(misfit);
      if (misfit !== "") {
        // A part that is not there does not stand still.
        clearTimeout(still);
        still = undefined;
        continue;
      }
      if (wait.stillMs === undefined || (result === "same" && still !== undefined)) continue;
      clearTimeout(still);
      still = setTimeout(() => resolve(wait.stoodStill()), wait.stillMs);
    }
    throw ended();
  };
  const running = [resets(), frames()].map((one) => one.catch(reject));
  try {
    return await promise;
  } finally {
    clearTimeout(still);
    stop.abort();
    await Promise.all(running);
  }
}

function ended(): Fault {
  return new Fault("unreachable", "Cannot wait any longer: the connection to the daemon has ended");
}
