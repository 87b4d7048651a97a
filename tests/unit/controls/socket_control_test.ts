import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { addSeals, createMemfd, OPEN, reopen, SEAL, statFd } from "../../../ffi/memfd.ts";
import { closeFd, openFdCount, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto, pwriteFrom } from "../../../ffi/stream.ts";
import { pipe, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { SECOND } from "../../../src/base/clock.ts";
import { MAX_PRINCIPAL_COMMAND_BYTES } from "../../../src/base/limits.ts";
import { CountedFile } from "../ffi/held_descriptors.ts";
import { fullGrant } from "../../../src/access/grant.ts";
import { DROP, PASS_THROUGH } from "../../../src/context/policy.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { type RawFrame, rawFrame, rawHello } from "./raw_frame.ts";
import { type RawClient, withRig } from "./socket_rig.ts";

const ERROR = 3;
const CURSOR_STATE = 37;
const ACT_ACK = 48;
const CMD_VM = 70;
const FRAME_RING = 83;
const CONT = [1];
const O_PATH = 0o10000000;

/** What a FRAME_RING of two slots of a page says. */
function ringWords(bytes: number): number[] {
  return [bytes, 0, 2, 4096];
}

/** The control got one ERROR 13 and then the end. */
function assertThrownOut(client: RawClient, what: string): void {
  const fresh = client.read();
  assertEquals(fresh.map((frame) => [frame.kind, frame.words[0]]), [[ERROR, 13]], what);
  assert(client.ended, `${what}: the socket is closed`);
}

function isGapless(client: RawClient): void {
  const seqs = client.frames.map((frame) => frame.seq);
  assertEquals(seqs, seqs.map((_, i) => i), "WELCOME has seq 0, then each frame the next");
}

Deno.test("frames against the protocol: one ERROR 13, the socket closes, nobody else notices", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const bystander = rig.join();
    const cases: [what: string, bytes: Uint8Array<ArrayBuffer>][] = [
      ["garbage", new Uint8Array(200).fill(0xa5)],
      ["one byte", new Uint8Array(1)],
      ["an empty packet", new Uint8Array(0)],
      ["a header without its last byte", rawFrame({ kind: CMD_VM }).slice(0, 95)],
      ["bad magic", rawFrame({ kind: CMD_VM, magic: 0x31475357 })],
      ["kind 0", rawFrame({ kind: 0 })],
      ["unknown kind", rawFrame({ kind: 200 })],
      ["kind 65535", rawFrame({ kind: 0xffff })],
      ...[16, 19, 32, 36, 66, 67, 68, 69, 71, 72].map((kind): [string, Uint8Array<ArrayBuffer>] => [
        `retired kind ${kind}`,
        rawFrame({ kind }),
      ]),
      ["reserved not 0", rawFrame({ kind: CMD_VM, reserved: 1 })],
      ["reserved not 0, high byte", rawFrame({ kind: CMD_VM, reserved: 0x80000000 })],
      ["longer than it says", rawFrame({ kind: CMD_VM, body: new Uint8Array(9), bodyBytes: 8 })],
      ["shorter than it says", rawFrame({ kind: CMD_VM, body: new Uint8Array(8), bodyBytes: 9 })],
      ["a body of 64 KiB and one", rawFrame({ kind: CMD_VM, body: new Uint8Array(65_537) })],
      ["a body length of 2^32-1", rawFrame({ kind: CMD_VM, bodyBytes: 0xffffffff })],
      ["a command sent UP", rawFrame({ kind: CMD_VM, dir: 0 })],
      ["an event sent DOWN", rawFrame({ kind: CURSOR_STATE, dir: 1 })],
      ["direction 2", rawFrame({ kind: CMD_VM, dir: 2 })],
      ["priority 4", rawFrame({ kind: CMD_VM, prio: 4 })],
      ["body format 3", rawFrame({ kind: CMD_VM, format: 3 })],
      ["a body without a format", rawFrame({ kind: CMD_VM, format: 0, body: new Uint8Array(4) })],
      ["fds that did not come", rawFrame({ kind: CMD_VM, fds: 1 })],
      ["nine fds", rawFrame({ kind: CMD_VM, fds: 9 })],
      ["WELCOME", rawFrame({ kind: 97, dir: 0 })],
      ...[1, 2, 3, 48, 49, 50, 53, 77, 80, 84, 99].map((kind): [string, Uint8Array<ArrayBuffer>] => [
        `UP of kind ${kind}`,
        rawFrame({ kind, dir: 0 }),
      ]),
    ];
    for (const [what, bytes] of cases) {
      const client = rig.join();
      client.sendBytes(bytes);
      // What stands behind it is not read any more, and must not cost the peer its ERROR.
      for (let i = 0; i < 40; i++) client.send({ kind: CMD_VM, corr: 9, words: CONT });
      rig.turn();
      assertThrownOut(client, what);
    }
    assertEquals(host!.commands.length, 0);
    bystander.send({ kind: CMD_VM, corr: 5, words: CONT });
    rig.turn();
    bystander.read();
    assertEquals(bystander.acks(5), [0]);
    isGapless(bystander);
  });
});

