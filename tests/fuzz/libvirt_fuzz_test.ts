/**
 * Packets of libvirt's RPC, torn into pieces, and the answers and events in them.
 */
import { assert } from "@std/assert";
import {
  type CallResult,
  type Domain,
  listDomains,
  readEvent,
} from "../../src/hosts/libvirt/libvirt_calls.ts";
import { RpcClient } from "../../src/hosts/libvirt/rpc_client.ts";
import { XdrError, XdrReader, XdrWriter } from "../../src/hosts/libvirt/xdr.ts";
import { fuzz } from "./harness.ts";

const REMOTE = 0x2000_8086;
const UUID = Uint8Array.from({ length: 16 }, (_, i) => i);

function packet(procedure: number, type: number, status: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return new XdrWriter().u32(28 + body.length).u32(REMOTE).u32(1).u32(procedure).u32(type).u32(1).u32(status)
    .fixed(body).bytes();
}

const LIST = new XdrWriter().u32(2).text("web").fixed(UUID).u32(1).text("db").fixed(UUID).u32(2).u32(2)
  .bytes();
const REFUSED = new XdrWriter().u32(38).u32(7).optionalText("access denied").u32(2).bytes();
const STARTED = new XdrWriter().u32(0).text("web").fixed(UUID).u32(1).u32(2).u32(0).bytes();
const QEMU_EVENT = new XdrWriter().u32(0).text("web").fixed(UUID).u32(1).text("RESET").u32(0).u32(5).u32(6)
  .optionalText('{"guest":true}').bytes();

fuzz({
  name: "libvirt's packets",
  corpus: () => [
    packet(273, 1, 0, LIST),
    packet(273, 1, 1, REFUSED),
    packet(318, 2, 0, STARTED),
    // A reply that says that descriptors come, and brings none; bytes of a stream.
    packet(273, 5, 0, new Uint8Array([0, 0, 0, 1, ...LIST])),
    packet(201, 3, 2, new Uint8Array(8)),
  ],
  largest: 4096,
  words: [[0, 0, 0, 1], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 28], [0x20, 0, 0x80, 0x86]],
  decode: (input, random) => {
    const results: CallResult<Domain[]>[] = [];
    let events = 0;
    const client = new RpcClient({ send: () => {}, onEvent: () => events++ });
    listDomains(client, (result) => results.push(result));
    const streamed: string[] = [];
    client.stream(REMOTE, 201, new Uint8Array(0), {
      onData: (bytes) => streamed.push(`${bytes.length}`),
      onEnd: (why) => streamed.push(why),
    }, () => {});
    let defect = "";
    for (let at = 0; at < input.length && defect === "";) {
      const piece = 1 + random.below(64);
      defect = client.receive(input.subarray(at, at + piece));
      at += piece;
    }
    client.close();
    assert(results.length === 1, "a call is answered once");
    if (defect !== "") return "broken";
    const [result] = results;
    if (result?.ok === true) return "list";
    return result?.isClosed === false ? "refused" : events > 0 ? "event" : "nothing";
  },
  mustMeet: ["list", "refused", "event", "broken", "nothing"],
});

fuzz({
  name: "libvirt's events",
  corpus: () => [STARTED, QEMU_EVENT],
  largest: 4096,
  words: [[0, 0, 0, 1], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 4]],
  decode: (input, random) => {
    const [program, procedure] = random.oneIn(2) ? [REMOTE, 318] : [0x2000_8087, 6];
    try {
      return readEvent(program as number, procedure as number, new XdrReader(input))?.kind ?? "unknown";
    } catch (error) {
      if (error instanceof XdrError) return "cut";
      throw error;
    }
  },
  mustMeet: ["lifecycle", "qemu", "cut"],
});
