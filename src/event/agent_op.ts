/**
 * Operations of CMD_AGENT. Below 16 they ask; from 16 on they change the guest, and need the AGENT lease.
 * @module
 */

/** Operation by name, as numbers travel. */
export const AGENT_OP = {
  PING: 0,
  INFO: 1,
  NETWORK: 2,
  USERS: 3,
  OS: 4,
  FILE_SYSTEMS: 5,
  EXEC_STATUS: 6,
  OPEN_READ: 7,
  FILE_READ: 8,
  FILE_CLOSE: 9,
  FREEZE_STATUS: 10,
  EXEC: 16,
  OPEN_WRITE: 17,
  FILE_WRITE: 18,
  FREEZE: 19,
  THAW: 20,
  SHUTDOWN: 21,
  SUSPEND: 22,
} as const;
/** An operation's number. */
export type AgentOp = (typeof AGENT_OP)[keyof typeof AGENT_OP];
/** The first operation that needs the lease. */
export const FIRST_CHANGING_OP: number = AGENT_OP.EXEC;
/** CMD_AGENT.mode of a shutdown. */
export const AGENT_SHUTDOWN = { POWERDOWN: 0, REBOOT: 1, HALT: 2 } as const;
/** Bytes of one FILE_READ or FILE_WRITE, and of a piece of a program's output. */
export const MAX_AGENT_PIECE = 49_152;
