/**
 * Where viewers connect: addresses, whose socket it is, 1,000 connections, and what the other sides of
 * sockets do: half-closed, silent, gone in the middle.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { RfbServer } from "../../../src/rfb/server/rfb_server.ts";
import { parseListenAddress, ViewerListener } from "../../../src/client/vnc/viewer_listener.ts";
import { until } from "../../fixtures/daemon_process.ts";

const SEAT = { onEnter() {}, onKey() {}, onPointer() {}, onLeave() {} };

async function inFolder(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-viewers-" });
  try {
    await use(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("an address is a unix socket's path or a port of the loopback, and nothing else", () => {
  assertEquals(parseListenAddress("unix:/x/y"), { kind: "unix", path: "/x/y" });
  assertEquals(parseListenAddress("127.0.0.1:0"), { kind: "tcp", hostname: "127.0.0.1", port: 0 });
  assertEquals(parseListenAddress("localhost:5900"), { kind: "tcp", hostname: "127.0.0.1", port: 5900 });
  assertEquals(parseListenAddress("[::1]:1"), { kind: "tcp", hostname: "::1", port: 1 });
  for (
    const text of [
      "",
      "unix:",
      `unix:/${"x".repeat(107)}`,
      "unix:a\0b",
      "0.0.0.0:1",
      "127.0.0.1",
      "host:1",
      "[::]:1",
      "127.0.0.1:65536",
    ]
  ) assertThrows(() => parseListenAddress(text), Fault, "Cannot listen on", text);
});

Deno.test("a socket is the user's alone; a dead one is replaced, a living one and other files are not", async () => {
  await inFolder(async (dir) => {
    using server = new RfbServer({ name: "web", seat: SEAT });
    const address = { kind: "unix", path: `${dir}/vnc` } as const;
    const open = () => ViewerListener.open(address, server, () => {});
    {
      await using _listener = await open();
      assertEquals(((await Deno.stat(address.path)).mode ?? 0) & 0o777, 0o600);
      assertEquals((await assertRejects(open, Fault)).code, "busy");
    }
    await assertRejects(() => Deno.stat(address.path), Deno.errors.NotFound);
    // What a process leaves that was killed.
    await new Deno.Command("python3", {
      args: ["-c", `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(address.path)})`],
    }).output();
    {
      await using _listener = await open();
    }
    await Deno.writeTextFile(address.path, "");
    assertEquals((await assertRejects(open, Fault)).code, "refused");
    const absent = { kind: "unix", path: `${dir}/none/vnc` } as const;
    assertEquals(
      (await assertRejects(() => ViewerListener.open(absent, server, () => {}), Fault)).code,
      "refused",
    );
  });
});

Deno.test("a thousand connections that say nothing, half of it, or go: there is a place for the next one", async () => {
  await inFolder(async (dir) => {
    const ended: string[] = [];
    using server = new RfbServer({
      name: "web",
      seat: SEAT,
      mostViewers: 8,
      onEnded: (_, why) => ended.push(why),
    });
    const path = `${dir}/vnc`;
    await using _listener = await ViewerListener.open({ kind: "unix", path }, server, (why) => {
      throw new Error(why);
    });
    for (let i = 0; i < 1000; i++) {
      const conn = await Deno.connect({ transport: "unix", path });
      try {
        if (i % 4 === 1) await conn.write(new TextEncoder().encode("RFB 003.008\n\x01\x01"));
        if (i % 4 === 2) await conn.write(new Uint8Array(1000).fill(i));
        if (i % 4 === 3) await conn.closeWrite();
      } catch (error) {
        // Turned away: there was no place.
        if (!(error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset)) {
          throw error;
        }
      }
      conn.close();
    }
    await until("all are gone", () => server.viewers === 0);
    const conns = await Promise.all(
      Array.from({ length: 9 }, () => Deno.connect({ transport: "unix", path })),
    );
    // The ninth has taken the place of the first.
    await until("the first has ended", () => ended.some((why) => why.startsWith("another one came")));
    assertEquals(server.viewers <= 8, true);
    const said = await Promise.all(conns.map(async (conn) => {
      const bytes = new Uint8Array(12);
      return await conn.read(bytes).catch(() => null) ?? 0;
    }));
    assertEquals(said.filter((n) => n === 12).length >= 8, true);
    for (const conn of conns) conn.close();
    await until("these are gone, too", () => server.viewers === 0);
    // A viewer that is in, and closes its half, ends.
    const conn = await Deno.connect({ transport: "unix", path });
    await conn.write(new TextEncoder().encode("RFB 003.008\n\x01\x01"));
    await until("it is in", () => server.isWanted);
    await conn.closeWrite();
    await until("it has ended", () => !server.isWanted);
    conn.close();
    assertEquals(ended.at(-1), "it disconnected");
  });
});
