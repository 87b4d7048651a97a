import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Server } from "@nats-io/nats-core/internal";
import { PlainTransport } from "../../../src/nats/wire/plain_transport.ts";

const INFO = `INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"headers":true,"proto":1}\r\n`;

/** A server for one connection, which does as it is told. */
function serverOf(serve: (connection: Deno.TcpConn) => Promise<void>): Server & Disposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  void (async () => {
    for await (const connection of listener) {
      await serve(connection).catch(() => {});
      try {
        connection.close();
      } catch {
        // The other end closed it, or the test did.
      }
    }
  })();
  const { port } = listener.addr;
  return {
    ...{ hostname: "127.0.0.1", port, listen: `127.0.0.1:${port}`, src: "", tlsName: "", resolves: [] },
    ...{ reconnects: 0, lastConnect: 0, didConnect: false, gossiped: false },
    resolve: () => Promise.reject(new Error("an address needs no resolving")),
    [Symbol.dispose]: () => listener.close(),
  } as unknown as Server & Disposable;
}

async function say(connection: Deno.TcpConn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

Deno.test("NATS transport: the first words may come in pieces, and stay to be read", async () => {
  using server = serverOf(async (connection) => {
    for (const piece of [INFO.slice(0, 7), INFO.slice(7, 60), `${INFO.slice(60)}PI`, "NG\r\n"]) {
      await say(connection, piece);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  const transport = new PlainTransport();
  const info = await transport.open(server);
  assertEquals(info.version, "2.9.10");
  let text = "";
  for await (const bytes of transport) text += new TextDecoder().decode(bytes);
  assertEquals(text, `${INFO}PING\r\n`);
  await transport.closed();
  assert(transport.isClosed);
});

Deno.test("NATS transport: what is written while a write goes on keeps its order, and all of it comes", async () => {
  const all: Uint8Array[] = [];
  const came = Promise.withResolvers<void>();
  const most = 4_000_000;
  using server = serverOf(async (connection) => {
    await say(connection, INFO);
    // The socket's buffers fill before anything is read.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const buffer = new Uint8Array(65_536);
    for (let bytes = 0; bytes < most;) {
      const count = await connection.read(buffer);
      if (count === null) return;
      all.push(buffer.slice(0, count));
      bytes += count;
    }
    came.resolve();
  });
  const transport = new PlainTransport();
  await transport.open(server);
  let number = 0;
  for (let bytes = 0; bytes < most;) {
    const words = new Uint32Array(Math.min(1 + number % 5000, (most - bytes) / 4));
    for (let i = 0; i < words.length; i++) words[i] = number++;
    transport.send(new Uint8Array(words.buffer));
    bytes += words.length * 4;
  }
  await came.promise;
  const whole = new Uint8Array(await new Blob(all as BlobPart[]).arrayBuffer());
  const words = new Uint32Array(whole.buffer);
  assertEquals(words.length, most / 4);
  assert(words.every((word, i) => word === i));
  transport.discard();
});

Deno.test("NATS transport: a server that says something else, or nothing, is none", async () => {
  for (const words of ["HTTP/1.1 400 Bad Request\r\n", "INFO {nonsense}\r\n", "", "x".repeat(600_000)]) {
    using server = serverOf((connection) => say(connection, words));
    const transport = new PlainTransport();
    let isTold = false;
    void transport.closed().then(() => isTold = true);
    await assertRejects(() => transport.open(server), Error);
    await transport.close();
    // The library takes an end before the beginning for a connection that broke, and would dial twice.
    assertEquals(isTold, false);
  }
});

Deno.test("NATS transport: a flood leaves timers their turn, and a message that is kept stays as it was", async () => {
  const line = `MSG a 1 64\r\n${"b".repeat(64)}\r\n`;
  using server = serverOf(async (connection) => {
    await say(connection, INFO);
    const many = line.repeat(4000);
    for (;;) await say(connection, many);
  });
  const transport = new PlainTransport();
  await transport.open(server);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  let kept: Uint8Array | undefined;
  let copy = "";
  try {
    for await (const bytes of transport) {
      kept ??= bytes;
      copy ||= new TextDecoder().decode(bytes);
      if (ticks >= 5) break;
    }
  } finally {
    clearInterval(timer);
  }
  assert(kept !== undefined);
  assertEquals(new TextDecoder().decode(kept), copy);
  transport.discard();
});
