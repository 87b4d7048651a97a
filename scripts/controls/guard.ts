/**
 * A scripted control: lets a person have the keyboard. When the person's `vmsig key` or the like is denied
 * because an automation holds input, the guard takes the lease away from the automation (which is told, and
 * stops) and lets go of it at once: the person's next try gets it.
 *
 *     deno run -q -P=script scripts/controls/guard.ts UID [SOCKET]
 *
 * UID is the person's. The guard needs a rule of its own in the daemon's config, with `audit`, `roster` and
 * `input` among its caps and an arb_prio above the automation's; the person needs none above it.
 * @module
 */
import { connect, describeBody, Fault, KIND, LEASE_CLASS, runScript } from "../../src/client/mod.ts";

const [uid, socket] = Deno.args;
if (uid === undefined || !/^[0-9]+$/.test(uid)) {
  console.error("usage: deno run -q -P=script scripts/controls/guard.ts UID [SOCKET]");
  Deno.exit(2);
}

await runScript("guard", async () => {
  await using client = await connect({
    name: "guard",
    sub: { sources: ["CORE"] },
    ...(socket === undefined ? {} : { socket }),
  });
  if (!client.grant.capNames.includes("AUDIT")) {
    console.error("the guard's grant lacks the capability AUDIT: it cannot see who is denied");
    return 1;
  }
  console.log(`guarding the keyboard for uid ${uid}`);

  for await (const event of client.events({ kinds: ["AUDIT"] })) {
    const entry = describeBody(event);
    const isDenied = entry["kind"] === KIND.LEASE_DENIED && entry["cls"] === LEASE_CLASS.INPUT;
    if (!isDenied || entry["principal"] !== Number(uid)) continue;
    const { endpoint } = event;
    const name = client.roster.nameOf(endpoint);
    try {
      const lease = await client.acquire(endpoint, "input");
      await lease.release();
      console.log(`${name}: input is free for uid ${uid}`);
    } catch (error) {
      // Its owner has a higher priority than the guard: that is printed, and the watch goes on.
      if (!(error instanceof Fault)) throw error;
      console.error(`${name}: ${error.message}`);
    }
  }
});
