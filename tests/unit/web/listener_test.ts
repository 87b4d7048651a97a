/**
 * How what listens for browsers ends: at once, whoever still reads an answer.
 */
import { assert, assertEquals } from "@std/assert";
import { listenOnHttp } from "../../../src/web/http_listener.ts";

/** More than the buffers of a connection hold. */
const LARGE = 16 << 20;

Deno.test("a browser that does not read its answer, or keeps its connection, is not waited for", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-listener-" });
  try {
    for (
      const address of [{ kind: "tcp", hostname: "127.0.0.1", port: 0 }, {
        kind: "unix",
        path: `${folder}/s`,
      }] as const
    ) {
      const asked = Promise.withResolvers<void>();
      const { end, port } = await listenOnHttp(address, {
        handler: (request) => {
          asked.resolve();
          const size = new URL(request.url).pathname === "/large" ? LARGE : 1;
          return Promise.resolve(new Response(new Uint8Array(size)));
        },
        onError: () => new Response(null, { status: 500 }),
      });
      const connect = () =>
        address.kind === "tcp"
          ? Deno.connect({ hostname: "127.0.0.1", port })
          : Deno.connect({ transport: "unix", path: address.path });
      using kept = await connect();
      using slow = await connect();
      await ask(kept, "/small");
      const buffer = new Uint8Array(100);
      assert(await kept.read(buffer) !== null);
      await ask(slow, "/large");
      await asked.promise;
      assert(await slow.read(buffer) !== null, "its answer has begun");
      await end();
      while (await kept.read(buffer) !== null);
      assertEquals(await kept.read(buffer), null, "and it is gone");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function ask(to: Deno.Conn, path: string): Promise<void> {
  await to.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: here\r\n\r\n`));
}