Deno.test("commands read before the bad frame are carried out", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const client = rig.join();
    client.send({ kind: CMD_VM, corr: 1, words: CONT });
    client.sendBytes(new Uint8Array(3));
    rig.turn();
    assertEquals(host!.commands.length, 1);
    client.read();
    assertEquals(client.of(ERROR).length, 1);
  });
});

Deno.test("no bit of a header makes a command somebody else's", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const victim = rig.join();
    const forger = rig.join();
    const id = [...rig.core.fanOut.controls.keys()][1] as number;
    let sent = 0;
    // Every byte of the header that does not break the protocol, with the victim's number and with all ones.
    for (let at = 6; at < 48; at++) {
      for (const value of [1, 2, 0xff]) {
        const bytes = rawFrame({ kind: CMD_VM, corr: 77, words: CONT });
        if (at === 7 || at === 8 || at === 9 || (at >= 10 && at < 12) || (at >= 24 && at < 32)) continue;
        bytes[at] = value;
        forger.sendBytes(bytes);
        sent++;
        rig.turn(2);
      }
    }
    rig.turn();
    assert(sent > 80);
    assert(host!.commands.every((command) => command.origin === id));
    assertEquals(victim.read(), []);
    assertEquals(forger.read().filter((frame) => frame.kind === ACT_ACK).length, sent);
    assert(!forger.ended);
  });
});

Deno.test("endpoint 2^32-1, and every other that is none: one ACT_ACK 2, the control stays", () => {
  withRig((rig) => {
    const client = rig.join();
    const endpoints = [64, 65, 0x7fffffff, 0x80000000, 0xffffffff];
    endpoints.forEach((endpoint, i) => client.send({ kind: CMD_VM, endpoint, corr: i + 1, words: CONT }));
    rig.turn(20);
    client.read();
    assertEquals(endpoints.map((_, i) => client.acks(i + 1)), endpoints.map(() => [2]));
    assertEquals(client.of(ACT_ACK).map((ack) => ack.endpoint), endpoints);
    isGapless(client);
  });
});

Deno.test("descriptors with a kind that has none break the protocol, and are closed with the frame", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    using counted = new CountedFile();
    const memfd = counted.file;
    for (
      const frame of [{ kind: CMD_VM, words: CONT }, { kind: CURSOR_STATE, dir: 0 }, { kind: 82, dir: 0 }]
    ) {
      const client = rig.join();
      client.send({ ...frame, fds: 2 }, [memfd.fd, memfd.fd]);
      client.send({ kind: CMD_VM, corr: 1, words: CONT });
      rig.turn();
      assertThrownOut(client, `kind ${frame.kind}`);
      assertEquals(counted.held, 1);
    }
    assertEquals(host!.commands.length, 0);
    // And when the frame, or one before it, breaks the protocol otherwise.
    const breaking = rig.join();
    breaking.send({ kind: CMD_VM, fds: 3 }, [memfd.fd, memfd.fd]);
    breaking.send({ kind: CMD_VM, fds: 1 }, [memfd.fd]);
    breaking.send({ kind: 200, fds: 1 }, [memfd.fd]);
    rig.turn();
    const early = rig.connect();
    early.sendBytes(rawFrame({ kind: CMD_VM, fds: 1 }), [memfd.fd]);
    early.sendBytes(rawHello(), [memfd.fd]);
    rig.turn();
    assertEquals(counted.held, 1);
  });
});

