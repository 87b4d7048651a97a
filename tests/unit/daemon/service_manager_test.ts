// Telling the service manager: what it has no room for waits and arrives.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { Log } from "../../../src/base/log.ts";
import { ServiceManager } from "../../../src/daemon/service_manager.ts";
import { until } from "../../fixtures/daemon_process.ts";

/** A datagram socket that is read when it is told to be: a line of input each. */
const MANAGER = `
import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound")
for line in sys.stdin: print(s.recv(65536).decode().replace("\\n"," "))
`;

Deno.test("a service manager whose socket is full gets all the same what was told, in order and once", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/notify`;
  const child = new Deno.Command("python3", {
    args: ["-u", "-c", MANAGER, path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  let text = "";
  const read = (async () => {
    for await (const bytes of child.stdout) text += new TextDecoder().decode(bytes);
  })();
  try {
    await until("the socket", () => text.includes("bound"));
    const told: string[] = [];
    const log = new Log("vmsig", "info", (line) => told.push(line), false);
    const manager = new ServiceManager((name) => name === "NOTIFY_SOCKET" ? path : undefined, log);
    // More than net.unix.max_dgram_qlen, which is 10 or 512.
    const COUNT = 40;
    for (let n = 0; n < COUNT; n++) manager.notify(`STATUS=${n}`);
    for (let n = 0; n < COUNT; n++) {
      await stdin.write(new TextEncoder().encode("\n"));
      await until(`${n}`, () => text.includes(`STATUS=${n}\n`));
    }
    assertEquals(text.match(/STATUS=\d+/g)?.length, COUNT);
    assertEquals(told, []);
    assert(text.indexOf("STATUS=7\n") < text.indexOf("STATUS=8\n"));
  } finally {
    await stdin.close();
    await child.status;
    await read;
    await Deno.remove(folder, { recursive: true });
  }
});
