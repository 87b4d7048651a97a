import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import {
  acceptUnix,
  connectUnix,
  listenUnix,
  MAX_SOCKET_PATH_BYTES,
  peerCredentials,
  refuseDescriptors,
  SHUTDOWN,
  shutdown,
  SOCKET,
  socketPair,
  unlinkSocket,
} from "../../../ffi/unix_socket.ts";
import { inFolder } from "./in_folder.ts";
import "./loaded_shim.ts";

Deno.test("listen, connect, accept; each side knows the other", () =>
  inFolder((folder) => {
    const path = `${folder}/a.sock`;
    using listener = listenUnix(path, SOCKET.SEQPACKET);
    assertEquals(acceptUnix(listener.fd), undefined);
    using client = connectUnix(path, SOCKET.SEQPACKET);
    using server = acceptUnix(listener.fd)!;
    assertEquals(acceptUnix(listener.fd), undefined);
    const self = { pid: Deno.pid, uid: Deno.uid()!, gid: Deno.gid()! };
    assertEquals(peerCredentials(server.fd), self);
    assertEquals(peerCredentials(client.fd), self);
    unlinkSocket(path);
    unlinkSocket(path);
    const error = assertThrows(() => connectUnix(path, SOCKET.SEQPACKET), OsError);
    assert(isOsError(error, "ENOENT"));
    assertStringIncludes(error.message, path);
  }));

Deno.test("the socket file has the mode asked for, whatever the umask", () =>
  inFolder((folder) => {
    for (const mode of [0o600, 0o660, 0o666]) {
      const path = `${folder}/${mode}.sock`;
      using _listener = listenUnix(path, SOCKET.STREAM, { mode });
      assertEquals((Deno.statSync(path).mode ?? 0) & 0o7777, mode);
    }
  }));

Deno.test("a connection that takes no descriptors gets none, where the kernel can", () => {
  const [near, far] = socketPair(SOCKET.STREAM);
  const bytes = new Uint8Array(1);
  assertEquals(sendOne(near.fd, bytes, 0, 1, [near.fd]), 1, "a socket takes them unless it is told");
  if (refuseDescriptors(far.fd)) {
    let sent = -1;
    try {
      sent = sendOne(near.fd, bytes, 0, 1, [near.fd]);
    } catch (error) {
      assert(isOsError(error, "EPERM"), `${error}`);
    }
    assert(sent < 0, "the sender is told");
  }
  assertEquals(sendOne(near.fd, bytes, 0, 1), 1, "bytes go as before");
  near.close();
  far.close();
});

Deno.test("a stale socket file is replaced", () =>
  inFolder((folder) => {
    const path = `${folder}/stale.sock`;
    listenUnix(path, SOCKET.SEQPACKET).close();
    assert(isOsError(assertThrows(() => connectUnix(path, SOCKET.SEQPACKET)), "ECONNREFUSED"));
    using listener = listenUnix(path, SOCKET.SEQPACKET);
    using _client = connectUnix(path, SOCKET.SEQPACKET);
    using server = acceptUnix(listener.fd)!;
    assertEquals(peerCredentials(server.fd).pid, Deno.pid);
  }));

Deno.test("a live listener is left alone, whatever its kind and even with a full backlog", () =>
  inFolder((folder) => {
    const path = `${folder}/live.sock`;
    using listener = listenUnix(path, SOCKET.SEQPACKET, { backlog: 0 });
    for (const type of [SOCKET.SEQPACKET, SOCKET.STREAM]) {
      const error = assertThrows(() => listenUnix(path, type), Fault);
      assertEquals(error.code, "busy");
      assertStringIncludes(error.message, `${path}: another process listens there`);
    }
    // The first probe still waits to be accepted: now the backlog is full.
    assert(isOsError(assertThrows(() => connectUnix(path, SOCKET.SEQPACKET)), "EAGAIN"));
    assertEquals(assertThrows(() => listenUnix(path, SOCKET.SEQPACKET), Fault).code, "busy");
    acceptUnix(listener.fd)?.close();
    connectUnix(path, SOCKET.SEQPACKET).close();
  }));

