/**
 * A scripted control: writes every event of the bus to a log file, one JSON object a line.
 *
 *     deno run -q -P=script scripts/controls/watch_and_log.ts FILE [SOCKET]
 *
 * The file is in this checkout (the permission set allows no other folder); it is appended to, and a line is
 * whole or not there.
 * @module
 */
import { connect, describeEvent, runScript } from "../../src/client/mod.ts";

const [path, socket] = Deno.args;
if (path === undefined) {
  console.error("usage: deno run -q -P=script scripts/controls/watch_and_log.ts FILE [SOCKET]");
  Deno.exit(2);
}

await runScript("watch_and_log", async () => {
  await using client = await connect({ name: "watch_and_log", ...(socket === undefined ? {} : { socket }) });
  using file = await Deno.open(path, { append: true, create: true });
  const encoder = new TextEncoder();

  // The first stream begins with what is retained: the roster, then each VM's memory context.
  for await (const event of client.events()) {
    const line = {
      at: new Date().toISOString(),
      name: client.roster.nameOf(event.endpoint),
      ...describeEvent(event),
    };
    await file.write(encoder.encode(JSON.stringify(line) + "\n"));
  }
});
