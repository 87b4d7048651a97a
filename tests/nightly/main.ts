/**
 * `deno task nightly [SUITE…] [-- TEST-FILE…]`: the tests of displays and of RAM's layouts on the QEMUs of
 * other Debian suites, trixie and sid unless told; a suite moves, so that this is not part of the gate. The
 * counts that the tests take smaller in the gate are full here.
 * @module
 */
import { Fault, messageOf } from "../../src/base/fault.ts";
import { suiteQemu } from "./suite_qemu.ts";

const split = Deno.args.indexOf("--");
const suites = split < 0 ? Deno.args : Deno.args.slice(0, split);
const named = split < 0 ? [] : Deno.args.slice(split + 1);
const guest = new URL("../guest/", import.meta.url).pathname;
const files = named.length > 0 ? named : [...Deno.readDirSync(guest)]
  .map(({ name }) => name)
  .filter((name) => /^(display.*|qmp_screen|memctx_topology)\.test\.ts$/.test(name))
  .sort()
  .map((name) => guest + name);

let failed = 0;
for (const suite of suites.length > 0 ? suites : ["trixie", "sid"]) {
  try {
    const { bin, version } = await suiteQemu(suite);
    console.log(`nightly: ${suite}, QEMU ${version}`);
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", ...files],
      env: { PATH: `${bin}:${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`, VMSIG_TEST_COUNTS: "full" },
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
