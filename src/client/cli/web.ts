/**
 * `vmsig web`: the page on which people see all VMs, look into one, and take its keyboard over.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import type { WebServer } from "../../web/web_server.ts";
import { connect } from "../connect.ts";
import type { CommandModule } from "./command.ts";
import { understood, usage } from "./command_line.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

const LISTEN = "127.0.0.1:0";

/** The command. */
export const web: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    listen: {
      takes: "text",
      value: "ADDRESS",
      help: "127.0.0.1:PORT (a free port unless told), or unix:PATH for a proxy",
    },
    tokens: {
      takes: "text",
      value: "FILE",
      help: "who may come in by a token: lines of NAME and the token's SHA-256; mode 0600",
    },
    link: { takes: "nothing", help: "print a one-time link also where there is --tokens" },
    origin: {
      takes: "list",
      value: "ORIGIN,…",
      help: "where browsers reach it when that is not the port itself: https://vms.example.org",
    },
  },
  details:
    `Serves one page until Ctrl-C: all VMs with live small pictures and who has which lease; one VM's screen, with
keyboard and mouse when a person takes them over; its text, power, processes; and what happens, searchable. A browser
opens the link that is printed; its secret is worth one use, and the next one is printed then. With --tokens FILE people
log in by a token of their own: head -c 24 /dev/urandom | base64 makes one, printf %s TOKEN | sha256sum what the file says.

The page is a control like any other: it has the grant of the user who runs it, and each tab is on the bus as "web NAME".
Who has a tab open only looks until they take over, which needs an arb_prio strictly above that of who has the lease. A
tab that is closed, or not heard for 10 s, gives everything back, and nothing stays pressed. The daemon opens no port:
this process does, on the loopback alone. Behind a proxy (which has to pass WebSockets on) say --origin.`,
  examples: [
    "web",
    "web --listen 127.0.0.1:8470 --tokens ~/.config/vmsig/people",
    "web --listen unix:/run/user/1000/vmsig-web --origin https://vms.example.org --tokens ~/.config/vmsig/people",
  ],
  async run(call) {
    const { parseListenAddress, removeStale } = await import("../vnc/viewer_listener.ts");
    const { loopbackOrigins, parseOrigin, SiteRules } = await import("../../web/site_rules.ts");
    const { readTokens, Tokens } = await import("../../web/tokens.ts");
    const address = understood("web", () => parseListenAddress(call.text("listen") ?? LISTEN));
    const given = understood("web", () => (call.list("origin") ?? []).map(parseOrigin));
    if (address.kind === "unix" && given.length === 0) {
      throw usage("web", "browsers reach a unix socket by a proxy: say at which --origin");
    }
    const file = call.text("tokens");
    if (file !== undefined) await readTokens(file);
    const isLinked = file === undefined || call.flag("link");
    const tell = (what: string) => note(call, what);
    const home = await import("../../web/web_server.ts");
    const { Sessions } = await import("../../web/sessions.ts");
    let origins = given;
    const linkOf = (secret: string) => `${origins[0]}/#enter=${secret}`;
    const tokens = new Tokens(file, (secret) => tell(`the link was used; the next one: ${linkOf(secret)}`));
    // The port is known once it listens; nobody is answered before there is a server.
    const ready = Promise.withResolvers<WebServer>();
    ready.promise.catch(() => {});
    const handler = async (request: Request) => await (await ready.promise).handle(request);
    const onError = (error: unknown) => {
      tell(`a request failed: ${messageOf(error)}`);
      return new Response("Something went wrong here.\n", { status: 500 });
    };
    const onListen = () => {};
    let http: Deno.HttpServer;
    let port = 0;
    try {
      if (address.kind === "tcp") {
        const { hostname } = address;
        const server = Deno.serve({ hostname, port: address.port, onListen, onError }, handler);
        port = server.addr.port;
        http = server;
        origins = [...given, ...loopbackOrigins("http", port)];
      } else {
        await removeStale(address.path);
        const before = Deno.umask(0o177);
        try {
          http = Deno.serve({ path: address.path, onListen, onError }, handler) as unknown as Deno.HttpServer;
        } finally {
          Deno.umask(before);
        }
      }
    } catch (error) {
      if (error instanceof Fault) throw error;
      const where = visible(call.text("listen") ?? LISTEN);
      const code = error instanceof Deno.errors.AddrInUse ? "busy" : "refused";
      throw new Fault(code, `Cannot listen on ${where}: ${messageOf(error)}`, { cause: error });
    }
    try {
      const isSecure = origins[0]?.startsWith("https:") === true;
      const { socket } = call;
      await using server = await home.WebServer.open({
        connect: (name, sub, reconnect) =>
          connect({ name, sub, reconnect: reconnect ?? false, ...(socket === undefined ? {} : { socket }) }),
        tokens,
        sessions: new Sessions(`vmsig-${port}`, isSecure),
        rules: new SiteRules(origins),
        tell,
      });
      ready.resolve(server);
      const link = isLinked ? linkOf(await tokens.newLink()) : undefined;
      const place = link ?? `${origins[0]}/`;
      if (call.json) call.out.json({ url: place });
      else call.out.line(`${place}${link === undefined ? "" : " (for one use)"}; Ctrl-C ends it`);
      const { promise, resolve } = Promise.withResolvers<void>();
      call.signal.addEventListener("abort", () => resolve(), { once: true });
      if (call.signal.aborted) resolve();
      await promise;
    } catch (error) {
      ready.reject(error);
      throw error;
    } finally {
      // Those who are connected are sent away by now; nobody is waited for.
      await http.shutdown().catch(() => {});
      if (address.kind === "unix") await Deno.remove(address.path).catch(() => {});
    }
  },
};
