/**
 * The port by which the control socket's listener asks which peers are admitted. The daemon's policy
 * implements it.
 * @module
 */
import type { Code } from "../../base/codes.ts";
import type { Grant } from "../../access/grant.ts";

/** Who has connected, as the kernel tells (SO_PEERCRED): as it was at that moment. */
export interface Peer {
  /** Its process. */
  readonly pid: number;
  /** Its user. */
  readonly uid: number;
  /** Its user's primary group. */
  readonly gid: number;
}

/** Why a peer is not let in. */
export interface Refusal {
  /** It is not admitted. */
  readonly ok: false;
  /** One of the protocol's codes. */
  readonly code: Code;
  /** In words, short. */
  readonly reason: string;
}

/** With what a peer is admitted. */
export interface Admitted {
  /** It is. */
  readonly ok: true;
  /** Its rights. */
  readonly grant: Grant;
  /** How many events may wait for it; undefined: as many as for any other. */
  readonly queueEvents?: number | undefined;
}

/** Whether a peer is admitted: its grant, or why not. */
export type AdmissionDecision = Admitted | Refusal;

/** Who is let in, and with which rights. */
export interface AdmissionPolicy {
  /**
   * Asked when a peer has connected, before anything is kept for it; cheap, because whoever may open the
   * socket may make it be asked as often as it likes. Left out: everybody may say HELLO.
   *
   * @returns undefined when it may say HELLO, which decides nothing more
   */
  screen?(peer: Peer): Refusal | undefined;
  /** Whether a peer has a right to the places in reserve. Left out: nobody has. */
  isPrivileged?(peer: Peer): boolean;
  /**
   * Asked once for each HELLO.
   *
   * @param as for whom the peer speaks, "token:alice"; "" for its user itself
   */
  admit(peer: Peer, as: string): AdmissionDecision;
  /** A peer with this uid has left. */
  left(peer: Peer): void;
}