Deno.test("what is not a socket is left alone", () =>
  inFolder((folder) => {
    const path = `${folder}/file`;
    Deno.writeTextFileSync(path, "precious");
    const error = assertThrows(() => listenUnix(path, SOCKET.SEQPACKET), Fault);
    assertEquals(error.code, "busy");
    assertStringIncludes(error.message, "not a socket");
    assertEquals(Deno.readTextFileSync(path), "precious");
  }));

Deno.test("of two that replace a stale file at once, exactly one wins", () =>
  inFolder(async (folder) => {
    const path = `${folder}/race.sock`;
    listenUnix(path, SOCKET.SEQPACKET).close();
    const program = `${folder}/racer.ts`;
    const source = new URL("../../../ffi/unix_socket.ts", import.meta.url).href;
    await Deno.writeTextFile(
      program,
      `import { listenUnix, SOCKET } from ${JSON.stringify(source)};
       Deno.stdin.readSync(new Uint8Array(1));
       let listener;
       try { listener = listenUnix(Deno.args[0], SOCKET.SEQPACKET); console.log("won"); }
       catch (error) { console.log(error.code); }
       Deno.stdin.readSync(new Uint8Array(1));
       listener?.close();`,
    );
    const racers = [1, 2, 3].map(() =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--no-config", program, path],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn()
    );
    const writers = racers.map((racer) => racer.stdin.getWriter());
    await Promise.all(writers.map((writer) => writer.write(new Uint8Array(1))));
    const readers = racers.map((racer) => racer.stdout.getReader());
    const told = await Promise.all(
      readers.map(async (reader) => new TextDecoder().decode((await reader.read()).value).trim()),
    );
    await Promise.all(writers.map((writer) => writer.close()));
    await Promise.all(readers.map((reader) => reader.cancel()));
    await Promise.all(racers.map((racer) => racer.status));
    assertEquals(told.sort(), ["busy", "busy", "won"]);
  }));

Deno.test("paths that do not fit are refused with what fits", () =>
  inFolder((folder) => {
    const longest = `${folder}/${"x".repeat(MAX_SOCKET_PATH_BYTES - folder.length - 1)}`;
    listenUnix(longest, SOCKET.STREAM).close();
    for (const path of [longest + "x", "", "a\0b"]) {
      assertEquals(assertThrows(() => listenUnix(path, SOCKET.STREAM), Fault).code, "bad-argument");
      assertEquals(assertThrows(() => connectUnix(path, SOCKET.STREAM), Fault).code, "bad-argument");
    }
    const error = assertThrows(() => connectUnix(longest + "x", SOCKET.STREAM), Fault);
    assertStringIncludes(error.message, "its path has 108 bytes, and 1 to 107 are possible");
  }));

Deno.test("a folder that is not there: its name and ENOENT", () => {
  const error = assertThrows(() => listenUnix("/nonexistent/a.sock", SOCKET.STREAM), OsError);
  assertEquals(error.errnoName, "ENOENT");
  assertStringIncludes(error.message, "/nonexistent/");
});

Deno.test("shutdown ends a half", () => {
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  using batch = new ReceiveBatch(2, 16, 0);
  const bytes = new Uint8Array([1, 2, 3]);
  shutdown(near.fd, SHUTDOWN.WRITE);
  assertEquals(batch.receive(far.fd), 0);
  assert(batch.closed);
  assertEquals(sendOne(far.fd, bytes, 0, 3), 3);
  assertEquals(batch.receive(near.fd), 1);
  shutdown(far.fd, SHUTDOWN.BOTH);
  shutdown(far.fd, SHUTDOWN.BOTH);
  near.close();
  far.close();
});
