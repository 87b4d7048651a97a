import { assert, assertEquals } from "@std/assert";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;

function vmsig(args: readonly string[], stdin: "piped" | "null" = "null"): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "--config", CONFIG, MAIN, ...args],
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("two processes meet over a channel that the daemon's config names, and bytes arrive whole", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-channel-" });
  const socket = `${folder}/control.sock`;
  const config = `${folder}/vmsigd.toml`;
  Deno.writeTextFileSync(
    config,
    `[daemon]\nlog = "error"\n[discovery]\nprobe = false\n[[channel]]\nname = "both"\norder = 2\n`,
  );
  const daemon = vmsig(["serve", "--config", config, "--socket", socket]);
  const running = [daemon];
  try {
    const ready = daemon.stdout.getReader();
    let said = "";
    while (!said.endsWith("\n")) {
      const { value, done } = await ready.read();
      if (done) break;
      said += new TextDecoder().decode(value);
    }
    assertEquals(said, `ready ${socket}\n`);
    await ready.cancel();
    const path = `${folder}/v2v/both.ivshmem`;
    const ends = ["--stream", "--ivshmem", path, "--socket", socket, "--wait", "180000"];
    const listener = vmsig(["v2v", "listen", "both", ...ends]);
    const connector = vmsig(["v2v", "connect", "both", ...ends], "piped");
    running.push(listener, connector);
    // Read from the start: more is sent than the pipes and the ring hold.
    const arrived = listener.output();
    const sent = new Uint8Array(300_000).map((_, i) => (i * 7) ^ (i >> 8));
    const writer = connector.stdin.getWriter();
    await writer.write(sent);
    await writer.close();
    const received = new Uint8Array((await arrived).stdout);
    assertEquals(received.length, sent.length);
    assert(received.every((byte, i) => byte === sent[i]));
    assertEquals((await connector.output()).code, 0);
  } finally {
    for (const child of running) end(child);
    const log = await new Response(daemon.stderr).text();
    assertEquals((await daemon.status).code, 0, log);
    assertEquals([...Deno.readDirSync(folder)].map((e) => e.name).filter((n) => n.endsWith(".sock")), []);
    Deno.removeSync(folder, { recursive: true });
  }
});

/** Ends a process that may have ended already. */
function end(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}