Deno.test("a ring is a sealed memfd of the size and shape that its event says; anything else is refused and closed", () => {
  withRig((rig) => {
    rig.attach(3, SOURCE.VMHOST);
    const bytes = 0x2000 + 2 * 4096;
    const memfd = (seals: number, size = bytes) => {
      const file = createMemfd("ring", size, { sealable: true });
      addSeals(file.fd, seals);
      return file;
    };
    const { SHRINK, GROW, WRITE, FUTURE_WRITE } = SEAL;
    const words = ringWords(bytes);
    const [read, write] = pipe();
    const [near, far] = socketPair(SOCKET.SEQPACKET);
    const cases: [what: string, file: OwnedFd, words: number[], ok: boolean][] = [
      ["sealed against future writes", memfd(SHRINK | GROW | FUTURE_WRITE), words, true],
      ["sealed against writes", memfd(SHRINK | GROW | WRITE), words, true],
      ["not sealed at all", createMemfd("ring", bytes), words, false],
      ["it may shrink", memfd(GROW | WRITE), words, false],
      ["it may grow", memfd(SHRINK | WRITE), words, false],
      ["it may be written to", memfd(SHRINK | GROW), words, false],
      ["it is smaller", memfd(SHRINK | GROW | WRITE, 4096), words, false],
      ["it is larger", memfd(SHRINK | GROW | WRITE, 2 * bytes), words, false],
      ["one slot", memfd(SHRINK | GROW | WRITE), [bytes, 0, 1, 4096], false],
      ["nine slots", memfd(SHRINK | GROW | WRITE, 0x2000 + 9 * 4096), [0x2000 + 9 * 4096, 0, 9, 4096], false],
      ["slots beyond its end", memfd(SHRINK | GROW | WRITE), [bytes, 0, 3, 4096], false],
      ["a stride that is no page's", memfd(SHRINK | GROW | WRITE), [bytes, 0, 2, 4000], false],
      ["no stride", memfd(SHRINK | GROW | WRITE), [bytes, 0, 2, 0], false],
      ["a socket", near, words, false],
      ["its own connection's other end", far, words, false],
      ["a pipe", read, words, false],
      ["a pipe's other end", write, words, false],
      ["a path only", reopen("/proc/self/exe", O_PATH), words, false],
      ["a file", reopen("/proc/self/exe", OPEN.READ_ONLY), words, false],
      ["a folder", reopen("/", OPEN.READ_ONLY), words, false],
    ];
    const watcher = rig.join();
    const publisher = rig.join();
    let corr = 0;
    for (const [what, file, ring, ok] of cases) {
      publisher.send({ kind: FRAME_RING, dir: 0, endpoint: 3, corr: ++corr, words: ring, fds: 1 }, [file.fd]);
      rig.turn();
      const errors = publisher.read().filter((frame) => frame.kind === ERROR);
      assertEquals(errors.map((frame) => [frame.words[0], frame.corr]), ok ? [] : [[7, corr]], what);
      assertEquals(watcher.read().map((frame) => frame.kind), ok ? [FRAME_RING] : [], what);
      file.close();
    }
    assert(!publisher.ended, "it stays");
    for (const fd of [...watcher.fds, ...publisher.fds]) closeFd(fd);
  });
});

Deno.test("a body that its kind does not have is refused and not carried around", () => {
  withRig((rig) => {
    const [host, input] = rig.attach(0, SOURCE.VMHOST, SOURCE.INPUT);
    const client = rig.join();
    const body = new Uint8Array(65_536).fill(1);
    let corr = 0;
    const code = (frame: RawFrame): number => {
      client.send({ ...frame, corr: ++corr });
      rig.turn();
      const [answer] = client.read().filter((each) => each.corr === corr);
      return answer!.kind === ACT_ACK
        ? answer!.words[1]!
        : answer!.kind === ERROR
        ? answer!.words[0]!
        : -answer!.kind;
    };
    for (const format of [1, 2]) {
      for (const kind of [CMD_VM, 65, 74, 75, 76]) assertEquals(code({ kind, words: CONT, body, format }), 7);
      for (const kind of [CURSOR_STATE, 81, 82]) assertEquals(code({ kind, dir: 0, body, format }), 7);
    }
    assertEquals(code({ kind: 64, words: [3, 30, 1], body: body.subarray(0, 24), format: 2 }), 7);
    assertEquals(code({ kind: 64, words: [3, 30, 1], body, format: 1 }), 14);
    assertEquals(code({ kind: 79, body: body.subarray(0, 4097), format: 1 }), 14);
    assertEquals([host!.commands.length, input!.commands.length], [0, 0]);
    assert(!client.ended);
    // What is right is charged while it waits, and given back.
    const account = rig.core.accounts.join(1000);
    account.leave();
    assertEquals(code({ kind: 73, words: [0] }), -50);
    input!.answers = "later";
    client.send({ kind: 64, words: [3, 30, 1], body: body.subarray(0, 48), format: 1 });
    rig.turn();
    assertEquals(input!.commands.map((command) => command.bodyBytes), [48]);
    input!.answer();
    rig.turn();
    assertEquals(account.commandBytes, 0);
  });
});

