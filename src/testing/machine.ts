/**
 * A virtual machine as a test uses it: look, type, click, wait, assert. Each step waits by itself until what
 * it needs is there, within one limit of time; one that fails leaves the screen as a picture and as text, and
 * an error that shows it.
 *
 * The keyboard and mouse are taken with the first key and given back when the machine is disposed of: keys
 * that are held down are released in the guest by then, however the test ends.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault, messageOf } from "../base/fault.ts";
import type { ScreenText } from "../display/text/screen_text.ts";
import type { Client } from "../client/client.ts";
import type { VmOperation } from "../client/vm_control.ts";
import { AgentControl, type ExecOptions, type ExecResult } from "../client/agent_control.ts";
import { GuestView } from "../client/guest_view.ts";
import { typingOn } from "../client/input_control.ts";
import type { ButtonName, Point } from "../client/mouse_frames.ts";
import type { EndpointRef } from "../client/roster_view.ts";
import { waitFor } from "../client/wait.ts";
import {
  describeCondition,
  type WaitCondition,
  type WaitMatch,
  type WaitResult,
} from "../client/wait_condition.ts";
import type { Process } from "../guest/process.ts";
import type { Picture } from "../vgpu/picture.ts";
import {
  clickPointOf,
  type ClickTarget,
  describeTarget,
  middleOf,
  pointAt,
  type ScreenSize,
} from "./click_target.ts";
import { withEvidence } from "./evidence.ts";
import { connectFor } from "./machine_connection.ts";
import { MachineConsole } from "./machine_console.ts";
import { InputLease, type LeaseTaking, takeLease } from "./machine_lease.ts";
import { type MachineOptions, type StepOptions, TimeBudget } from "./machine_options.ts";
import { MachineTrace } from "./machine_trace.ts";
import { MachineScreen, type ScreenOwner } from "./machine_screen.ts";
import type { Needle } from "./needle_file.ts";
import type { NeedleMatch } from "./needle_match.ts";
import { waitForNeedle } from "./needle_wait.ts";

const DEFAULT_ARTIFACTS = "vmsig-artifacts";
/** Operations of a VM that need no lease. */
const FREE_OPERATIONS: ReadonlySet<VmOperation> = new Set(["stop", "cont", "wakeup"]);

/** A machine; made by {@linkcode machine}. */
export class Machine implements AsyncDisposable, ScreenOwner {
  /** The connection to the daemon, for what is not here. */
  readonly client: Client;
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** Its name. */
  readonly name: string;
  /** Its screen. */
  readonly screen: MachineScreen;
  /** Its serial console. */
  readonly console: MachineConsole;
  readonly #options: MachineOptions;
  readonly #budget: TimeBudget;
  readonly #input: InputLease;
  readonly #trace: MachineTrace | undefined;

  private constructor(
    client: Client,
    endpoint: EndpointId,
    options: MachineOptions,
    budget: TimeBudget,
    trace: MachineTrace | undefined,
  ) {
    this.#trace = trace;
    this.client = client;
    this.endpoint = endpoint;
    this.name = client.roster.nameOf(endpoint);
    this.#options = options;
    this.#budget = budget;
    this.#input = new InputLease(client, endpoint);
    this.screen = new MachineScreen(this);
    const { consolePort: port = 0, consoleBacklog: backlog = false } = options;
    this.console = new MachineConsole(
      this,
      { port, backlog },
      budget,
      (what, step) => this.#attempt(what, step),
    );
  }

