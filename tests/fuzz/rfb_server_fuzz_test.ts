/**
 * What a VNC viewer says, from its first byte on: whatever comes, in whatever pieces, the server keeps within
 * its bounds, ends that viewer at most, and what it sends is RFB.
 * @module
 */
import { assert } from "@std/assert";
import {
  extendedKeyEvent,
  keyEvent,
  pointerEvent,
  setEncodings,
  setPixelFormat,
  updateRequest,
} from "../../src/rfb/client_messages.ts";
import { BGRX } from "../../src/rfb/pixel_format.ts";
import { ENCODING } from "../../src/rfb/protocol.ts";
import { RfbServer } from "../../src/rfb/server/rfb_server.ts";
import { MOST_BUFFERED } from "../../src/rfb/server/viewer_link.ts";
import { ViewerKeyboard } from "../../src/client/vnc/viewer_keyboard.ts";
import { joined, u16, u32 } from "../fixtures/rfb_bytes.ts";
import { MemoryTransport } from "../fixtures/rfb_viewer.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, fuzz } from "./harness.ts";

const SIDE = 48;
const ALL = { x: 0, y: 0, width: SIDE, height: SIDE };
const FRAME = {
  words: new Int32Array(SIDE * SIDE).map((_, i) => i * 7919),
  stride: SIDE,
  width: SIDE,
  height: SIDE,
};
/** One update of the largest format, and what is told beside it. */
const MOST_SENT = MOST_BUFFERED + 2 * SIDE * SIDE * 4 + 4096;
const IN = "RFB 003.008\n\x01\x01";

/** A transport whose other side reads only sometimes. */
class LazyTransport extends MemoryTransport {
  override send(bytes: Uint8Array<ArrayBuffer>): void {
    super.send(bytes);
    this.bufferedBytes += bytes.length;
    assert(this.bufferedBytes <= MOST_SENT, `${this.bufferedBytes} bytes wait`);
  }
}

function decode(input: Bytes, random: SeededRandom): string {
  let ended = "";
  let inputs = 0;
  const keyboard = new ViewerKeyboard();
  using server = new RfbServer({
    name: "fuzz",
    ...random.oneIn(8) ? { password: "secret" } : {},
    seat: {
      onEnter: (viewer) => viewer.note = "view only",
      onLeave: () => keyboard.forget(),
      onKey: (_, ...what) => inputs += keyboard.key(...what).length,
      onPointer: (_, buttons, x, y) => {
        assert(x >= 0 && x < server.picture.width && y >= 0 && y < server.picture.height);
        for (const { value } of keyboard.pointer(buttons, { x, y, ...server.picture })) {
          assert(value >= 0 && value <= 0x7fff);
        }
        inputs++;
      },
    },
    onEnded: (_, why) => ended ||= why,
  });
  server.frame(FRAME, ALL);
  const transport = new LazyTransport();
  const viewer = server.accept(transport, "fuzz");
  let isTorn = false;
  for (let at = 0; at < input.length;) {
    const end = random.oneIn(3) ? input.length : Math.min(input.length, at + 1 + random.below(40));
    isTorn ||= end < input.length;
    viewer.receive(input.subarray(at, end));
    at = end;
    if (random.oneIn(3)) {
      transport.bufferedBytes = 0;
      transport.take();
      viewer.drained();
    }
    if (random.oneIn(20)) server.frame({ ...FRAME, width: 1 + random.below(SIDE) }, ALL);
  }
  const wasIn = server.isWanted;
  viewer.gone();
  assert(transport.closed === 1 && server.viewers === 0 && !server.isWanted, "it has gone, once");
  if (ended.includes("password")) return "password";
  if (ended !== "it disconnected") {
    return ended.startsWith("Cannot use an RFB pixel format") ? "format" : "ended";
  }
  return !wasIn ? "entering" : inputs > 0 ? "inputs" : "in";
}

const NUMBERS = [...Object.values(ENCODING), 5, 6, -23, -32, -240, 0x7fff_ffff];

function aMessage(random: SeededRandom): Uint8Array {
  const word = () => random.oneIn(2) ? random.below(300) : random.below(65_536);
  switch (random.below(12)) {
    case 0:
      return setPixelFormat({
        bitsPerPixel: [8, 16, 32, 24][random.below(4)] as number,
        depth: random.below(33),
        bigEndian: random.oneIn(2),
        trueColour: !random.oneIn(4),
        max: [255, 31, 1][random.below(3)] === 31 ? [31, 63, 31] : [255, 255, 255],
        shift: [random.below(26), random.below(26), random.below(26)],
      });
    case 1:
    case 2:
      return setEncodings(
        Array.from({ length: random.below(20) }, () => NUMBERS[random.below(NUMBERS.length)] as number),
      );
    case 3:
    case 4:
      return updateRequest(random.oneIn(2), { x: word(), y: word(), width: word(), height: word() });
    case 5:
      return keyEvent(random.oneIn(2), random.oneIn(2) ? 0x20 + random.below(96) : random.u32());
    case 6:
      return extendedKeyEvent(random.oneIn(2), random.u32(), random.below(300));
    case 7:
      return pointerEvent(random.below(256), word(), word());
    case 8:
      return joined(
        [6, 0, 0, 0],
        u32(random.oneIn(4) ? random.u32() : random.below(60)),
        new Uint8Array(random.below(60)),
      );
    case 9:
      return joined([150, random.below(2)], u16(word(), word(), word(), word()));
    case 10:
      return joined([248, 0, 0, 0], u32(random.u32()), [8], new Uint8Array(8));
    default:
      return joined([251, 0], u16(word(), word()), [1, 0], new Uint8Array(16));
  }
}

fuzz({
  name: "RFB, what a viewer says",
  corpus: () => [
    joined("RFB 003.003\n", [1], updateRequest(false, ALL)),
    joined("RFB 003.007\n", [1, 1], setEncodings([ENCODING.TIGHT]), updateRequest(false, ALL)),
    joined("RFB 003.008\n", [2], new Uint8Array(16), [1]),
    joined(
      IN,
      setPixelFormat(BGRX),
      setEncodings([ENCODING.ZRLE, ENCODING.DESKTOP_SIZE, ENCODING.FENCE, ENCODING.CONTINUOUS]),
      updateRequest(false, ALL),
      keyEvent(true, 0x41),
      keyEvent(false, 0x41),
      pointerEvent(1, 20, 20),
    ),
    joined(IN, setEncodings(NUMBERS), extendedKeyEvent(true, 0xff0d, 28), updateRequest(true, ALL)),
  ],
  make: (random) => joined(IN, ...Array.from({ length: 1 + random.below(12) }, () => aMessage(random))),
  largest: 16_384,
  words: [IN, "RFB 003.008\n", "RFB 003.003\n", ...NUMBERS.map((each) => u32(each))],
  decode,
  mustMeet: ["in", "inputs", "entering", "ended", "format", "password"],
});