Deno.test("a uid's unanswered commands are bounded over all its controls; they go on when half of it is answered, and none is lost", () => {
  withRig((rig) => {
    const inputs = Array.from({ length: 12 }, (_, id) => rig.attach(id, SOURCE.INPUT)[0]!);
    const body = new Uint8Array(255 * 24);
    const clients = inputs.map((_, id) => {
      const client = rig.join();
      client.send({ kind: 73, endpoint: id, corr: 1, words: [0] });
      return client;
    });
    rig.turn();
    for (const input of inputs) input.answers = "later";
    rig.grant = { ...fullGrant(77), caps: ALL_CAPS };
    const other = rig.join();
    const account = rig.core.accounts.join(1000);
    const sent = clients.map(() => 0);
    for (let i = 0; i < 400; i++) {
      clients.forEach((client, id) => {
        const frame = rawFrame({
          kind: 64,
          endpoint: id,
          corr: sent[id]! + 2,
          words: [3, 30, 1],
          body,
          format: 1,
        });
        if (client.sendBytes(frame) > 0) sent[id]!++;
      });
      rig.turn(2);
    }
    assert(account.commandBytes > 0.9 * MAX_PRINCIPAL_COMMAND_BYTES, `${account.commandBytes}`);
    assert(account.commandBytes < 1.1 * MAX_PRINCIPAL_COMMAND_BYTES, `${account.commandBytes}`);
    const taken = () => inputs.reduce((sum, input) => sum + input.commands.length, 0);
    const all = sent.reduce((sum, count) => sum + count, 0);
    assert(taken() < all, `${taken()} of ${all}`);
    // Another uid's control is read as ever.
    other.send({ kind: 75, endpoint: 0, corr: 9, words: [0] });
    rig.turn();
    assertEquals(other.read().filter((frame) => frame.corr === 9).length, 1);
    for (let i = 0; taken() < all && i < 100_000; i++) {
      for (const input of inputs) if (input.tickets.length > 0) input.answer();
      if (i % 16 === 0) {
        rig.turn(1);
        for (const client of clients) client.read();
      }
    }
    assertEquals(taken(), all);
    for (const input of inputs) while (input.tickets.length > 0) input.answer();
    for (let i = 0; i < 50; i++) {
      rig.turn(1);
      for (const client of clients) client.read();
    }
    clients.forEach((client, id) => assertEquals(client.of(ACT_ACK).length, sent[id]));
    assertEquals(account.commandBytes, 0);
    account.leave();
  });
});

Deno.test("a MEMCTX brings openings of its own, read-only, that share no position", () => {
  withRig((rig) => {
    const [memory] = rig.attach(2, SOURCE.MEMCTX);
    using counted = new CountedFile();
    const memfd = counted.file;
    pwriteFrom(memfd.fd, new Uint8Array([1, 2, 3, 4]), 0, 4, 0);
    const event = memory!.at.event(77);
    event.own([memfd.fd], { releasePayload: () => {} });
    memory!.at.emit(event);
    rig.turn();
    const [a, b] = [rig.join(), rig.join()];
    assertEquals([a.fds.length, b.fds.length], [1, 1]);
    assertEquals(counted.held, 3, "its own, and the two that the clients have");
    const bytes = new Uint8Array(4);
    assertEquals(preadInto(a.fds[0]!, bytes, 0, 4, 0), 4);
    assertEquals([...bytes], [1, 2, 3, 4]);
    assertThrows(() => pwriteFrom(b.fds[0]!, bytes, 0, 4, 0), Error, "EBADF", "it cannot be written to");
    assertEquals(statFd(a.fds[0]!).ino, statFd(memfd.fd).ino);
    for (const fd of [...a.fds, ...b.fds]) closeFd(fd);
    rig.core.forget(2 as EndpointId);
  });
});