  /**
   * Takes a machine; see {@linkcode machine}.
   *
   * @throws {Fault} `unreachable`, `not-admitted`, `no-endpoint`; `bad-argument` for an unknown layout
   */
  static async take(ref: EndpointRef, options: MachineOptions = {}): Promise<Machine> {
    const budget = new TimeBudget(String(ref), options);
    // A layout that there is not is told before anything is done.
    (await typingOn(options.layout ?? "us"))("");
    const client = await connectFor(options, ["CORE", "FRAME", "VMHOST", "INPUT", "CONSOLE", "AGENT"]);
    try {
      const endpoint = await client.endpoint(ref);
      const { artifacts: folder = DEFAULT_ARTIFACTS } = options;
      const trace = await MachineTrace.start({
        when: options.trace,
        folder,
        endpoint,
        name: client.roster.nameOf(endpoint),
        join: (sub) => connectFor(options, sub),
      });
      return new Machine(client, endpoint, options, budget, trace);
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Waits until the VM's seams are up and its system was found in its memory. */
  async ready(options: StepOptions = {}): Promise<void> {
    await this.#waitApart({ ready: true }, options);
  }

  /** Waits until a process of this name runs in the guest; tells its pid. */
  async process(name: string, options: StepOptions = {}): Promise<number> {
    const found = await this.#waitApart({ process: name }, options);
    return found.what === "process" ? found.pid : -1;
  }

  /** The guest's processes as of now. */
  async processes(options: StepOptions = {}): Promise<readonly Process[]> {
    return await this.#attempt(() => "list the processes", async () => {
      const timeoutMs = this.#budget.take(options.timeoutMs);
      await using client = await connectFor(this.#options, ["CORE", "MEMCTX"]);
      await using view = await GuestView.open(client, this.endpoint, { timeoutMs });
      if (!view.guest.found) {
        throw new Fault(
          "not-supported",
          `Cannot list the processes of ${this.name}: no system is known there`,
        );
      }
      const { items } = view.guest.os.processes();
      await view.check();
      return items;
    });
  }

  /** Waits until the VM is in a state: "running", "paused", "shutdown", … */
  async state(state: string, options: StepOptions = {}): Promise<void> {
    await this.wait({ state }, options);
  }

  /** Waits for anything that `vmsig wait` waits for. */
  async wait(condition: WaitCondition, options: StepOptions = {}): Promise<WaitResult> {
    const what = () => `wait for ${describeCondition(condition, this.name)}`;
    return await this.#attempt(
      what,
      () => waitFor(this.client, this.endpoint, condition, this.#waitOptions(options)),
    );
  }

  /** Types text, on the layout of the machine's options. */
  async type(text: string, options: StepOptions = {}): Promise<void> {
    await this.#attempt(() => `type ${JSON.stringify(text)}`, async () => {
      // What cannot be typed is told before the lease is taken.
      const frames = (await typingOn(this.#options.layout ?? "us"))(text);
      const input = await this.#input.use(this.#taking(options));
      await input.frames(frames);
    });
  }

  /** Presses a chord, "ctrl-alt-delete", for as long as is told. */
  async key(chord: string, options: StepOptions & { readonly holdMs?: number } = {}): Promise<void> {
    await this.#attempt(() => `press ${chord}`, async () => {
      const input = await this.#input.use(this.#taking(options));
      await input.key(chord, options.holdMs ?? 0);
    });
  }

  /** Keeps a chord down while `during` runs. */
  async hold(chord: string, during: () => Promise<void>, options: StepOptions = {}): Promise<void> {
    await this.#attempt(() => `hold ${chord}`, async () => {
      const input = await this.#input.use(this.#taking(options));
      await input.hold(chord, during);
    });
  }

  /**
   * Clicks on a text or a picture once it is there, or on a pixel.
   *
   * @param options `button`: left unless told; `count`: 2 for a double click
   */
  async click(
    target: ClickTarget,
    options: StepOptions & { readonly button?: ButtonName; readonly count?: number } = {},
  ): Promise<void> {
    const { button = "left", count = 1 } = options;
    await this.#attempt(() => `click ${describeTarget(target)}`, async () => {
      const at = await this.#find(target, options);
      const input = await this.#input.use(this.#taking(options));
      await input.clickAt(at, button, count);
    });
  }

  /** Moves the pointer there. */
  async move(target: ClickTarget, options: StepOptions = {}): Promise<void> {
    await this.#attempt(() => `move to ${describeTarget(target)}`, async () => {
      const { x, y } = await this.#find(target, options);
      await (await this.#input.use(this.#taking(options))).move(x, y);
    });
  }

  /** Drags from one place to another with the left button. */
  async drag(from: ClickTarget, to: ClickTarget, options: StepOptions = {}): Promise<void> {
    const what = () => `drag from ${describeTarget(from)} to ${describeTarget(to)}`;
    await this.#attempt(what, async () => {
      const [begin, end] = [await this.#find(from, options), await this.#find(to, options)];
      await (await this.#input.use(this.#taking(options))).drag(begin, end);
    });
  }

  /** Turns the wheel: notches up, or down when negative. */
  async scroll(notches: number, options: StepOptions = {}): Promise<void> {
    await this.#attempt(
      () => `scroll ${notches}`,
      async () => await (await this.#input.use(this.#taking(options))).scroll(notches),
    );
  }

  /** Gives keyboard and mouse back before the test ends; the next key takes them again. */
  async release(): Promise<void> {
    await this.#input[Symbol.asyncDispose]();
  }

  /** Tells the VM to stop, cont, reset, powerdown, wakeup or quit; the lease is taken where it is needed. */
  async power(operation: VmOperation, options: StepOptions = {}): Promise<void> {
    await this.#attempt(() => operation, async () => {
      const taking = this.#taking(options);
      const { timeoutMs } = taking;
      if (FREE_OPERATIONS.has(operation)) {
        await this.client.vm(this.endpoint, operation, { timeoutMs });
        return;
      }
      await using lease = await takeLease(this.client, this.endpoint, "power", taking);
      await this.client.vm(this.endpoint, operation, { timeoutMs, signal: lease.signal });
    });
  }

  /** Runs a program in the guest by its agent, and awaits its end. */
  async exec(path: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    return await this.#attempt(() => `run ${[path, ...args].join(" ")}`, async () => {
      const timeoutMs = this.#budget.take(options.timeoutMs);
      await using agent = await AgentControl.of(this.client, this.endpoint);
      return await agent.exec(path, args, { ...options, timeoutMs });
    });
  }

  /**
   * A step of the test's own, by name: a trace shows it, and when it fails, for an assertion too, the screen
   * and the trace are kept.
   *
   * @example
   * ```ts
   * await vm.step("the list is sorted", async () => assertEquals(await names(vm), expected));
   * ```
   */
  async step<T>(what: string, run: () => Promise<T>): Promise<T> {
    return await this.#attempt(() => what, run);
  }

  /** See {@linkcode MachineScreen.needle}. */
  async needle(needles: readonly Needle[], options: StepOptions = {}): Promise<NeedleMatch> {
    return await this.#attempt(
      () => "wait for a needle",
      () => waitForNeedle(this, needles, this.#waitOptions(options)),
    );
  }

  /** See {@linkcode MachineScreen.picture}. */
  async picture(options: StepOptions = {}): Promise<Picture> {
    return await this.#attempt(
      undefined,
      async () => (await this.client.frame(this.endpoint, this.#look(options))).picture(),
    );
  }

  /** See {@linkcode MachineScreen.lines}. */
  async screenText(options: StepOptions = {}): Promise<ScreenText> {
    return await this.#attempt(undefined, () => this.client.screenText(this.endpoint, this.#look(options)));
  }

  /** Called by a scratch VM that did not start: a trace of it would show nothing. */
  forgetTrace(): void {
    this.#trace?.forget();
  }

  /** Disposes of the machine: leases go back, keys that are held down are released. The VM stays as it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.console[Symbol.asyncDispose]();
      await this.#input[Symbol.asyncDispose]();
    } finally {
      await this.#trace?.[Symbol.asyncDispose]();
      await this.client.close();
    }
  }

  /**
   * A step; when it fails, the error shows the screen.
   *
   * @param what what a trace says of it; undefined for a look that is part of another step
   */
  async #attempt<T>(what: (() => string) | undefined, step: () => Promise<T>): Promise<T> {
    const trace = this.#trace?.recorder;
    const action = what === undefined ? undefined : trace?.begin(what());
    try {
      const done = await step();
      if (action !== undefined) trace?.end(action);
      return done;
    } catch (error) {
      if (action !== undefined) trace?.end(action, messageOf(error));
      this.#trace?.fail();
      const { artifacts: folder = DEFAULT_ARTIFACTS, head = 0 } = this.#options;
      const target = { client: this.client, endpoint: this.endpoint, head, folder, trace: this.#trace?.path };
      throw await withEvidence(target, error);
    }
  }

  /** Waits on a connection of its own: a memory context goes to the first stream of a client alone. */
  async #waitApart(condition: WaitCondition, options: StepOptions): Promise<WaitResult> {
    const what = () => `wait for ${describeCondition(condition, this.name)}`;
    return await this.#attempt(what, async () => {
      const wait = this.#waitOptions(options);
      await using client = await connectFor(this.#options, ["CORE", "VMHOST", "MEMCTX"]);
      return await waitFor(client, this.endpoint, condition, wait);
    });
  }

  /** Where a target is, in the pointer's coordinates. */
  async #find(target: ClickTarget, options: StepOptions): Promise<Point> {
    if ("needle" in target) {
      const { x, y } = clickPointOf(await this.screen.needle(target.needle, options));
      return pointAt(Math.floor(x), Math.floor(y), await this.#size(options));
    }
    if ("x" in target) return pointAt(target.x, target.y, await this.#size(options));
    const match = await this.#seek(target, options);
    const size = await this.#size(options, "text" in target);
    const { x, y } = middleOf(match, size);
    return pointAt(x, y, size);
  }

  async #seek(
    target: Extract<ClickTarget, { text: unknown } | { image: unknown }>,
    options: StepOptions,
  ): Promise<WaitMatch> {
    if ("text" in target) return await this.screen.text(target.text, options);
    const { image, ...where } = target;
    return await this.screen.image(image, { ...options, ...where });
  }

  async #size(options: StepOptions, hasCells = false): Promise<ScreenSize> {
    const { width, height } = await this.client.frame(this.endpoint, this.#look(options));
    if (!hasCells) return { width, height, columns: 0, rows: 0 };
    const { columns, rows } = await this.client.screenText(this.endpoint, this.#look(options));
    return { width, height, columns, rows };
  }

  #look(options: StepOptions): { readonly head: number; readonly timeoutMs: number } {
    return { head: this.#options.head ?? 0, timeoutMs: this.#budget.take(options.timeoutMs) };
  }

  #waitOptions({ timeoutMs, fresh = false }: StepOptions) {
    return { head: this.#options.head ?? 0, fresh, timeoutMs: this.#budget.take(timeoutMs) };
  }

  #taking({ timeoutMs }: StepOptions): LeaseTaking {
    return { timeoutMs: this.#budget.take(timeoutMs), waits: this.#options.whenOwned === "wait" };
  }
}

/**
 * Takes a machine that the daemon has on its bus.
 *
 * @example
 * ```ts
 * await using vm = await machine("web");
 * await vm.screen.text(/login:/);
 * await vm.type("root\n");
 * await vm.process("sshd");
 * ```
 *
 * @param ref its name or number
 * @throws {Fault} `unreachable` without a daemon, `no-endpoint` without such a VM, `not-admitted`
 */
export function machine(ref: EndpointRef, options: MachineOptions = {}): Promise<Machine> {
  return Machine.take(ref, options);
}
