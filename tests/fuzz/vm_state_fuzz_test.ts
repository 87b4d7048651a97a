/**
 * What a QEMU says of its disks, its jobs and its migration: bounded, and a plan of snapshots is made of
 * nodes that it named. And a snapshot's name, as a control sends it.
 */
import { assert } from "@std/assert";
import { readMigration } from "../../src/adapters/vmhost/migration_watch.ts";
import {
  listSnapshots,
  planDelete,
  planLoad,
  planSave,
  readDisks,
} from "../../src/adapters/vmhost/snapshot_disks.ts";
import { readSnapshotName } from "../../src/adapters/vmhost/snapshot_name.ts";
import { readSnapshotList } from "../../src/client/vm_control.ts";
import { idOfTask, readJobs, taskOfId } from "../../src/qemu/monitor/snapshot_job.ts";
import { encode } from "cborg";
import { type Bytes, fuzz } from "./harness.ts";

const decoder = new TextDecoder();

function valueOf(input: Bytes): unknown {
  try {
    return JSON.parse(decoder.decode(input));
  } catch {
    return undefined;
  }
}

const SNAPSHOT =
  '{"vm-clock-nsec": 12815959, "name": "a", "date-sec": 1795926274, "date-nsec": 781818000, "vm-clock-sec": 7, "id": "1", "vm-state-size": 1068948}';
const DISK =
  `{"device": "vda", "inserted": {"ro": false, "node-name": "#block1", "drv": "qcow2", "image": {"format": "qcow2", "snapshots": [${SNAPSHOT}]}}, "qdev": "/machine/peripheral/x/virtio-backend"}`;

fuzz({
  name: "QEMU's disks, jobs and migration",
  corpus: () => [
    `[${DISK}]`,
    `[${DISK}, {"device": "cd", "locked": false}, ${DISK.replace("qcow2", "raw")}]`,
    `[${DISK.replace('"device": "vda"', '"device": ""')}]`,
    '[{"current-progress": 1, "status": "concluded", "total-progress": 1, "type": "snapshot-load", "id": "vmsig-load-61", "error": "no"}]',
    '{"status": "active", "ram": {"transferred": 1, "total": 2, "remaining": 3}, "error-desc": "x"}',
  ],
  largest: 16_384,
  words: ['"name"', '"snapshots"', '"drv": "qcow2"', "[", "{", "null", "1e400", "-1", '"ro": true', '"id"'],
  decode: (input) => {
    const value = valueOf(input);
    const migration = readMigration(value);
    assert(migration.transferred >= 0 && Number.isSafeInteger(migration.remaining));
    const jobs = readJobs(value);
    for (const { id, done } of jobs) {
      assert(Number.isSafeInteger(done));
      const task = taskOfId(id);
      if (task !== undefined) assert(idOfTask(task).startsWith("vmsig-"));
    }
    const disks = readDisks(value);
    if (disks === undefined) return migration.status !== "none" ? "migration" : "nothing";
    const nodes = new Set(disks.map(({ node }) => node));
    const listed = listSnapshots(disks);
    assert(listed.length <= 1024);
    for (const { clockMs, savedMs } of listed) assert(Number.isSafeInteger(clockMs + savedMs));
    let planned = false;
    for (const plan of [planSave(disks, "new"), planLoad(disks, "a", "vm"), planDelete(disks, "a", "vm")]) {
      if ("refusal" in plan) continue;
      planned = true;
      for (const node of plan.devices) assert(nodes.has(node), "a plan names nodes that are there");
    }
    return jobs.length > 0 ? "jobs" : planned ? "planned" : disks.length > 0 ? "refused" : "nothing";
  },
  mustMeet: ["planned", "refused", "jobs", "migration", "nothing"],
});

fuzz({
  name: "a snapshot's name",
  corpus: () => ["before-upgrade", "naïve name", "12", " a", "\x1b[2J", "é".repeat(64)],
  largest: 256,
  words: ["\\", "\0", "\u202e", " ", "é"],
  decode: (input) => {
    const read = readSnapshotName(input, true);
    if ("refusal" in read) return "refused";
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f\x7f\\]|^\s|\s$|^\d+$/.test(read.name));
    const task = taskOfId(idOfTask({ op: 1, name: read.name }));
    assert(task?.name === read.name, "its job says its name");
    return "taken";
  },
  mustMeet: ["taken", "refused"],
});

fuzz({
  name: "a daemon's list of snapshots",
  corpus: () => [
    encode({
      snapshots: [{ name: "a", savedMs: 1, clockMs: 2, stateBytes: 3, missing: ["b"] }],
      left: 0,
      disks: [{ name: "a", format: "qcow2" }],
      why: "",
      job: { op: 1, name: "a" },
    }),
  ],
  largest: 4096,
  decode: (input) => {
    const { snapshots, disks, left } = readSnapshotList(input);
    for (const { name, missing } of snapshots) assert(typeof name === "string" && Array.isArray(missing));
    assert(disks.every(({ format }) => typeof format === "string") && Number.isFinite(left));
    return "done";
  },
  mustMeet: ["done"],
});
