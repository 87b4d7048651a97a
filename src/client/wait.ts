/**
 * Waits for something on a VM's screen, for a process in its guest, for a state of the VM, or for the VM to
 * be available. It is driven by events: frames, the VM's events, the guest's contexts. There is no event for
 * a guest's processes: for those, the kernel's count of forks is polled in mapped memory.
 *
 * What was there before a reset does not count: for pictures see `wait_screen.ts`; a process counts only in
 * the epoch in which it was found, which must still be valid when it is reported.
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

/** Options of a wait. */
export interface WaitOptions {
  /** Time limit, ms; by default none. */
  readonly timeoutMs?: number;
  /**
   * Start of the time limit and of `afterMs`, by `performance.now()`, if the wait began earlier. By default
   * now.
   */
  readonly sinceMs?: number;
  /** Aborts the wait. */
  readonly signal?: AbortSignal;
  /** The head; 0 by default. */
  readonly head?: number;
  /** What is on the screen at first does not count until it has been gone once. False by default. */
  readonly fresh?: boolean;
  /** Called once, with the existing endpoints, if there is no such endpoint and one is waited for. */
  readonly onAbsent?: (text: string) => void;
  /** Called with each new reason why nothing can match now: the screen's size, no known system. */
  readonly onMisfit?: (text: string) => void;
}

/** The VM's state is known first; its memory seam may take this much longer to come up, ms. */
const SETTLE_MS = 2000;
/** Frames per second that are examined. */
const RATE = 20;

/** A wait in progress. */
interface Waiting {
  readonly client: Client;
  readonly endpoint: EndpointId;
  readonly name: string;
  readonly signal: AbortSignal;
  readonly head: number;
  readonly fresh: boolean;
  /** Sets why a match is impossible now, for the message when time is up; "" when it is possible. */
  readonly onMisfit: (why: string) => void;
}

/**
 * Waits for something in a VM.
 *
 * The client's subscription must have the sources of the condition: FRAME and VMHOST for the screen, VMHOST
 * for states, MEMCTX for processes and `ready`. For a process, no earlier stream of the client may have taken
 * the VM's context. Only `ready` waits for a VM that does not exist yet: with the other conditions, a
 * misspelt name would be waited for as well.
 *
 * @example
 * ```ts
 * const found = await waitFor(client, "web", { text: /login:/ }, { timeoutMs: 60_000 });
 * console.log(found.afterMs, found.what === "text" && found.row);
 * ```
 *
 * @throws {Fault} `timed-out`, `interrupted`, `bad-argument`; `no-endpoint`; refusals of the screen or the
 *   memory
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
  // If a number was given, the roster has the name.
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
    // Whatever failed because time was up is reported as a timeout.
    if (over.signal.aborted) throw over.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", interrupt);
    over.abort();
  }
}

/** The endpoint's number; for `ready`, once there is such an endpoint. */
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

/** Ends a stream when the wait is over; disposing of the result undoes that. */
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
      // A monitor that is being connected, or was lost, may return: the query is repeated when it is up.
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
    // Without a context the system is still being looked for, unless the daemon has said why there is none.
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
        // A part outside of the screen cannot be still.
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
