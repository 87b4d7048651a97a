/**
 * `deno task nightly [SUITE…] [-- TEST-FILE…]`: the tests of displays, of monitors and of guests' memory on
 * the QEMUs of other Debian suites, two agents and a person on one VM for ten minutes, and the tests of
 * libvirt on their libvirt too, and those of NATS on the newest server: trixie, sid and nats unless told. A
 * suite moves, so that this is not part of the gate. The counts that the tests take smaller in the gate are
 * full here.
 * @module
 */
import { Fault, messageOf } from "../../src/base/fault.ts";
import { newestNatsServer } from "./nats_suite.ts";
import { suiteQemu } from "./suite_qemu.ts";

/** mem_arm64 needs another QEMU than the suites' packages have. */
const FILES =
  /^(advice|display.*|libvirt.*|nats.*|qmp_.*|mem_(?!arm64).*|memctx_.*|gdb|mcp_sdk|watch_.*|vm_snapshot)\.test\.ts$/;
const split = Deno.args.indexOf("--");
const suites = split < 0 ? Deno.args : Deno.args.slice(0, split);
const named = split < 0 ? [] : Deno.args.slice(split + 1);
const guest = new URL("../guest/", import.meta.url).pathname;
const files = named.length > 0 ? named : [...Deno.readDirSync(guest)]
  .map(({ name }) => name)
  .filter((name) => FILES.test(name))
  .sort()
  .map((name) => guest + name);

let failed = 0;
for (const suite of suites.length > 0 ? suites : ["trixie", "sid", "nats"]) {
  try {
    if (suite === "nats") {
      const server = await newestNatsServer();
      const { success } = await new Deno.Command(Deno.execPath(), {
        args: ["test", "-A", "--no-check", ...files.filter((file) => /\/nats[^/]*$/.test(file))],
        env: { VMSIG_NATS_SERVER: server, VMSIG_NATS_PARTITIONS: "100", VMSIG_TEST_COUNTS: "full" },
      }).spawn().status;
      console.log(`nightly: nats, ${server}: ${success ? "passed" : "failed"}`);
      if (!success) failed++;
      continue;
    }
    const { bin, version, usr } = await suiteQemu(suite);
    console.log(`nightly: ${suite}, QEMU ${version}`);
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", ...files],
      env: {
        PATH: `${bin}:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`,
        VMSIG_TEST_COUNTS: "full",
        VMSIG_NATS_PARTITIONS: "100",
        VMSIG_TEST_USR: usr,
      },
    }).spawn().status;
    console.log(`nightly: ${suite}, QEMU ${version}: ${success ? "passed" : "failed"}`);
    if (!success) failed++;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    console.error(`vmsig: ${error.code}: ${messageOf(error)}`);
    failed++;
  }
}
Deno.exit(failed === 0 ? 0 : 1);
