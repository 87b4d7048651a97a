import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { pipeChannel } from "../../../src/rendezvous/channel_pipe.ts";
import { v2vConnect } from "../../../src/rendezvous/v2v_command.ts";
import { channelPair, runtimeDir } from "./channel_fixture.ts";

const PROGRAM = new URL("./pipe_program.ts", import.meta.url).pathname;

/** Quotes for a shell. */
const quoted = (words: string[]): string =>
  words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
const vmsig = (...args: string[]): string =>
  quoted([Deno.execPath(), "run", "-A", "--quiet", PROGRAM, ...args]);

async function shell(line: string): Promise<{ code: number; output: string; error: string }> {
  const command = new Deno.Command("bash", { args: ["-c", `set -o pipefail; ${line}`], stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  return { code, output: new TextDecoder().decode(stdout), error: new TextDecoder().decode(stderr) };
}

async function hashTree(folder: string): Promise<string> {
  return (await shell(`cd ${quoted([folder])} && find . -type f | sort | xargs sha256sum`)).output;
}

Deno.test("tar | v2v connect --stream, v2v listen --stream | tar: the same tree", async () => {
  using dir = runtimeDir();
  const from = `${dir.path}/from`, to = `${dir.path}/to`;
  Deno.mkdirSync(`${from}/deep/er`, { recursive: true });
  Deno.mkdirSync(to);
  for (let i = 0; i < 20; i++) {
    const bytes = new Uint8Array(i * i * 4096 + i);
    for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    Deno.writeFileSync(`${from}/${i % 3 === 0 ? "deep/er/" : ""}file-${i}`, bytes);
  }
  const listening = shell(`${vmsig("listen", dir.path, "tar", "--stream")} | tar x -C ${quoted([to])}`);
  const connecting = shell(`tar c -C ${quoted([from])} . | ${vmsig("connect", dir.path, "tar", "--stream")}`);
  const [listened, connected] = await Promise.all([listening, connecting]);
  assertEquals([listened.code, listened.error, connected.code, connected.error], [0, "", 0, ""]);
  const tree = await hashTree(from);
  assertEquals(await hashTree(to), tree);
  assertEquals(tree.trim().split("\n").length, 20);
});

Deno.test("a question and its answer: an end of input leaves the other direction open", async () => {
  using dir = runtimeDir();
  const { listener, left, right } = await channelPair(dir.path);
  using _listener = listener;
  // The answering end speaks only when the question is over.
  const answer = new TransformStream<Uint8Array, Uint8Array>();
  let asked = 0;
  const question = new WritableStream<Uint8Array>({
    write: (chunk) => void (asked += chunk.length),
    async close() {
      const writer = answer.writable.getWriter();
      await writer.write(new TextEncoder().encode(`${asked} bytes`));
      await writer.close();
    },
  });
  const input = new Response("what is it?").body as ReadableStream<Uint8Array>;
  const output = new TransformStream<Uint8Array, Uint8Array>();
  const [asker, answerer, text] = await Promise.all([
    pipeChannel(right, true, { input, output: output.writable }),
    pipeChannel(left, true, { input: answer.readable, output: question }),
    new Response(output.readable as ReadableStream<Uint8Array<ArrayBuffer>>).text(),
  ]);
  assertEquals(text, "11 bytes");
  assertEquals([asker.sentBytes, asker.receivedBytes], [11, 8]);
  assertEquals([answerer.sentBytes, answerer.receivedBytes], [8, 11]);
});

Deno.test("without --stream a message is a line", async () => {
  using dir = runtimeDir();
  const listening = shell(`${vmsig("listen", dir.path, "lines")}`);
  const connecting = shell(`printf 'one\\n\\nthree' | ${vmsig("connect", dir.path, "lines")}`);
  const [listened, connected] = await Promise.all([listening, connecting]);
  assertEquals([listened.code, listened.output, listened.error], [0, "one\n\nthree\n", ""]);
  assertEquals([connected.code, connected.output, connected.error], [0, "", ""]);
});

Deno.test("nothing on both inputs: both ends end", async () => {
  using dir = runtimeDir();
  const results = await Promise.all([
    shell(vmsig("listen", dir.path, "none", "--stream")),
    shell(vmsig("connect", dir.path, "none", "--stream")),
  ]);
  assertEquals(results, [{ code: 0, output: "", error: "" }, { code: 0, output: "", error: "" }]);
});

Deno.test("an end that dies is an error, behind its last byte; a line too long is told", async () => {
  using dir = runtimeDir();
  const pipe = (input: string) => {
    const output: Uint8Array[] = [];
    return {
      input: new Response(input).body as ReadableStream<Uint8Array>,
      output: new WritableStream<Uint8Array>({ write: (chunk) => void output.push(chunk) }),
      text: () => output.map((chunk) => new TextDecoder().decode(chunk)).join(""),
    };
  };
  const { listener, left, right } = await channelPair(dir.path);
  using _listener = listener;
  left.sendMessage(new TextEncoder().encode("last words"), 1);
  right.waitReceive(1000);
  new Int32Array(left.region.buffer)[0x18 >> 2] = 0x128; // as one that gives up on us
  const ends = pipe("");
  assertEquals((await assertRejects(() => pipeChannel(right, true, ends), Fault)).code, "seam-down");
  assertEquals(ends.text(), "last words");
  left[Symbol.dispose]();

  const second = await channelPair(dir.path, { prodOrder: 0, consOrder: 0 }, "second");
  using _second = second.listener;
  const long = pipeChannel(second.right, false, pipe("x".repeat(5000)));
  assertEquals((await assertRejects(() => long, Fault)).code, "too-large");
  second.left[Symbol.dispose]();

  const stop = new AbortController();
  const third = await channelPair(dir.path, {}, "third");
  using _third = third.listener;
  const idle = { ...pipe(""), input: new ReadableStream<Uint8Array>(), signal: stop.signal };
  const stopped = assertRejects(() => pipeChannel(third.right, true, idle), Fault);
  stop.abort(new Fault("interrupted", "Cannot go on: interrupted."));
  assertEquals((await stopped).code, "interrupted");
  assert(third.right.closed);
  third.left[Symbol.dispose]();

  const nobody = v2vConnect("nobody", { ...pipe(""), runtimeDir: dir.path });
  assertEquals((await assertRejects(() => nobody, Fault)).code, "no-endpoint");
});
