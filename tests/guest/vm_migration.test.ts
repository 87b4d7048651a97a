/**
 * A real VM migrates from one QEMU to another: how far it is, that it has left, that it has come; and that
 * its memory is told anew where it runs.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { describeBody } from "../../src/client/describe_event.ts";
import { MIGRATION_WAY, SEAM_REASON, VM_DETAIL, VM_STATE_NUMBER } from "../../src/event/body_number.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { buildGuest } from "./build.ts";
import { KERNEL_WORDS, type MachineOptions, type Qemu, startFirmware, startGuest } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

const { NONE, OUTGOING, LEFT } = MIGRATION_WAY;
const { PAUSED, RUNNING } = VM_STATE_NUMBER;

interface Seen {
  readonly kind: string;
  readonly endpoint: string;
  readonly fields: Record<string, unknown>;
}

/** Notes every event of the two VMs, in order. */
function watch(client: Client): Seen[] {
  const seen: Seen[] = [];
  const stream = client.events({
    kinds: ["VM_LIFECYCLE", "MIGRATION", "SEAM_DOWN", "MEMCTX", "MEMCTX_INVALIDATED"],
  });
  (async () => {
    for await (const event of stream) {
      const endpoint = client.roster.nameOf(event.endpoint);
      seen.push({
        kind: event.kindName,
        endpoint,
        fields: { ...describeBody(event), source: event.sourceName },
      });
    }
  })().catch(() => {});
  return seen;
}

function configOf(from: Qemu, to: Qemu): string {
  return [["from", from], ["to", to]].map(([name, qemu]) =>
    `[[endpoint]]\nname = "${name}"\nqmp = "${(qemu as Qemu).qmpPath}"\ndisplay = "none"\ninput = "none"\n`
  ).join("\n");
}

const ways = (seen: readonly Seen[], endpoint: string) =>
  seen.filter((one) => one.kind === "VM_LIFECYCLE" && one.endpoint === endpoint)
    .map(({ fields }) => [fields["state"], fields["detail"], fields["migration"]]);

