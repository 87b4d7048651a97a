/**
 * The bus: socket echo through the whole path (socket -> admission -> context -> adapter -> context ->
 * socket), fan-out, leases, and what the daemon costs when it starts and when it idles. The same C client
 * drives vmsig and a C epoll echo server, in turn.
 * @module
 */
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";
import { type Served, serveEcho, serveStubs } from "./served.ts";

const ROUNDS = 7;
const PEER = "C epoll echo";

async function interleaved(
  measure: (served: Served, isOurs: boolean) => Promise<number[]>,
): Promise<{ ours: number[][]; peer: number[][] }> {
  const floor = cFloor("bus_floor");
  await using echo = await serveEcho(floor);
  await using daemon = await serveStubs(1);
  const ours: number[][] = [];
  const peer: number[][] = [];
  // Once for warmth: the daemon's code is compiled by V8 while it runs.
  await measure(daemon, true);
  for (let round = 0; round < ROUNDS; round++) {
    peer.push(await measure(echo, false));
    ours.push(await measure(daemon, true));
  }
  return { ours, peer };
}

const column = (rows: readonly number[][], i: number): number[] => rows.map((row) => row[i] as number);

async function pingpong(): Promise<BenchResult[]> {
  const { ours, peer } = await interleaved((served, isOurs) =>
    numbersOf(cFloor("bus_floor"), ["pingpong", served.socket, "20000", ...(isOurs ? ["hello"] : [])])
  );
  return [
    resultOf("bus.pingpong.p50", "us", "lower", column(ours, 0), column(peer, 0), PEER),
    resultOf("bus.pingpong.p99", "us", "lower", column(ours, 1), column(peer, 1), PEER),
  ];
}

async function inflight(): Promise<BenchResult> {
  const { ours, peer } = await interleaved((served, isOurs) =>
    numbersOf(cFloor("bus_floor"), ["inflight", served.socket, "200000", "32", ...(isOurs ? ["hello"] : [])])
  );
  return resultOf("bus.inflight32", "messages/s", "higher", column(ours, 0), column(peer, 0), PEER);
}

async function fanout(): Promise<BenchResult> {
  const { ours, peer } = await interleaved((served, isOurs) =>
    numbersOf(cFloor("bus_floor"), ["fanout", served.socket, "1000", "100", ...(isOurs ? ["hello"] : [])])
  );
  return resultOf("bus.fanout100", "us", "lower", column(ours, 0), column(peer, 0), "100 sends in C");
}

async function acquire(): Promise<BenchResult> {
  const floor = cFloor("bus_floor");
  await using daemon = await serveStubs(1);
  const ours: number[] = [];
  const peer: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    peer.push((await numbersOf(floor, ["pingpong", daemon.socket, "10000", "hello"]))[0] as number);
    ours.push((await numbersOf(floor, ["acquire", daemon.socket, "5000"]))[0] as number);
  }
  return resultOf("lease.acquire", "us", "lower", ours, peer, "a plain echo through vmsig");
}

async function start(): Promise<BenchResult[]> {
  const ready: number[] = [];
  const rss: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await using daemon = await serveStubs(1);
    ready.push(daemon.readyMs);
    rss.push(rssMb(daemon.pid));
  }
  return [
    resultOf("start.ready", "ms", "lower", ready, null, null),
    resultOf("start.rss", "MB", "lower", rss, null, null),
  ];
}

async function idle(): Promise<BenchResult> {
  await using daemon = await serveStubs(1);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const shares: number[] = [];
  for (let round = 0; round < 5; round++) {
    const before = cpuMs(daemon.pid);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    shares.push((cpuMs(daemon.pid) - before) / 20);
  }
  return resultOf("idle.cpu", "% of a core", "lower", shares, null, null);
}

function rssMb(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(found?.[1]) / 1000;
}

function cpuMs(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
  // utime and stime, in ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "bus.pingpong.p50", names: ["bus.pingpong.p50", "bus.pingpong.p99"], run: pingpong },
  { name: "bus.inflight32", run: inflight },
  { name: "bus.fanout100", run: fanout },
  { name: "lease.acquire", run: acquire },
  { name: "start.ready", names: ["start.ready", "start.rss"], run: start },
  { name: "idle.cpu", run: idle },
];
