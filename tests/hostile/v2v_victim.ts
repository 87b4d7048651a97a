/**
 * A program that uses a channel as honest programs do, and hears SIGTERM as they do: it listens, lets user
 * 4242 in, and when it is told to go ("go" on standard input) sends bytes without end and takes what comes.
 * It tells each step in a line, how the channel ended, and stays until SIGTERM.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { usersRule } from "../../src/rendezvous/admission.ts";
import { pipeChannel } from "../../src/rendezvous/channel_pipe.ts";
import { ProcessListener } from "../../src/rendezvous/process_listener.ts";

const [dir = "", uid = ""] = Deno.args;
const stay = setInterval(() => {}, 1000);
Deno.addSignalListener("SIGTERM", () => {
  console.log("terminated");
  clearInterval(stay);
  Deno.exit(0);
});
using listener = new ProcessListener(dir, "spoilt", { rule: usersRule([Number(uid)]), socketMode: 0o666 });
console.log("listening");
const channel = await listener.acceptAsync(120_000);
console.log("connected");
await Deno.stdin.read(new Uint8Array(16));
const input = new ReadableStream<Uint8Array>({
  async pull(controller) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    controller.enqueue(new Uint8Array(256));
  },
});
try {
  await pipeChannel(channel, true, { input, output: new WritableStream() });
  console.log("ended: without an error");
} catch (error) {
  const code = error instanceof Fault ? error.code : "no fault";
  console.log(`ended: ${code}: ${error instanceof Error ? error.message : error}`);
}
