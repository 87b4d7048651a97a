/**
 * `vmsig doctor`'s check of the daemon's screens: what shows each, and why.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { Fault } from "../../base/fault.ts";
import { CAP } from "../../event/capability.ts";
import { KIND } from "../../event/kind.ts";
import type { Client } from "../client.ts";
import type { Finding } from "./machine_check.ts";
import { visible } from "./table.ts";

/** One finding per head; none if this user may not see screens. */
export async function examineDisplays(client: Client): Promise<Finding[]> {
  const { caps } = client.grant;
  if ((caps & CAP.ROSTER) === 0 || (caps & CAP.FRAME) === 0 || !client.knowsKind(KIND.CMD_FRAME)) return [];
  const findings: Finding[] = [];
  for (const { name, endpoint, seams } of await client.completeRoster()) {
    if (!seams.includes("vmhost")) continue;
    findings.push(...await examineOne(client, name, endpoint));
  }
  return findings;
}

async function examineOne(client: Client, name: string, endpoint: EndpointId): Promise<Finding[]> {
  try {
    const { heads, display, known } = await client.display(endpoint);
    if (known && heads.length === 0) {
      return [{ check: `screen ${name}`, state: "ok", found: "it has no display" }];
    }
    return heads.map(({ head, state, source, why }): Finding => {
      const check = heads.length === 1 ? `screen ${name}` : `screen ${name}, head ${head}`;
      if (state === "shown") return { check, state: "ok", found: visible(`by ${source}: ${why}`) };
      if (state !== "lost") return { check, state: "ok", found: `${display}; nobody has looked at it yet` };
      const remedy =
        "it is tried again while somebody looks; set display in its [[endpoint]] to choose another way";
      return { check, state: "note", found: visible(`lost: ${why}`), remedy };
    });
  } catch (error) {
    // A stub, or display = "none": there is nothing to report.
    if (error instanceof Fault) return [];
    throw error;
  }
}
