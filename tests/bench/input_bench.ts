/**
 * Input on the bus: what a command costs until QEMU has acknowledged it, how fast text reaches a guest, and
 * how fast the input lease changes hands when its owner holds keys.
 *
 * All on a Linux guest with a virtio keyboard under TCG. The peer is a bare C client of QEMU's monitor, on a
 * monitor of its own of the same VM, in turn with ours. Pre-emption needs two users of different priority, so
 * it runs as root. Its release of 20 keys is one command, and that is told apart from one key's, because
 * QEMU's time goes by the byte; uinput_bench.ts has the release that is one write.
 * @module
 */
import { connect } from "../../src/client/connect.ts";
import { takeInput } from "../../src/client/input_control.ts";
import { recordsOfStroke, US_LAYOUT } from "../../src/client/us_layout.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { ROSTER } from "../../src/event/body_layout.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Qemu, startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";
import { goFirst, type RunFloor } from "./go_first.ts";
import { RawControl } from "./raw_control.ts";
import { mustHaveRecorded } from "./recorded_keys.ts";
import { type Served, serveStubs } from "./served.ts";

const ROUNDS = 7;
const COMMANDS = 1000;
const CHARACTERS = 1000;
const PREEMPTIONS = 200;
/** Whom the owner that gives way runs as; any number that is not ours. */
const OTHER_UID = 65_534;
const SLOT = 1;
const SEED = 1;
/**
 * The key-ups of a pre-emption, as one input-send-event has them: 1.5 KB, of which QEMU reads a byte in 3 us.
 */
const TWENTY_UPS = JSON.stringify(
  [..."1234567890", "minus", "equal", "backspace", "tab", ..."qwerty"].map((data) => ({
    type: "key",
    data: { key: { type: "qcode", data }, down: false },
  })),
);

interface Bed {
  readonly vm: Qemu;
  readonly daemon: Served;
  /** Runs the C floors. */
  readonly run: RunFloor;
}

/** A guest, a daemon that has it, and the measure in between. */
async function withGuest<T>(more: string, measure: (bed: Bed) => Promise<T>): Promise<T> {
  await using vm = await startGuest({ devices: ["virtio-input"], programs: ["evrec"], qmpSockets: 2 });
  const path = await Deno.makeTempFile({ prefix: "vmsig-bench-", suffix: ".toml" });
  try {
    const endpoint = `[[endpoint]]\nname = "vm"\nvmid = ${SLOT}\nqmp = "${vm.qmpPath}"\n` +
      `input = "qmp"\nmemory = "none"\nguest = "none"\n`;
    await Deno.writeTextFile(path, `${endpoint}${more}[discovery]\nprobe = false\n`);
    await using daemon = await serveStubs(0, ["--config", path]);
    {
      using control = new RawControl(daemon.socket);
      control.await((kind, view) =>
        kind === KIND.ROSTER &&
        (view.getUint32(FRAME.inline + ROSTER.at.seams, true) & 1 << SOURCE.INPUT) !== 0
      );
    }
    return await measure({ vm, daemon, run: numbersOf });
  } finally {
    await Deno.remove(path);
  }
}

const column = (rows: readonly number[][], i: number): number[] => rows.map((row) => row[i] as number);

/**
 * The bare C client on its own monitor: p50 and p99 of one acknowledged key, or of the same `events` again
 * and again.
 */
function bareAck({ vm, run }: Bed, count = COMMANDS, ...events: string[]): Promise<number[]> {
  return run(cFloor("qmp_client"), ["ack", vm.qmpPaths[1] ?? "", `${count}`, ...events]);
}

function acknowledged(): Promise<BenchResult> {
  return withGuest("", async (bed) => {
    const ack = () => numbersOf(cFloor("input_client"), ["ack", bed.daemon.socket, `${SLOT}`, `${COMMANDS}`]);
    const ours: number[][] = [];
    const peer: number[][] = [];
    await ack();
    await bareAck(bed);
    for (let round = 0; round < ROUNDS; round++) {
      peer.push(await bareAck(bed));
      ours.push(await ack());
    }
    const peerName = "C QMP client, same command, own monitor";
    return resultOf("input.ack.p50", "us", "lower", column(ours, 0), column(peer, 0), peerName);
  });
}

/** Small letters, digits and spaces, and one capital in 25. */
function textOf(random: SeededRandom): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789    ";
  return Array.from({ length: CHARACTERS }, () => {
    const character = alphabet[random.below(alphabet.length)] as string;
    return random.oneIn(25) ? character.toUpperCase() : character;
  }).join("");
}

function type(): Promise<BenchResult> {
  return withGuest("", async ({ vm, daemon }) => {
    const recorder = await vm.agent.start("evrec", "--late");
    await recorder.lineMatching(/^recording/);
    await using client = await connect({ socket: daemon.socket, name: "bench" });
    await using input = await takeInput(client, "vm");
    const random = new SeededRandom(SEED);
    const rates: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const text = textOf(random);
      const expected = [...text].flatMap((character) => {
        const stroke = US_LAYOUT.get(character);
        return stroke === undefined
          ? []
          : recordsOfStroke(stroke).map(({ code, value }) => `${code}:${value}`);
      });
      const from = recorder.text.length;
      const startedMs = performance.now();
      await input.type(text);
      rates.push(CHARACTERS / (performance.now() - startedMs) * 1000);
      await mustHaveRecorded(recorder, from, expected);
    }
    return resultOf("input.type", "characters/s", "higher", rates, null, null);
  });
}

async function preempt(): Promise<BenchResult[]> {
  if (Deno.uid() !== 0) throw new Error("two users of different priority are needed: run it as root");
  const rule = (uid: number, prio: number) =>
    `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n`;
  return await withGuest(rule(0, 20) + rule(OTHER_UID, 10), async ({ vm, daemon }) => {
    const { socket } = daemon;
    // The other user has to get to the socket.
    await Deno.chmod(socket.slice(0, socket.lastIndexOf("/")), 0o755);
    const run = await goFirst(vm.pid);
    const bed = { vm, daemon, run };
    const args = ["preempt", socket, `${SLOT}`, `${PREEMPTIONS}`, `${OTHER_UID}`];
    const preemptions = () => run(cFloor("input_client"), args);
    const ours: number[][] = [];
    const oneKey: number[][] = [];
    const oneFrame: number[][] = [];
    await preemptions();
    for (let round = 0; round < ROUNDS; round++) {
      oneKey.push(await bareAck(bed));
      oneFrame.push(await bareAck(bed, PREEMPTIONS, TWENTY_UPS));
      ours.push(await preemptions());
    }
    const late = column(ours, 1);
    const result = (name: string, peer: number[][], what: string) =>
      resultOf(
        name,
        "us",
        "lower",
        late,
        column(peer, 0),
        `p50 of ${what}, C QMP client; ours: p99 of 20 held keys`,
      );
    return [
      result("lease.preempt", oneKey, "one acknowledged key"),
      result("lease.preempt.frame", oneFrame, "one acknowledged command with those 20 key-ups"),
    ];
  });
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "input.ack.p50", run: acknowledged },
  { name: "input.type", run: type },
  { name: "lease.preempt", names: ["lease.preempt", "lease.preempt.frame"], run: preempt },
];
