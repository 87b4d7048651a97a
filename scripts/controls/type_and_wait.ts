/**
 * A scripted control: types a text into a VM and waits for what it should lead to.
 *
 *     deno run -q -P=script scripts/controls/type_and_wait.ts ENDPOINT TEXT STATE [SOCKET]
 *     deno run -q -P=script scripts/controls/type_and_wait.ts web $'root\nreboot\n' reset
 *
 * STATE is a VM's: running, paused, shutdown, reset, powerdown, crashed, suspended. Exit code 1 when it does
 * not come within two minutes.
 * @module
 */
import { connect, Fault, runScript, takeInput, VM_STATE_NAMES } from "../../src/client/mod.ts";

const WAIT_MS = 120_000;

const [ref, text, state, socket] = Deno.args;
if (ref === undefined || text === undefined || !VM_STATE_NAMES.includes(state ?? "")) {
  console.error(
    "usage: deno run -q -P=script scripts/controls/type_and_wait.ts ENDPOINT TEXT STATE [SOCKET]",
  );
  console.error(`STATE is one of ${VM_STATE_NAMES.join(", ")}`);
  Deno.exit(2);
}

await runScript("type_and_wait", async () => {
  await using client = await connect({ name: "type_and_wait", ...(socket === undefined ? {} : { socket }) });
  const endpoint = await client.endpoint(ref);

  // Awaited from before the first key goes down: what happens while the text is typed counts.
  const arrived = client.next({
    kinds: ["VM_LIFECYCLE"],
    endpoints: [endpoint],
    where: (event) => VM_STATE_NAMES[event.as("VM_LIFECYCLE")?.state ?? -1] === state,
  }, { timeoutMs: WAIT_MS });
  // Should the typing fail, that is told, and not that nobody waits any more.
  arrived.catch(() => {});

  {
    await using input = await takeInput(client, endpoint);
    await input.type(text);
  }
  console.log(`typed ${text.length} characters, waiting for ${state}`);

  try {
    using event = await arrived;
    console.log(`${state} at ${(event.tsNs / 1e9).toFixed(3)} s`);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "timed-out") throw error;
    console.error(`${state} did not come within ${WAIT_MS / 1000} s`);
    return 1;
  }
});
