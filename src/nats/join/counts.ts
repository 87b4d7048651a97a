/**
 * The counters of `vmsig join`, printed at its end and by `--metrics`, with Prometheus-style names.
 * @module
 */

/** The counters. */
export class JoinCounts {
  /** Events passed to the server. */
  published = 0;
  /** Events dropped because the server did not take them in time. */
  dropped = 0;
  /** Events that the daemon dropped because its queue for `join` was full. */
  overrun = 0;
  /** Audit entries confirmed by the server's stream. */
  audited = 0;
  /** Dropped audit entries. */
  auditDropped = 0;
  /** Requests received. */
  requests = 0;
  /** Requests received again and not repeated. */
  repeated = 0;
  /** Requests received too late and not carried out. */
  late = 0;
  /** Messages that could not be parsed, or named another user's inbox. */
  notUnderstood = 0;
  /** Sessions opened. */
  sessions = 0;
  /** Sessions ended because their reader was not heard from. */
  silent = 0;
  /** Sessions not admitted. */
  refused = 0;
  /** Pictures sent. */
  pictures = 0;
  /** Number of times that the server was lost. */
  serverDowns = 0;

  /** The counters in Prometheus's text format. */
  lines(gauges: Readonly<Record<string, number>>): string {
    const rows: string[] = [];
    for (const [name, value] of Object.entries(this)) {
      const metric = `vmsig_join_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;
      rows.push(`# TYPE ${metric} counter`, `${metric} ${value}`);
    }
    for (const [name, value] of Object.entries(gauges)) {
      rows.push(`# TYPE vmsig_join_${name} gauge`, `vmsig_join_${name} ${value}`);
    }
    return rows.join("\n") + "\n";
  }
}
