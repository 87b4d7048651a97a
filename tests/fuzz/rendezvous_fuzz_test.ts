/**
 * The rendezvous of v2v: the invitation between processes, and what an ivshmem server says to its clients.
 */
import { assert } from "@std/assert";
import { addSeals, createMemfd, SEAL } from "../../ffi/memfd.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import { openFdCount, type OwnedFd } from "../../ffi/owned_fd.ts";
import { acceptUnix, listenUnix, SOCKET, unlinkSocket } from "../../ffi/unix_socket.ts";
import { MAX_ORDER } from "../../src/v2v/region_layout.ts";
import { sendOne } from "../../ffi/datagram.ts";
import {
  decodeInvitation,
  encodeInvitation,
  encodeRefusal,
  MAX_INVITATION_BYTES,
} from "../../src/rendezvous/invitation.ts";
import { IvshmemDevice } from "../../src/rendezvous/ivshmem_device.ts";
import { checkPrefix } from "../../src/rendezvous/prefix.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, fuzz } from "./harness.ts";
import { CBOR_OPENERS, CBOR_WORDS, cborBytes, withDefects } from "./structured.ts";

const INVITATION = { generation: 3, prodOrder: 4, consOrder: 8 };
const REFUSAL = { proto: 1, code: 18, reason: "it has a connector already" };

fuzz({
  name: "invitation",
  corpus: () => [
    encodeInvitation(INVITATION),
    encodeInvitation({ generation: 0xffff_ffff, prodOrder: 0, consOrder: 0 }),
  ],
  make: (random) => cborBytes(withDefects(random, random.oneIn(3) ? REFUSAL : { proto: 1, ...INVITATION })),
  largest: MAX_INVITATION_BYTES,
  words: [
    ...CBOR_WORDS,
    ...Object.keys({ ...INVITATION, ...REFUSAL }).map(cborBytes),
    encodeRefusal("busy", "no"),
  ],
  openers: CBOR_OPENERS,
  decode: (input) => {
    const { generation, prodOrder, consOrder } = decodeInvitation(input, "it");
    assert(Number.isInteger(generation) && generation >= 0 && generation <= 0xffff_ffff);
    for (const order of [prodOrder, consOrder]) {
      assert(Number.isInteger(order) && order >= 0 && order <= MAX_ORDER);
    }
    return "invited";
  },
  mustMeet: ["invited", "fault:protocol-error", "fault:busy", "fault:refused"],
});

const decoder = new TextDecoder();

fuzz({
  name: "prefix",
  corpus: () => ["bench", "a.b-c_d", "x".repeat(64), "0"],
  largest: 4096,
  words: ["/", "..", ".", "\0", "\n", "-", "é"],
  decode: (input) => {
    const prefix = checkPrefix(decoder.decode(input));
    assert(/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$/.test(prefix), "nothing leads out of the folder");
    return "ok";
  },
  mustMeet: ["ok", "fault:bad-argument"],
});

/**
 * Messages of 8 bytes, each followed by one byte that says what goes with it: nothing, a doorbell, the
 * memory, something else.
 */
const STEP = 9;
const [NOTHING, BELL, MEMORY, OTHER] = [0, 1, 2, 3];

function steps(...list: readonly (readonly [number, number])[]): Bytes {
  const bytes = new Uint8Array(STEP * list.length);
  const view = new DataView(bytes.buffer);
  list.forEach(([number, fd], i) => {
    view.setBigInt64(STEP * i, BigInt(number), true);
    bytes[STEP * i + 8] = fd;
  });
  return bytes;
}

const own = [5, 5, 5, 5].map((id) => [id, BELL] as const);
const opening = [[0, NOTHING], [5, NOTHING], [-1, MEMORY]] as const;

class Server implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vmsig-fuzz-" }) + "/s";
  readonly listener = listenUnix(this.path, SOCKET.STREAM, { mode: 0o600, backlog: 4 });
  readonly bell = EventFd.create();
  readonly memory = createMemfd("fuzz-ivshmem", 1 << 16, { sealable: true });
  readonly other = createMemfd("fuzz-other", 100);
  readonly fdsBefore: number;

  constructor() {
    addSeals(this.memory.fd, SEAL.SHRINK | SEAL.GROW);
    this.fdsBefore = openFdCount();
  }

  #fdOf(choice: number): readonly number[] | undefined {
    switch (choice % 16) {
      case BELL:
        return [this.bell.fd];
      case MEMORY:
        return [this.memory.fd];
      case OTHER:
        return [this.other.fd];
      default:
        return undefined;
    }
  }

  /** Sends all; the last message may be cut. */
  say(socket: OwnedFd, input: Bytes): void {
    for (let at = 0; at < input.length; at += STEP) {
      const length = Math.min(8, input.length - at);
      sendOne(socket.fd, input, at, length, this.#fdOf(input[at + 8] ?? NOTHING));
    }
  }

  [Symbol.dispose](): void {
    for (const each of [this.bell, this.memory, this.other]) {
      if ("close" in each) each.close();
      else each[Symbol.dispose]();
    }
    unlinkSocket(this.path);
    this.listener.close();
    Deno.removeSync(this.path.slice(0, -2));
  }
}

let server: Server | undefined;

fuzz({
  name: "ivshmem server's messages",
  corpus: () => [
    steps(...opening, ...own),
    steps(...opening, [2, BELL], [2, BELL], ...own, [2, NOTHING]),
    steps(...opening),
  ],
  largest: STEP * 200,
  words: [
    steps([-1, MEMORY]),
    steps([7, BELL]),
    steps([7, NOTHING]),
    steps([-1, OTHER]),
    steps([65_535, BELL]),
    steps([-2, NOTHING]),
  ],
  // A connection and about eight messages each.
  share: 200,
  // Those that go on: the opening is right.
  repair: (input) => input.set(steps(...opening).subarray(0, input.length)),
  decode: (input, random: SeededRandom) => {
    server ??= new Server();
    {
      using device = new IvshmemDevice(server.path);
      const socket = acceptUnix(server.listener.fd);
      assert(socket !== undefined);
      try {
        const half = random.oneIn(3) ? STEP * random.below(input.length / STEP) : input.length;
        server.say(socket, input.subarray(0, half));
        device.hear();
        server.say(socket, input.subarray(half));
        device.hear();
        assert(device.others.length <= 64);
        if (!device.ready) return "not ready";
        assert(device.region.sizeBytes === 1 << 16 && device.bells(device.id) !== undefined);
        return "ready";
      } finally {
        socket.close();
      }
    }
  },
  mustMeet: ["ready", "not ready", "fault:protocol-error"],
  after: () => {
    assert(openFdCount() === server?.fdsBefore, "no descriptor is left over");
    server?.[Symbol.dispose]();
    server = undefined;
  },
});
