/** Descriptors that a control sends with a command, over the socket: counted by the file that they are of. */
import { assert, assertEquals } from "@std/assert";
import { closeFd } from "../../../ffi/owned_fd.ts";
import { fullGrant } from "../../../src/access/grant.ts";
import { CODE } from "../../../src/base/codes.ts";
import { MAX_PRINCIPAL_COMMAND_FDS } from "../../../src/base/limits.ts";
import { DROP, PASS_THROUGH } from "../../../src/context/policy.ts";
import { FDS_OF_KIND } from "../../../src/event/body_rule.ts";
import { CAP } from "../../../src/event/capability.ts";
import { DIR } from "../../../src/event/defaults.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { CountedFile } from "../ffi/held_descriptors.ts";
import { acquireFrame, type RawClient, type SocketRig, withRig } from "./socket_rig.ts";

const CMD_VM = 70;
const CMD_MEMWRITE = 79;
const CONT = [1];

/** A rig in which CMD_VM and CMD_MEMWRITE may bring eight descriptors, which all are of one file. */
function withFds(body: (rig: SocketRig, file: CountedFile) => void): void {
  const kinds = [KIND.CMD_VM, KIND.CMD_MEMWRITE];
  const before = kinds.map((kind) => FDS_OF_KIND[kind] as number);
  for (const kind of kinds) FDS_OF_KIND[kind] = 8;
  try {
    withRig((rig) => {
      using file = new CountedFile();
      body(rig, file);
    });
  } finally {
    kinds.forEach((kind, i) => FDS_OF_KIND[kind] = before[i] as number);
  }
}

function send(client: RawClient, file: CountedFile, count: number, corr: number, endpoint = 0): void {
  const fds = new Array<number>(count).fill(file.file.fd);
  client.send({ kind: CMD_VM, corr, words: CONT, endpoint, fds: count }, fds);
}

Deno.test("they come with the command, are the adapter's to take, and are closed otherwise", () => {
  withFds((rig, file) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const client = rig.join();
    send(client, file, 2, 1);
    rig.turn();
    client.read();
    assertEquals([client.acks(1), host!.commands[0]?.fds.length], [[CODE.ok], 2]);
    assertEquals(file.held, 1);
    host!.keeps = "fds";
    send(client, file, 8, 2);
    rig.turn();
    assertEquals([host!.taken.length, file.held], [8, 9], "those are the adapter's own");
    for (const fd of host!.taken.splice(0)) closeFd(fd);
    host!.keeps = "event";
    send(client, file, 1, 3);
    rig.turn();
    assertEquals(file.held, 2);
    host!.kept.pop()!.release();
    assertEquals(file.held, 1);
  });
});

Deno.test("with a body, too: both are let go with the command, and counted for its sender until then", () => {
  withFds((rig, file) => {
    const [, memory] = rig.attach(0, SOURCE.VMHOST, SOURCE.MEMCTX);
    const client = rig.join();
    client.send(acquireFrame(2, 1));
    rig.turn();
    memory!.keeps = "event";
    const body = new Uint8Array(100).fill(5);
    const fds = [file.file.fd, file.file.fd];
    client.send({ kind: CMD_MEMWRITE, corr: 2, words: [0, 0, 100], body, fds: 2 }, fds);
    rig.turn();
    client.read();
    assertEquals([client.acks(2), memory!.commands[0]?.bodyBytes, file.held], [[CODE.ok], 100, 3]);
    const account = rig.core.accounts.join(1000);
    assertEquals(account.commandBytes, 100);
    memory!.kept.pop()!.release();
    assertEquals([account.commandBytes, file.held], [0, 1]);
    account.leave();
    // A body that the kind does not have: nothing of it is kept either.
    client.send({ kind: CMD_VM, corr: 3, words: CONT, body, fds: 2 }, fds);
    rig.turn();
    client.read();
    assertEquals([client.acks(3), file.held, account.commandBytes], [[CODE["bad-argument"]], 1, 0]);
  });
});

Deno.test("one uid's commands hold a bounded number of them; more are refused as busy, and others are not", () => {
  withFds((rig, file) => {
    rig.attach(0, SOURCE.VMHOST);
    rig.core.setPolicy(SOURCE.VMHOST, DIR.DOWN, { ...PASS_THROUGH, minGapNs: 1e12 });
    const [a, b] = [rig.join(), rig.join()];
    rig.grant = { ...fullGrant(2000), caps: CAP.VM };
    const other = rig.join();
    // The first goes at once.
    a.send({ kind: CMD_VM, words: CONT });
    rig.turn();
    for (let i = 1; i <= 20; i++) send(i % 2 === 0 ? a : b, file, 8, i);
    rig.turn(20);
    a.read();
    b.read();
    const busy = [...a.frames, ...b.frames].filter((frame) => frame.words[1] === CODE.busy);
    assertEquals([busy.length, file.held], [12, 1 + MAX_PRINCIPAL_COMMAND_FDS]);
    send(other, file, 1, 1);
    rig.turn();
    other.read();
    assertEquals([other.acks(1), file.held], [[], 2 + MAX_PRINCIPAL_COMMAND_FDS], "it waits like the rest");
    rig.core.detach(rig.core.endpoint(0)!.id, "detached", () => {});
    rig.turn();
    a.read();
    assertEquals(file.held, 1, "all of them are closed");
    assert(!a.ended && !b.ended);
    assertEquals(rig.core.bus.ledger.count, 0);
  });
});

Deno.test("refused, without room, or gone with the socket: none is left", () => {
  withFds((rig, file) => {
    rig.attach(0, SOURCE.VMHOST);
    const client = rig.join();
    send(client, file, 3, 1, 9);
    rig.turn();
    client.read();
    assertEquals([client.acks(1), file.held], [[CODE["no-endpoint"]], 1]);
    rig.core.setPolicy(SOURCE.VMHOST, DIR.DOWN, {
      ...PASS_THROUGH,
      minGapNs: 1e12,
      maxInflight: 1,
      drop: DROP.BLOCK,
    });
    // One goes, one waits in the lane, one in the control's backlog, the others in its socket.
    for (let i = 2; i <= 6; i++) send(client, file, 2, i);
    rig.turn();
    assertEquals(file.held, 5);
    client.close();
    rig.turn(20);
    assertEquals(file.held, 3, "what the lane holds is still to be sent");
    rig.core.detach(rig.core.endpoint(0)!.id, "detached", () => {});
    rig.turn();
    assertEquals(file.held, 1);
  });
});
