/**
 * What `vmsig join` counts: told at its end and by `--metrics`, in the names of Prometheus.
 * @module
 */

/** The counters. */
export class JoinCounts {
  /** Events that were handed to the server. */
  published = 0;
  /** Events that waited for the server in vain and were dropped. */
  dropped = 0;
  /** Events that the daemon dropped before they came here: its queue for `join` was full. */
  overrun = 0;
  /** Audit entries that the server's stream has confirmed. */
  audited = 0;
  /** Audit entries that were dropped. */
  auditDropped = 0;
  /** Requests that came. */
  requests = 0;
  /** Requests that came again and were not done again. */
  repeated = 0;
  /** Requests that came too late and were not done. */
  late = 0;
  /** Messages that were not understood, or named somebody else's inbox. */
  notUnderstood = 0;
  /** Sessions that were opened. */
  sessions = 0;
  /** Sessions that ended because nothing was heard of them. */
  silent = 0;
  /** Sessions that were not let in. */
  refused = 0;
  /** Pictures that were sent. */
  pictures = 0;
  /** Times that the server went away. */
  serverDowns = 0;

  /** As lines of Prometheus's text format. */
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
