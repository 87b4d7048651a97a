/**
 * A loop as a game's bot has it: it reads a value in the guest's memory, and presses a key when the value
 * says so. The value here is `jiffies`, the Linux kernel's clock; the bot presses space each time that it has
 * passed another second, and says how late it was.
 *
 *   deno run -A examples/game_loop.ts web 5
 *
 * @module
 */
import { connect, InputControl } from "@vmsig/vmsig";

const [vm = "web", times = "5"] = Deno.args;
await using client = await connect({ name: "game loop" });
await using lease = await client.acquire(vm, "input");
const input = new InputControl(client, lease);

const values = [{ endpoint: vm, address: "jiffies", sizeBytes: 8 }] as const;
let pressed = 0;
let next: bigint | undefined;
for await (const event of await client.watchMemory(values, { rateHz: 50 })) {
  if (event.what !== "value") continue;
  const now = event.value ?? 0n;
  // Debian's kernels count 250 a second.
  next ??= now + 250n;
  if (now < next) continue;
  await input.key("space");
  pressed++;
  console.log(`space ${pressed}: jiffies ${now}, ${now - next} after it was due`);
  next = now + 250n;
  if (pressed === Number(times)) break;
}
