/**
 * Many guests fast: one is booted, and the others begin where it stands, from its saved state. A boot under
 * TCG takes four seconds of a processor and more beside others, a copy a third of one: sixty-four boots took
 * longer than everything that was measured on them.
 * @module
 */
import { until } from "../fixtures/daemon_process.ts";
import { buildGuest, INPUT_MODULES } from "../guest/build.ts";
import { type MachineOptions, type Qemu, startFirmware, startGuest } from "../guest/qemu.ts";
import { TestQmp } from "../guest/test_qmp.ts";

const LOAD_MS = 60_000;

/** The state of a guest that was booted, which others begin with; the file goes with its scope. */
export class GuestCopies implements AsyncDisposable {
  readonly #options: MachineOptions;
  readonly #kernel: readonly string[];
  readonly #path: string;

  private constructor(options: MachineOptions, kernel: readonly string[], path: string) {
    this.#options = options;
    this.#kernel = kernel;
    this.#path = path;
  }

  /**
   * Boots a guest with virtio input, and saves its state; it goes on.
   *
   * @throws {GuestError} when it does not come up
   */
  static async boot(
    name: string,
    ramMiB: number,
  ): Promise<{ readonly first: Qemu; readonly copies: GuestCopies }> {
    const options: MachineOptions = { ramMiB, devices: ["virtio-input", "no-vga"] };
    const image = await buildGuest({ modules: INPUT_MODULES });
    const path = await Deno.makeTempFile({ prefix: "vmsig-bench-guest-" });
    const kernel = ["-kernel", image.kernelPath, "-initrd", image.initrdPath];
    await using copies = new AsyncDisposableStack();
    const state = copies.use(new GuestCopies(options, kernel, path));
    const first = copies.use(await startGuest({ ...options, name, image }));
    await save(first.qmpPath, path);
    copies.move();
    return { first, copies: state };
  }

  /** Starts a copy; it runs when this is done. */
  async start(name: string): Promise<Qemu> {
    const extraArgs = [...this.#kernel, "-incoming", `exec:cat ${this.#path}`];
    await using owned = new AsyncDisposableStack();
    const vm = owned.use(await startFirmware({ ...this.#options, name, extraArgs }));
    await using qmp = await TestQmp.connect(vm.qmpPath);
    await until("a copy has its state", async () => await statusOf(qmp) !== "inmigrate", LOAD_MS);
    await goOn(qmp);
    owned.move();
    return vm;
  }

  /** Removes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#path);
  }
}

async function save(qmpPath: string, path: string): Promise<void> {
  await using qmp = await TestQmp.connect(qmpPath);
  await qmp.execute("stop");
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
  await qmp.execute("migrate", { uri: `exec:cat > ${path}` });
  await until("the first guest is saved", async () => {
    const { status } = await qmp.execute("query-migrate") as { readonly status: string };
    if (status === "failed") throw new Error("QEMU could not save the first guest");
    return status === "completed";
  }, LOAD_MS);
  await goOn(qmp);
}

async function goOn(qmp: TestQmp): Promise<void> {
  await qmp.execute("cont");
  await until("it runs", async () => await statusOf(qmp) === "running", LOAD_MS);
}

async function statusOf(qmp: TestQmp): Promise<string> {
  return (await qmp.execute("query-status") as { readonly status: string }).status;
}