Deno.test("publishing: with PUBLISH to who watches, without it one ERROR 1, and never in another's name", () => {
  withRig((rig) => {
    rig.attach(3, SOURCE.VMHOST);
    const watcher = rig.join();
    const publisher = rig.join();
    rig.grant = { ...fullGrant(1), caps: ALL_CAPS & ~CAP.PUBLISH };
    const powerless = rig.join();
    const bytes = 0x2000 + 2 * 4096;
    using memfd = createMemfd("ring", bytes, { sealable: true });
    addSeals(memfd.fd, SEAL.SHRINK | SEAL.GROW | SEAL.FUTURE_WRITE);
    const cursor: RawFrame = {
      kind: CURSOR_STATE,
      dir: 0,
      source: 5,
      prio: 3,
      endpoint: 3,
      token: 9n,
      words: [7, 8, 1, 1],
    };
    publisher.send(cursor);
    publisher.send({ ...cursor, kind: 81 });
    publisher.send({ ...cursor, kind: 82 });
    publisher.send({ kind: FRAME_RING, dir: 0, endpoint: 3, words: ringWords(bytes), fds: 1 }, [memfd.fd]);
    powerless.send({ ...cursor, corr: 4 });
    rig.turn(20);
    const got = watcher.read();
    assertEquals(got.map((frame) => frame.kind).sort(), [37, 81, 82, 83]);
    for (const frame of got) assertEquals([frame.source, frame.endpoint, frame.token], [SOURCE.FRAME, 3, 0n]);
    assertEquals(got.find((frame) => frame.kind === 37)?.prio, 0, "its priority is the kind's own");
    assertEquals(watcher.fds.length, 1);
    const errors = powerless.read().filter((frame) => frame.kind === ERROR);
    assertEquals(errors.map((frame) => [frame.words[0], frame.corr]), [[1, 4]]);
    assert(!powerless.ended, "it stays");
    // Retained for who comes later, forgotten with its publisher.
    const later = rig.join();
    assertEquals(later.of(FRAME_RING).length, 1);
    publisher.close();
    rig.turn();
    assertEquals(rig.join().of(FRAME_RING).length, 0);
    for (const client of [watcher, later, powerless]) for (const fd of client.fds) closeFd(fd);
    publisher.fds.forEach(closeFd);
  });
});

Deno.test("publishing outside the grant, to no endpoint, or with descriptors it should not have: an ERROR each", () => {
  withRig((rig) => {
    rig.attach(3, SOURCE.VMHOST);
    using memfd = createMemfd("ring", 4096);
    const client = rig.join();
    client.send({ kind: CURSOR_STATE, dir: 0, endpoint: 0xffffffff, corr: 1 });
    client.send({ kind: CURSOR_STATE, dir: 0, endpoint: 9, corr: 2 });
    client.send({ kind: FRAME_RING, dir: 0, endpoint: 3, corr: 3 });
    client.send({ kind: FRAME_RING, dir: 0, endpoint: 3, corr: 4, words: ringWords(4096), fds: 1 }, [
      memfd.fd,
    ]);
    rig.turn(20);
    assertEquals(client.read().map((frame) => [frame.kind, frame.corr, frame.words[0]]), [
      [ERROR, 1, 2],
      [ERROR, 2, 5],
      [ERROR, 3, 7],
      [ERROR, 4, 7],
    ]);
    isGapless(client);
  });
});

Deno.test("a client that sends commands and closes at once, having read nothing, has all of them carried out", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    for (let id = 1; id < 20; id++) {
      rig.core.publishRoster(id as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 0, name: `vm${id}` });
    }
    for (const answers of ["now", "never"] as const) {
      host!.answers = answers;
      host!.commands.length = 0;
      const client = rig.connect();
      client.sendBytes(rawHello());
      let sent = 0;
      while (sent < 5000 && client.sendBytes(rawFrame({ kind: CMD_VM, corr: sent + 1, words: CONT })) > 0) {
        sent++;
      }
      assert(sent > 50, "the socket takes some");
      client.close();
      rig.turn(sent + 20);
      assertEquals(host!.commands.length, sent, `answers ${answers}`);
      assertEquals(rig.core.fanOut.controls.size, 0);
      assertEquals(rig.left, answers === "now" ? 1 : 2);
    }
    // One that has had its WELCOME and a reset with it.
    host!.answers = "now";
    host!.commands.length = 0;
    const client = rig.join();
    rig.core.publishRoster(30 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 0, name: "unread" });
    rig.turn();
    for (let i = 0; i < 60; i++) client.send({ kind: CMD_VM, corr: i + 1, words: CONT });
    client.close();
    rig.turn(80);
    assertEquals(host!.commands.length, 60);
    for (let id = 1; id < 31; id++) rig.core.forget(id as EndpointId);
  });
});

