/**
 * Applies a reloaded config on the loop's thread, once all its pieces have arrived. Rules, policies,
 * channels, write extents and endpoints change at once; the rest at the next start.
 * @module
 */
import type { AdmissionRule } from "../access/admission.ts";
import type { Log } from "../base/log.ts";
import { PASS_THROUGH } from "../context/policy.ts";
import type { Core } from "../core/core.ts";
import { DIR } from "../event/defaults.ts";
import { type Source, SOURCE_MAX } from "../event/source.ts";
import type { ChannelConfig, Config, EndpointConfig, PolicyRule } from "./config.ts";
import { ConfigAssembler } from "./config_messages.ts";

/** The parts that a config affects, in the order in which they are called. */
export interface ConfigFollowers {
  /** Applies the admission rules. */
  readonly admission: (rules: readonly AdmissionRule[]) => void;
  /** Applies the policies of lanes. */
  readonly policy: (rules: readonly PolicyRule[]) => void;
  /** Applies what new endpoints are made from. */
  readonly making: (config: Config) => void;
  /** Applies the endpoints. */
  readonly endpoints: (endpoints: readonly EndpointConfig[]) => void;
  /** Applies the channels. */
  readonly channels: (channels: readonly ChannelConfig[]) => void;
  /** Gives every control its new grant. */
  readonly grants: () => void;
  /** Called when everything has been applied. */
  readonly done: () => void;
}

/** Applies reloaded configs. */
export class ConfigReload {
  readonly #followers: ConfigFollowers;
  readonly #log: Log;
  readonly #assembler = new ConfigAssembler();

  /** Starts with no pieces. */
  constructor(followers: ConfigFollowers, log: Log) {
    this.#followers = followers;
    this.#log = log;
  }

  /** Takes a piece. */
  piece(message: Uint8Array): void {
    this.#assembler.piece(message);
  }

  /** Takes the last piece, and applies the config unless some of its pieces were replaced by a newer one. */
  last(message: Uint8Array): void {
    const config = this.#assembler.whole(message);
    if (config === undefined) return;
    const follow = this.#followers;
    follow.admission(config.admission);
    follow.policy(config.policy);
    follow.making(config);
    follow.endpoints(config.endpoints);
    follow.channels(config.channels);
    follow.grants();
    this.#log.info("config reloaded", { endpoints: config.endpoints.length, rules: config.admission.length });
    follow.done();
  }
}

/** Sets the policy of every lane: that of its rule, or the default. */
export function applyPolicies(core: Core, rules: readonly PolicyRule[]): void {
  for (let source = 1; source < SOURCE_MAX; source++) {
    for (const dir of [DIR.UP, DIR.DOWN]) {
      const rule = rules.find((each) => each.source === source && each.dir === dir);
      core.setPolicy(source as Source, dir, rule?.policy ?? PASS_THROUGH);
    }
  }
}
