/**
 * The VMs of a soak: QEMUs that start, stand still, run on and are killed, each with a trigger file that
 * comes and goes by itself.
 * @module
 */
import type { DaemonProcess } from "../fixtures/daemon_process.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Qemu, startFirmware } from "../guest/qemu.ts";

/** One place for a VM. */
export class SoakVm implements AsyncDisposable {
  readonly name: string;
  readonly #daemon: DaemonProcess;
  readonly #qmp: string;
  readonly #vmid: number;
  #qemu: Qemu | undefined;
  #starting = false;
  #triggered = false;

  constructor(daemon: DaemonProcess, index: number) {
    this.#daemon = daemon;
    this.name = `vm${index}`;
    this.#vmid = index + 10;
    this.#qmp = `${daemon.folder}/${this.name}.qmp`;
  }

  /** Does one thing at random to the VM or its trigger; says what. */
  async act(random: SeededRandom): Promise<string> {
    if (this.#starting) return "";
    if (random.oneIn(2)) return `${this.name} ${this.#actOnTrigger(random)}`;
    return `${this.name} ${await this.#actOnQemu(random)}`;
  }

  /** Takes the trigger away and ends the VM. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#triggered) this.#daemon.take(this.name);
    this.#triggered = false;
    await this.#qemu?.[Symbol.asyncDispose]();
    this.#qemu = undefined;
  }

  #actOnTrigger(random: SeededRandom): string {
    if (this.#triggered && random.oneIn(2)) {
      this.#daemon.take(this.name);
      this.#triggered = false;
      return "detach";
    }
    const memory = random.oneIn(3) ? "none" : "auto";
    const input = random.oneIn(4) ? "none" : "qmp";
    const table = `name = "${this.name}"\nvmid = ${this.#vmid}\nqmp = "${this.#qmp}"\n`;
    this.#daemon.drop(this.name, `${table}memory = "${memory}"\ninput = "${input}"\n`);
    this.#triggered = true;
    return `attach memory=${memory} input=${input}`;
  }

  async #actOnQemu(random: SeededRandom): Promise<string> {
    if (this.#qemu === undefined) {
      this.#starting = true;
      this.#qemu = await startFirmware({
        ramMiB: 64,
        memory: random.oneIn(3) ? "none" : "memfd",
        extraArgs: ["-qmp", `unix:${this.#qmp},server=on,wait=off`],
      });
      this.#starting = false;
      return "start";
    }
    const what = random.below(5);
    if (what === 0) {
      const qemu = this.#qemu;
      this.#qemu = undefined;
      await qemu[Symbol.asyncDispose]();
      return "kill";
    }
    if (what === 1) {
      this.#qemu.kill("SIGSTOP");
      return "freeze";
    }
    this.#qemu.kill("SIGCONT");
    return "thaw";
  }
}
