/**
 * A scripted control: types a text into a VM and waits for what it should lead to: a state of the VM, or text
 * on its screen.
 *
 *     deno run -q -P=script scripts/controls/type_and_wait.ts ENDPOINT TEXT STATE|/RE/ [SOCKET]
 *     deno run -q -P=script scripts/controls/type_and_wait.ts web $'root\nreboot\n' reset
 *     deno run -q -P=script scripts/controls/type_and_wait.ts web $'uname\n' '/^Linux \S+/'
 *
 * STATE is a VM's: running, paused, shutdown, reset, powerdown, crashed, suspended. A regular expression may
 * match anywhere on the screen, ^ and $ are a line's; one that matches before anything is typed is refused,
 * for it tells nothing. Exit code 1 when it does not come within two minutes.
 * @module
 */
import {
  type Client,
  connect,
  Fault,
  runScript,
  takeInput,
  VM_STATE_NAMES,
  waitFor,
} from "../../src/client/mod.ts";

const WAIT_MS = 120_000;

const [ref, text, wanted = "", socket] = Deno.args;
const expression = expressionOf(wanted);
if (
  ref === undefined || text === undefined || (expression === undefined && !VM_STATE_NAMES.includes(wanted))
) {
  console.error(
    "usage: deno run -q -P=script scripts/controls/type_and_wait.ts ENDPOINT TEXT STATE|/RE/ [SOCKET]",
  );
  console.error(`STATE is one of ${VM_STATE_NAMES.join(", ")}; RE is a regular expression`);
  Deno.exit(2);
}

await runScript("type_and_wait", async () => {
  await using client = await connect({ name: "type_and_wait", ...(socket === undefined ? {} : { socket }) });
  const endpoint = await client.endpoint(ref);

  if (expression !== undefined && await isThere(client, endpoint, expression)) {
    throw new Fault("refused", `Cannot wait for ${wanted}: it is on the screen already; choose what is not`);
  }
  // Awaited from before the first key goes down: what happens while the text is typed counts.
  const arrived = expression === undefined
    ? stateOf(client, endpoint, wanted)
    : textOf(client, endpoint, expression);
  // Should the typing fail, that is told, and not that nobody waits any more.
  arrived.catch(() => {});

  {
    await using input = await takeInput(client, endpoint);
    await input.type(text);
  }
  console.log(`typed ${text.length} characters, waiting for ${wanted}`);

  try {
    console.log(await arrived);
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "timed-out") throw error;
    console.error(`${wanted} did not come within ${WAIT_MS / 1000} s`);
    return 1;
  }
});

async function stateOf(client: Client, endpoint: number, wanted: string): Promise<string> {
  using event = await client.next({
    kinds: ["VM_LIFECYCLE"],
    endpoints: [endpoint],
    where: (event) => VM_STATE_NAMES[event.as("VM_LIFECYCLE")?.state ?? -1] === wanted,
  }, { timeoutMs: WAIT_MS });
  return `${wanted} at ${(event.tsNs / 1e9).toFixed(3)} s`;
}

async function textOf(client: Client, endpoint: number, text: RegExp): Promise<string> {
  const found = await waitFor(client, endpoint, { text }, { timeoutMs: WAIT_MS });
  return found.what === "text" ? `${JSON.stringify(found.text)} in line ${found.row + 1}` : found.what;
}

async function isThere(client: Client, endpoint: number, text: RegExp): Promise<boolean> {
  try {
    return text.test((await client.screenText(endpoint)).lines.join("\n"));
  } catch (error) {
    // There is a picture, and no text in it yet.
    if (error instanceof Fault && error.code === "not-supported") return false;
    throw error;
  }
}

/** The expression between two slashes; undefined for anything else. */
function expressionOf(wanted: string): RegExp | undefined {
  if (wanted.length < 3 || !wanted.startsWith("/") || !wanted.endsWith("/")) return undefined;
  try {
    return new RegExp(wanted.slice(1, -1), "mu");
  } catch {
    return undefined;
  }
}
