/**
 * A scripted control: resets a VM whose guest has crashed, and tells when it runs again.
 *
 *     deno run -q -P=script scripts/controls/watchdog.ts ENDPOINT [SOCKET]
 *
 * QEMU has to stay alive when its guest panics: -action panic=pause. After five resets within ten minutes it
 * gives up: a VM that crashes again and again needs a person.
 * @module
 */
import { connect, Fault, runScript, VM_DETAIL, VM_STATE_NUMBER } from "../../src/client/mod.ts";

const MAX_RESETS = 5;
const WITHIN_MS = 10 * 60_000;

const [ref, socket] = Deno.args;
if (ref === undefined) {
  console.error("usage: deno run -q -P=script scripts/controls/watchdog.ts ENDPOINT [SOCKET]");
  Deno.exit(2);
}

await runScript("watchdog", async () => {
  await using client = await connect({
    name: "watchdog",
    sub: { sources: ["VMHOST", "CORE"] },
    ...(socket === undefined ? {} : { socket }),
  });
  const endpoint = await client.endpoint(ref);
  const name = client.roster.nameOf(endpoint);
  const resets: number[] = [];
  console.log(`watching ${name}: ${(await client.vmState(endpoint)).state}`);

  for await (const event of client.events({ kinds: ["VM_LIFECYCLE"], endpoints: [endpoint] })) {
    const vm = event.as("VM_LIFECYCLE");
    if (vm?.state !== VM_STATE_NUMBER.CRASHED && vm?.detail !== VM_DETAIL.PANIC) continue;

    while (resets.length > 0 && resets[0]! < Date.now() - WITHIN_MS) resets.shift();
    if (resets.length === MAX_RESETS) {
      console.error(
        `${name} crashed ${MAX_RESETS + 1} times within ${WITHIN_MS / 60_000} minutes: giving up`,
      );
      return 1;
    }
    resets.push(Date.now());

    try {
      // Released at the end of this block, however it ends.
      await using _lease = await client.acquire(endpoint, "power");
      await client.vm(endpoint, "reset");
      await client.vm(endpoint, "cont");
      console.log(`${name} crashed, and was reset`);
    } catch (error) {
      // Somebody else holds the power lease, or the VM is gone: told, and on with the watch.
      if (!(error instanceof Fault)) throw error;
      console.error(`${name} crashed: ${error.code}: ${error.message}`);
    }
  }
});