async function migrate(
  machine: MachineOptions,
  withEvents: boolean,
  start: (options: MachineOptions) => Promise<Qemu>,
  body: (
    parts: {
      seen: Seen[];
      client: Client;
      daemon: DaemonProcess;
      from: TestQmp;
      to: Qemu;
      go: () => Promise<void>;
    },
  ) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-migrate-" });
  try {
    const uri = `unix:${folder}/m.sock`;
    await using source = await start({ ...machine, qmpSockets: 2 });
    const args = [...machine.extraArgs ?? [], "-incoming", uri];
    await using target = await startFirmware({ ...machine, qmpSockets: 2, extraArgs: args });
    await using daemon = await DaemonProcess.start({ config: configOf(source, target) });
    await using client = await daemon.connect("watches");
    const seen = watch(client);
    const isUp = async () =>
      (await client.completeRoster()).filter(({ seams }) => seams.includes("vmhost")).length === 2;
    await until("both VMs", isUp, 180_000);
    await using from = await TestQmp.connect(source.qmpPaths[1] ?? "");
    if (withEvents) {
      const capabilities = [{ capability: "events", state: true }];
      await from.execute("migrate-set-capabilities", { capabilities });
    }
    await body({
      seen,
      client,
      daemon,
      from,
      to: target,
      go: async () => void await from.execute("migrate", { uri }),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const withEvents of [true, false]) {
  const how = withEvents ? "with QEMU's events" : "without events of its own";
  Deno.test(`migration, ${how}: the source has left, and goes down with that reason; the target has come`, async () => {
    await migrate({}, withEvents, startFirmware, async ({ seen, client, daemon, from, go }) => {
      assertEquals(await client.vmState("to"), {
        state: "paused",
        detail: "migration",
        migration: "incoming",
      });
      const { text } = await vmsig(["vm", "to", "query", "--socket", daemon.socket]);
      assertEquals(text, "paused (migration, incoming)\n");
      for (
        const [word, told] of [["stop", "will be paused"], ["cont", "will run"]] as const
      ) {
        const said = await vmsig(["vm", "to", word, "--socket", daemon.socket]);
        assertEquals(said.text, `to: ${told} when its migration has come in\n`);
      }
      await go();
      await until("it has left", () => ways(seen, "from").some(([, , way]) => way === LEFT), 180_000);
      await until("it has come", () => ways(seen, "to").some(([state]) => state === RUNNING), 180_000);
      assertEquals(ways(seen, "from").at(-1), [PAUSED, VM_DETAIL.MIGRATION, LEFT]);
      assertEquals(ways(seen, "to").at(-1)?.[2], NONE);
      if (withEvents) {
        const told = () => seen.filter(({ kind, endpoint }) => kind === "MIGRATION" && endpoint === "from");
        await until("its end is told", () => told().at(-1)?.fields["status"] === "completed");
        const last = told().at(-1)?.fields ?? {};
        assertEquals([last["way"], last["status"], last["words"]], [OUTGOING, "completed", ""]);
        assert(Number(last["transferredBytes"]) > 0, "it tells how much has gone");
      }
      // Whoever migrated it ends the process that is left: that is no end of the VM.
      await from.execute("quit").catch(() => {});
      const downs = () => seen.filter((one) => one.kind === "SEAM_DOWN" && one.endpoint === "from");
      await until("it goes down", () => downs().some(({ fields }) => fields["source"] === "VMHOST"), 180_000);
      for (const { fields } of downs()) assertEquals(fields["reason"], SEAM_REASON.MIGRATED);
      assert(
        !ways(seen, "from").some(([state]) => state === VM_STATE_NUMBER.SHUTDOWN),
        "it has not shut down",
      );
    });
  });
}

Deno.test("migration: one that fails is told with QEMU's words, and the VM goes on", async () => {
  await migrate({}, true, startFirmware, async ({ seen, client, from }) => {
    await from.execute("migrate", { uri: "unix:/nowhere/m.sock" }).catch(() => {});
    await until("it fails", () => seen.some(({ fields }) => fields["status"] === "failed"), 180_000);
    const failed = seen.find(({ fields }) => fields["status"] === "failed");
    assertEquals(failed?.fields["way"], OUTGOING);
    assertEquals((await client.vmState("from")).state, "running");
  });
});

Deno.test("migration: a guest's memory is told anew where it runs", async () => {
  const image = await buildGuest({});
  const boot = ["-kernel", image.kernelPath, "-initrd", image.initrdPath, "-append", KERNEL_WORDS];
  await migrate({ extraArgs: boot, ramMiB: 512 }, true, async (options) => {
    return await startGuest({ ...options, image, extraArgs: [] });
  }, async ({ seen, go }) => {
    const contexts = (endpoint: string) =>
      seen.filter((one) => one.kind === "MEMCTX" && one.endpoint === endpoint);
    await until("the context", () => contexts("from").length > 0, 180_000);
    assertEquals(contexts("to"), [], "nothing has come yet");
    await go();
    await until("the context where it runs", () => contexts("to").length > 0, 180_000);
    assertEquals(contexts("to")[0]?.fields["kcr3"], contexts("from")[0]?.fields["kcr3"]);
    const left = seen.findIndex(({ kind, endpoint }) => kind === "MEMCTX" && endpoint === "to");
    const running = seen.findIndex(({ kind, endpoint, fields }) =>
      kind === "VM_LIFECYCLE" && endpoint === "to" && fields["state"] === VM_STATE_NUMBER.RUNNING
    );
    assert(running >= 0 && running < left, "told when it runs, and not before");
  });
});

Deno.test("migration, postcopy: memory that has not come yet is not looked at; the guest is found when all is there", async () => {
  const image = await buildGuest({});
  const boot = ["-kernel", image.kernelPath, "-initrd", image.initrdPath, "-append", KERNEL_WORDS];
  await migrate({ extraArgs: boot, ramMiB: 512 }, true, async (options) => {
    return await startGuest({ ...options, image, extraArgs: [] });
  }, async ({ seen, from, to, go }) => {
    const contexts = (endpoint: string) =>
      seen.filter((one) => one.kind === "MEMCTX" && one.endpoint === endpoint);
    await until("the context", () => contexts("from").length > 0, 180_000);
    await using at = await TestQmp.connect(to.qmpPaths[1] ?? "");
    const capabilities = [{ capability: "postcopy-ram", state: true }];
    for (const qmp of [from, at]) await qmp.execute("migrate-set-capabilities", { capabilities });
    const statusOf = async (qmp: TestQmp) =>
      (await qmp.execute("query-migrate") as { status: string }).status;
    // First what lies low in RAM, where the kernel is, then next to nothing: the guest runs for long before
    // the rest of its memory has come.
    await from.execute("migrate-set-parameters", {
      "max-bandwidth": 8_000_000,
      "max-postcopy-bandwidth": 400_000,
    });
    await go();
    await until("the kernel has gone", async () => {
      const { ram } = await from.execute("query-migrate") as { ram?: { remaining: number; total: number } };
      return ram !== undefined && ram.remaining > 0 && ram.remaining < 0.8 * ram.total;
    }, 180_000);
    await from.execute("migrate-set-parameters", { "max-bandwidth": 400_000 });
    await from.execute("migrate-start-postcopy");
    await until("it runs there", () => ways(seen, "to").some(([state]) => state === RUNNING), 180_000);
    // The daemon asks for the registers every 2 s at most, and sees that a kernel runs.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    assertEquals([await statusOf(at), contexts("to")], ["postcopy-active", []]);
    await from.execute("migrate-set-parameters", { "max-postcopy-bandwidth": 0 });
    await until("it ends", async () => await statusOf(at) !== "postcopy-active", 180_000);
    assertEquals(await statusOf(at), "completed");
    await until("the context where it runs", () => contexts("to").length > 0, 180_000);
    assertEquals(contexts("to")[0]?.fields["kcr3"], contexts("from")[0]?.fields["kcr3"]);
  });
});
