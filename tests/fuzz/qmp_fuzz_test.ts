/**
 * QMP: what a monitor sends, torn anywhere, through the line splitter, the message parser, the client and
 * those who take events and replies.
 */
import { assert } from "@std/assert";
import { statusOf } from "../../src/qemu/protocol/run_status.ts";
import { TRACKED_EVENTS, VmTracker } from "../../src/adapters/vmhost/vm_tracker.ts";
import { LineSplitter } from "../../src/qemu/protocol/line_splitter.ts";
import { QmpClient, type QmpReply } from "../../src/qemu/protocol/qmp_client.ts";
import type { QmpEvent } from "../../src/qemu/protocol/qmp_message.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, fuzz } from "./harness.ts";
import { JSON_OPENERS, jsonText, withDefects } from "./structured.ts";

const GREETING = {
  QMP: { version: { qemu: { micro: 22, minor: 2, major: 7 }, package: "" }, capabilities: ["oob"] },
};
const STATUS = { return: { status: "running", singlestep: false, running: true } };
const TIMESTAMP = { seconds: 1, microseconds: 2 };
const EVENTS: readonly object[] = [...TRACKED_EVENTS, "RTC_CHANGE", "DEVICE_DELETED"].map((event) => ({
  timestamp: TIMESTAMP,
  event,
  data: { guest: true, reason: "guest-reset", action: "pause", device: "d0" },
}));
const ERROR = { error: { class: "GenericError", desc: "Device 'd0' not found" }, id: 1 };

const lines = (messages: readonly unknown[]) =>
  messages.map((message) => jsonText(message) + "\r\n").join("");

/** As a monitor with pretty=on says it. */
const prettyLines = (messages: readonly unknown[]) =>
  messages.map((message) => JSON.stringify(message, null, 4).replaceAll("\n", "\r\n") + "\r\n").join("");

/** The usual beginning, then some messages, some of them with defects. */
function conversation(random: SeededRandom): string {
  const messages: unknown[] = [GREETING, { return: {} }, STATUS];
  for (let i = random.below(4); i >= 0; i--) messages.push(EVENTS[random.below(EVENTS.length)]);
  messages.push({ return: {}, id: 1 + random.below(8) }, ERROR);
  const at = random.below(messages.length);
  messages[at] = withDefects(random, messages[at]);
  return lines(messages);
}

/** Hands bytes over in pieces, as a socket would. */
function torn(random: SeededRandom, bytes: Bytes, take: (piece: Bytes) => void): void {
  const least = bytes.length >>> 7;
  const most = least + (random.oneIn(4) ? 1 + random.below(16) : 1 + random.below(bytes.length + 1));
  for (let at = 0; at < bytes.length;) {
    const length = Math.min(bytes.length - at, 1 + least + random.below(most));
    take(bytes.subarray(at, at + length));
    at += length;
  }
}

fuzz({
  name: "QMP conversation",
  corpus: () => [
    lines([GREETING, { return: {} }, STATUS, ...EVENTS.slice(0, 6), { return: [{ name: "mouse" }], id: 1 }]),
    lines([GREETING, { return: {} }, STATUS, ...EVENTS.slice(6), ERROR]),
    prettyLines([GREETING, { return: {} }, STATUS, ...EVENTS.slice(0, 4), ERROR]),
  ],
  make: conversation,
  largest: 16_384,
  words: [
    '"event":',
    '"return":',
    '"error":',
    '"id":',
    '"data":',
    '"QMP":',
    "\n",
    "{}\n",
    "\\u0000",
    "\xff",
    "null",
  ],
  openers: JSON_OPENERS,
  decode: (input, random) => {
    const tracker = new VmTracker();
    let outcome = "quiet";
    let replies = 0;
    let nowNs = 0;
    const events: QmpEvent[] = [];
    const onReply = (reply: QmpReply): void => {
      replies++;
      const state = tracker.onRunState(statusOf(reply));
      assert(Number.isInteger(state.state) && Number.isInteger(state.detail));
    };
    const client = new QmpClient({ sendCommand: (_bytes, length) => assert(length > 0) }, {
      onGreeting: (version) => assert(version.length < 1000, "a version is short"),
      onReady: () => {
        outcome = "ready";
        for (let i = 0; i < 12; i++) client.execute("query-status", undefined, onReply);
      },
      onEvent: (event) => {
        events.push(event);
        const told = tracker.onEvent(event, nowNs += 1e8);
        if (typeof told === "object") {
          const { state, detail } = "verify" in told ? told.told : told;
          assert(state >= 0 && detail >= 0);
        }
      },
      onProtocolError: (why) => {
        assert(why.length < 300, `a protocol error of ${why.length} characters`);
        outcome = `${outcome} and refused`;
      },
    });
    torn(random, input, (piece) => client.receive(piece, piece.length));
    client.close();
    assert(outcome.startsWith("quiet") || replies === 12, `12 commands got ${replies} replies`);
    return events.length > 0 ? `${outcome}, events` : outcome;
  },
  mustMeet: [
    "ready",
    "ready, events",
    "quiet",
    "ready and refused",
    "quiet and refused",
    "ready and refused, events",
  ],
});

const MOST_LINE_BYTES = 300;

fuzz({
  name: "lines",
  corpus: () => ["one\ntwo\r\n\n\r\nthree\n", "x".repeat(MOST_LINE_BYTES) + "\n", "no end", "\r\r\n"],
  largest: 4096,
  words: ["\n", "\r", "\r\n", "\n\n", "x".repeat(MOST_LINE_BYTES)],
  decode: (input, random) => {
    const taken: string[] = [];
    const decoder = new TextDecoder("latin1");
    const splitter = new LineSplitter((bytes, from, to) => {
      taken.push(decoder.decode(bytes.subarray(from, to)));
      return true;
    }, MOST_LINE_BYTES);
    let goesOn = true;
    torn(random, input, (piece) => goesOn &&= splitter.push(piece, piece.length));
    // The same by other means: what lies between two line ends, without a return at its end, unless it is
    // empty.
    const whole = decoder.decode(input).split("\n");
    const rest = whole.pop() ?? "";
    const long = whole.findIndex((line) => line.length > MOST_LINE_BYTES);
    const good = (long < 0 ? whole : whole.slice(0, long)).map((line) => line.replace(/\r$/, ""));
    assert(
      taken.join("\n") === good.filter((line) => line !== "").join("\n"),
      "the same lines, however they are torn",
    );
    assert(
      goesOn === (long < 0 && rest.length <= MOST_LINE_BYTES),
      "a line that is too long ends it, and nothing else",
    );
    return goesOn ? "taken" : "too long";
  },
  mustMeet: ["taken", "too long"],
});
