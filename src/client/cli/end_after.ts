/**
 * Ends a stream when its time is over (`--for MS`) or the command is interrupted.
 * @module
 */
import type { EventStream } from "../event_stream.ts";
import type { Call } from "./command.ts";

/** Ends `stream` after `--for` and on Ctrl-C; disposing of the result calls both off. */
export function endAfter(stream: EventStream, { number, signal }: Call): Disposable {
  const end = () => stream.end();
  const limit = number("for");
  const timer = limit === undefined ? undefined : setTimeout(end, limit);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    },
  };
}