Deno.test("with few answers allowed, all commands of one that closed at once are carried out too", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    host!.answers = "later";
    const client = rig.connect();
    client.sendBytes(rawHello());
    for (let i = 0; i < 40; i++) client.send({ kind: CMD_VM, corr: i + 1, words: CONT });
    client.close();
    rig.turn(100);
    assertEquals(host!.commands.length, 40);
  }, { queueEvents: 8 });
});

Deno.test("commands without corr: a control that is held back goes on when they are done", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    host!.answers = "later";
    const client = rig.join();
    for (let i = 0; i < 20; i++) client.send({ kind: CMD_VM, words: CONT });
    rig.turn(40);
    const taken = host!.commands.length;
    assert(taken >= 5 && taken < 20, `held back after ${taken}`);
    while (host!.tickets.length > 0) {
      host!.answer();
      rig.turn(2);
    }
    assertEquals(host!.commands.length, 20);
    assertEquals(client.read(), [], "nothing was to be told");
  }, { queueEvents: 8 });
});

Deno.test("block: a control whose lane is full is not read, loses nothing, keeps its order", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    rig.core.setPolicy(SOURCE.VMHOST, 1, {
      ...PASS_THROUGH,
      minGapNs: 1000,
      maxInflight: 2,
      drop: DROP.BLOCK,
    });
    const client = rig.join();
    const other = rig.join();
    for (let i = 0; i < 60; i++) client.send({ kind: CMD_VM, corr: i + 1, words: CONT });
    rig.turn(20);
    assertEquals(host!.commands.length, 1);
    // The other one's lane is its own matter.
    other.send({ kind: 75, corr: 1 });
    rig.turn();
    assertEquals(other.read().map((frame) => frame.kind), [54]);
    for (let i = 0; i < 400 && host!.commands.length < 60; i++) {
      rig.clock.advance(1000);
      rig.turn(3);
    }
    assertEquals(host!.commands.map((command) => command.corr), Array.from({ length: 60 }, (_, i) => i + 1));
    client.read();
    assertEquals(client.of(ACT_ACK).map((ack) => ack.words[1]), new Array(60).fill(0));
  });
});

Deno.test("10,000 connects and disconnects leave no descriptor, no timer and no control behind", () => {
  withRig((rig) => {
    rig.attach(0, SOURCE.VMHOST);
    const hello = rawHello();
    const command = rawFrame({ kind: CMD_VM, corr: 1, words: CONT });
    rig.join().close();
    rig.turn(20);
    const before = openFdCount();
    for (let i = 0; i < 10_000; i++) {
      const client = rig.connect();
      // Some say nothing, some only HELLO, some work, some break the protocol.
      if (i % 4 > 0) client.sendBytes(hello);
      if (i % 4 === 2) client.sendBytes(command);
      if (i % 4 === 3) client.sendBytes(new Uint8Array(5));
      if (i % 8 < 4) rig.turn(3);
      client.close();
      if (i % 16 === 15) rig.turn(4);
    }
    rig.turn(40);
    assertEquals(openFdCount(), before);
    assertEquals(rig.core.fanOut.controls.size, 0);
    // What the audit trail has left out is told a second later.
    rig.clock.advance(SECOND);
    rig.turn();
    assertEquals(rig.loop.armed, 0);
    assertEquals(rig.left, 1 + 7500);
  });
});

Deno.test("200 attach and detach cycles of an endpoint leave no descriptor and no event behind", () => {
  withRig((rig) => {
    const client = rig.join();
    using counted = new CountedFile();
    const ram = counted.file;
    const before = openFdCount();
    for (let i = 0; i < 200; i++) {
      const [host, memory] = rig.attach(7, SOURCE.VMHOST, SOURCE.MEMCTX);
      host!.answers = "never";
      const copy = ram.dup();
      const event = memory!.at.event(77);
      event.own([copy.fd], { releasePayload: () => copy.close() });
      memory!.at.emit(event);
      client.send({ kind: CMD_VM, endpoint: 7, corr: i + 1, words: CONT });
      rig.turn();
      rig.core.detach(host!.at.endpoint, "detached", () => rig.core.forget(7 as EndpointId));
      rig.turn();
      client.read();
      for (const fd of client.fds.splice(0)) closeFd(fd);
      assertEquals(client.acks(i + 1), [6]);
    }
    assertEquals(openFdCount(), before);
    assertEquals(counted.held, 1);
    assertEquals(client.of(1).length, 400);
    assertEquals(client.of(2).length, 400);
    assertEquals(client.of(78).length, 200);
    isGapless(client);
  });
});
