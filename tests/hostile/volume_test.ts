/**
 * Volume: a great many hostile HELLOs, QMP lines and descriptors. The daemon lives, an admitted control is
 * answered all the while, and afterwards its descriptors are as before and its memory is within 5 % of what
 * it was after a first portion of the same.
 *
 * In the gate the counts are small; `deno task hostile:volume` (VMSIG_HOSTILE_VOLUME=full, or a share of it
 * such as 0.1) runs those of the issue: 10^6 HELLOs, 10^5 lines, 10^4 descriptors. VMSIG_BENCH_ROOT names a
 * checkout whose daemon is attacked instead of this one's. What was attacked and held is told on the console,
 * with counts. Seeds are fixed.
 * @module
 */
import { assert } from "@std/assert";
import { whyNotOthers } from "../unit/daemon/foreign_control.ts";
import { KEPT_OF_A_WORKER, settled } from "../fixtures/holdings.ts";
import { attack, type AttackTotals, placeAttacker } from "./attacker.ts";
import { OBSERVER, PUBLISHER, STRANGER, VolumeScene, type Weight } from "./volume_scene.ts";

const VOLUME = Deno.env.get("VMSIG_HOSTILE_VOLUME") ?? "";
/** Of the numbers; 0 in the gate. */
const SHARE = VOLUME === "full" ? 1 : Number(VOLUME);
if (!(SHARE >= 0 && SHARE <= 1)) {
  throw new Error(`VMSIG_HOSTILE_VOLUME=${VOLUME}: it is "full", or a share of that from 0 to 1`);
}
/** How many, and how long an attacker may take, s: an end for attackers, not a verdict. */
const COUNT = SHARE > 0
  ? { hellos: 1_000_000 * SHARE, lines: 100_000 * SHARE, descriptors: 10_000 * SHARE, seconds: 3000 }
  : { hellos: 20_000, lines: 10_000, descriptors: 2000, seconds: 1500 };
/** Of the attack that goes first, so that what V8 does once is not counted. */
const WARM_SHARE = SHARE > 0 ? 0.1 : 0.3;

const why = whyNotOthers();

function volume(name: string, fn: () => Promise<void>): void {
  const shown = why === "" ? name : `${name} (skipped: ${why})`;
  Deno.test({ name: shown, ignore: why !== "", fn });
}

/** Attacks with some, weighs, attacks with the rest, weighs again. */
async function ordeal(
  scene: VolumeScene,
  what: string,
  count: number,
  run: (count: number, seed: number) => Promise<AttackTotals[]>,
): Promise<void> {
  // The threads that look at RAM come and go.
  const fds = [...await settled(() => scene.daemon.fds()), ...KEPT_OF_A_WORKER];
  const warm = Math.round(count * WARM_SHARE);
  const first = await run(warm, 1);
  await scene.untilFds(fds);
  const before = await scene.weigh();
  const rest = await run(count - warm, 2);
  await scene.untilFds(fds);
  const after = await scene.untilLight(before);
  await using late = await scene.daemon.connect("late");
  assert((await late.vmState("stub1")).state === "running", "who comes now is let in and answered");
  tell(what, [...first, ...rest], scene, before, after);
}

function tell(
  what: string,
  totals: readonly AttackTotals[],
  scene: VolumeScene,
  before: Weight,
  after: Weight,
): void {
  const sum = (part: keyof AttackTotals): number => totals.reduce((all, each) => all + each[part], 0);
  console.log(
    `${what}: ${sum("sent")} sent, ${sum("answered")} answered, ${sum("closed")} closed, ${
      sum("late")
    } late, ` +
      `${sum("refused")} not taken, in ${
        sum("seconds").toFixed(1)
      } s of attackers; ${after.fds.length} descriptors ` +
      `as before; RSS ${before.rssMb.toFixed(1)} MB, then ${after.rssMb.toFixed(1)} MB ` +
      `(${(after.rssMb / before.rssMb).toFixed(3)}); ${scene.answers} answers, the longest after ` +
      `${scene.longestMs.toFixed(0)} ms`,
  );
}

/** Of what was to be sent, that much must have gone: an attack that did not take place proves nothing. */
function assertSent(totals: readonly AttackTotals[], atLeast: number): void {
  const sent = totals.reduce((sum, each) => sum + each.sent, 0);
  assert(sent >= atLeast, `only ${sent} of ${atLeast} were sent: ${JSON.stringify(totals)}`);
}

volume(
  "hostile HELLOs from two users, one of them let in: the daemon lives and weighs as before",
  async () => {
    await using scene = await VolumeScene.start();
    const flood = `${scene.daemon.folder}/hello_flood`;
    await ordeal(scene, "HELLOs", COUNT.hellos, async (count, seed) => {
      // Who is not let in is not listened to, so half of it comes from somebody who is.
      const half = Math.ceil(count / 2);
      const args = (mode: string, part: number, more: number): string[] => //
      [scene.daemon.socket, mode, "4", `${part}`, `${COUNT.seconds}`, `${seed + more}`];
      await using stranger = await attack(flood, args("mixed", half, 0), STRANGER);
      await using observer = await attack(flood, args("mixed", half, 100), OBSERVER);
      const totals = await scene.withstand([stranger, observer]);
      assertSent(totals, count);
      return totals;
    });
  },
);

volume("hostile lines from monitors that reconnect: the daemon lives and weighs as before", async () => {
  await using scene = await VolumeScene.start();
  const flood = await placeAttacker("qmp_flood", scene.daemon.folder);
  const monitors = 16;
  const folder = `${scene.daemon.folder}/qmp`;
  await Deno.mkdir(folder);
  await Deno.chown(folder, STRANGER, STRANGER);
  await ordeal(scene, "QMP lines", COUNT.lines, async (count, seed) => {
    const args = [folder, `${monitors}`, `${count}`, `${COUNT.seconds}`, `${seed}`];
    await using monitor = await attack(flood, args, STRANGER);
    for (let i = 0; i < monitors; i++) {
      scene.daemon.drop(`m${i}`, `name = "m${i}"\nqmp = "${folder}/m${i}.qmp"\n`);
    }
    const totals = await scene.withstand([monitor]);
    for (let i = 0; i < monitors; i++) scene.daemon.take(`m${i}`);
    // A line that a connection ends under is not sent again.
    assertSent(totals, 0.99 * count);
    return totals;
  });
});

volume(
  "hostile descriptors from a control that may publish: none is kept, and it weighs as before",
  async () => {
    await using scene = await VolumeScene.start();
    const flood = await placeAttacker("fd_flood", scene.daemon.folder);
    await ordeal(scene, "descriptors", COUNT.descriptors, async (count, seed) => {
      const args = [scene.daemon.socket, "3", `${count}`, `${COUNT.seconds}`, `${seed}`];
      await using publisher = await attack(flood, args, PUBLISHER);
      const totals = await scene.withstand([publisher]);
      assertSent(totals, count);
      return totals;
    });
  },
);
