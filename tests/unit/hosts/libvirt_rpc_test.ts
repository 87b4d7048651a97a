/**
 * libvirt's RPC without a libvirt: descriptors behind a packet, streams, refusals, and what is not its
 * protocol.
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createMemfd } from "../../../ffi/memfd.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { vncIndex } from "../../../src/hosts/libvirt/domain_ways.ts";
import {
  agentCommand,
  type CallResult,
  type Domain,
  monitorCommand,
  readEvent,
} from "../../../src/hosts/libvirt/libvirt_calls.ts";
import { RpcClient, type RpcReply } from "../../../src/hosts/libvirt/rpc_client.ts";
import { PACKET, packetBytes, STATUS } from "../../../src/hosts/libvirt/rpc_packet.ts";
import { XdrReader, XdrWriter } from "../../../src/hosts/libvirt/xdr.ts";

const REMOTE = 0x2000_8086;
const QEMU = 0x2000_8087;
const WEB: Domain = { name: "web", uuid: "00".repeat(16), id: 1 };

function reply(
  serial: number,
  body: Uint8Array,
  status: number = STATUS.OK,
  files = 0,
  [program, procedure] = [REMOTE, 1],
) {
  const type = files > 0 ? PACKET.REPLY_WITH_FILES : PACKET.REPLY;
  return packetBytes({ program, procedure, type, serial, status }, body, files);
}

function clientOf(): { client: RpcClient; sent: { bytes: Uint8Array; hasFile: boolean }[] } {
  const sent: { bytes: Uint8Array; hasFile: boolean }[] = [];
  const client = new RpcClient({
    send: (bytes, file) => {
      sent.push({ bytes, hasFile: file !== undefined });
      file?.close();
    },
    onEvent: () => {},
  });
  return { client, sent };
}

Deno.test("libvirt's rpc: a descriptor comes behind its packet, whole or torn; what nobody takes is closed", () => {
  const before = openFdCount();
  const file = createMemfd("rpc", 0);
  const whole = reply(1, new Uint8Array(4), STATUS.OK, 1);
  for (const takes of [true, false]) {
    for (const tear of [whole.length, 10, 30]) {
      const { client } = clientOf();
      let taken = -1;
      client.call(REMOTE, 1, new Uint8Array(0), (answer) => {
        assert(answer.outcome === "done");
        if (!takes) return;
        using own = answer.takeFile();
        taken = own?.fd ?? -1;
        assertEquals(answer.takeFile(), undefined);
      });
      assertEquals(client.receive(whole.subarray(0, tear)), "");
      assertEquals(client.receive(whole.subarray(tear)), "");
      assertEquals(taken, -1, "not before its descriptor is there");
      const fd = file.dup().release();
      assertEquals(client.receive(new Uint8Array(1), [fd]), "");
      assertEquals(taken, takes ? fd : -1);
      client.close();
    }
  }
  file.close();
  assertEquals(openFdCount(), before);
});

Deno.test("libvirt's rpc: a packet without its descriptors, with too many, or descriptors for nobody", () => {
  const { client } = clientOf();
  const bare = reply(1, new Uint8Array(0), STATUS.OK, 1);
  assertEquals(client.receive(new Uint8Array([...bare, 0])), "a packet without its descriptors");
  const many = reply(1, new Uint8Array(0), STATUS.OK, 9);
  assertEquals(clientOf().client.receive(many), "a packet with 9 descriptors");
  const file = createMemfd("rpc", 0);
  const other = clientOf().client;
  const flood = Array.from({ length: 17 }, () => file.dup().release());
  assertEquals(other.receive(new Uint8Array(1), flood), "17 descriptors that nobody asked for");
  other.close();
  file.close();
});

Deno.test("libvirt's rpc: an answer of another program or procedure is none, and neither is another version", () => {
  const other = (program: number, procedure: number) => {
    const { client } = clientOf();
    const replies: RpcReply["outcome"][] = [];
    client.call(REMOTE, 273, new Uint8Array(0), ({ outcome }) => replies.push(outcome));
    const defect = client.receive(reply(1, new Uint8Array(4), STATUS.OK, 0, [program, procedure]));
    client.close();
    assertEquals(replies.length, 1);
    return `${replies[0]}: ${defect}`;
  };
  assertEquals(other(REMOTE, 273), "done: ");
  assertEquals(
    other(QEMU, 273),
    "closed: an answer of program 0x20008087, procedure 273 to a call of program 0x20008086, procedure 273",
  );
  assertMatch(other(REMOTE, 1), /^closed: an answer of .*, procedure 1 to a call of .*, procedure 273$/);
  const { client } = clientOf();
  const packet = reply(1, new Uint8Array(4));
  new DataView(packet.buffer).setUint32(8, 9);
  assertEquals(client.receive(packet), "a packet of version 9 of its program");
});

Deno.test("libvirt's rpc: a command with a descriptor is another call, and its descriptor follows", () => {
  const { client, sent } = clientOf();
  monitorCommand(
    client,
    WEB,
    new TextEncoder().encode('{"execute":"getfd"}'),
    () => {},
    createMemfd("rpc", 0),
  );
  monitorCommand(client, WEB, new TextEncoder().encode('{"execute":"query-status"}'), () => {});
  const procedures = sent.map(({ bytes }) =>
    bytes.length > 16 ? new DataView(bytes.buffer).getUint32(12) : 0
  );
  assertEquals(procedures, [7, 0, 1]);
  assertEquals(sent.map(({ hasFile }) => hasFile), [false, true, false]);
});

Deno.test("libvirt's rpc: a stream's bytes are its user's until one side ends it", () => {
  const { client, sent } = clientOf();
  const heard: string[] = [];
  const replies: RpcReply["outcome"][] = [];
  const stream = client.stream(REMOTE, 201, new Uint8Array(0), {
    onData: (bytes) => heard.push(new TextDecoder().decode(bytes)),
    onEnd: (why) => heard.push(`end ${why}`),
  }, ({ outcome }) => replies.push(outcome));
  const data = (status: number, body: Uint8Array, serial = 1) =>
    packetBytes({ program: REMOTE, procedure: 201, type: PACKET.STREAM, serial, status }, body);
  client.receive(reply(1, new Uint8Array(0), STATUS.OK, 0, [REMOTE, 201]));
  client.receive(data(STATUS.CONTINUE, new TextEncoder().encode("login: ")));
  client.receive(data(STATUS.CONTINUE, new TextEncoder().encode("of nobody"), 7));
  stream.send(new TextEncoder().encode("abc"));
  assertEquals(sent.at(-1)?.bytes.length, 31, "not padded");
  client.receive(data(STATUS.ERROR, new XdrWriter().u32(1).u32(0).optionalText("hung up").bytes()));
  client.receive(data(STATUS.CONTINUE, new Uint8Array(3)));
  assertEquals([heard, replies], [["login: ", "end hung up"], ["done"]]);
  const count = sent.length;
  stream.end();
  assertEquals(sent.length, count, "what has ended is not ended again");
});

Deno.test("libvirt's rpc: what is not allowed is told apart, in words that a terminal may see", () => {
  const { client } = clientOf();
  const results: CallResult<unknown>[] = [];
  agentCommand(client, WEB, "{}", 5, (result) => results.push(result));
  monitorCommand(client, WEB, new TextEncoder().encode("{}"), (result) => results.push(result));
  const denied = new XdrWriter().u32(88).u32(0).optionalText("access \x1b[2Jdenied");
  client.receive(reply(1, denied.bytes(), STATUS.ERROR, 0, [QEMU, 3]));
  const no = new XdrWriter().u32(38).u32(0).optionalText("no").bytes();
  client.receive(reply(2, no, STATUS.ERROR, 0, [QEMU, 1]));
  client.close();
  assertEquals(results.map((result) => !result.ok && result.isDenied), [true, false]);
  const [first] = results;
  assert(first?.ok === false && !/\p{Cc}/u.test(first.why));
});

Deno.test("libvirt's rpc: why a domain does not run any more", () => {
  const event = (kind: number, detail: number) =>
    readEvent(
      REMOTE,
      318,
      new XdrReader(
        new XdrWriter().u32(0).text("web").fixed(new Uint8Array(16)).u32(1).u32(kind).u32(detail).bytes(),
      ),
    );
  const told = ([kind, detail]: readonly [number, number]) => {
    const read = event(kind, detail);
    return read?.kind === "lifecycle" ? read.stopped : undefined;
  };
  assertEquals(([[2, 0], [5, 3], [5, 4], [5, 99], [8, 0]] as const).map(told), [
    "",
    "it was migrated to another host",
    "libvirt has saved it (virsh start brings it back)",
    "",
    "its guest has crashed",
  ]);
});

Deno.test("libvirt: which of a domain's displays is its VNC server", () => {
  const vnc = "<graphics type='vnc' port='5900'/>";
  assertEquals(vncIndex(`<devices>${vnc}</devices>`), 0);
  assertEquals(vncIndex(`<graphics type="spice"/><graphics type="vnc"/>`), 1);
  assertEquals(vncIndex("<graphics type='spice'/>"), -1);
  assertEquals(vncIndex("<graphics type='spice'/>".repeat(20) + vnc), -1);
});
