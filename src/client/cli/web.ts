/**
 * `vmsig web`: a page on which people see all VMs, look at one, and use its keyboard and mouse.
 * @module
 */
import { aborted } from "../../base/aborted.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { Join } from "../../web/household.ts";
import type { WebServer } from "../../web/web_server.ts";
import { Asks } from "../asks.ts";
import { connect, defaultSocketPathHere } from "../connect.ts";
import type { CommandModule } from "./command.ts";
import { understood, usage } from "./command_line.ts";
import { note } from "./note.ts";

const LISTEN = "127.0.0.1:0";

/** The command. */
export const web: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    listen: {
      takes: "text",
      value: "ADDRESS",
      help: "127.0.0.1:PORT (default: a free port), unix:PATH for a proxy, or with --tls-cert any IP:PORT",
    },
    "tls-cert": { takes: "text", value: "FILE", help: "serve HTTPS with this certificate chain (PEM)" },
    "tls-key": { takes: "text", value: "FILE", help: "the key of --tls-cert (PEM), mode 0600" },
    tokens: {
      takes: "text",
      value: "FILE",
      help: "people who may log in: lines of NAME and the token's SHA-256; mode 0600",
    },
    link: { takes: "nothing", help: "print a one-time link even with --tokens" },
    origin: {
      takes: "list",
      value: "ORIGIN,…",
      help: "the origin that browsers use, if it is not the port itself: https://vms.example.org",
    },
  },
  details:
    `Serves a web page until Ctrl-C. It shows all VMs with small live pictures and the owners of their leases; one VM's
screen, with keyboard and mouse if a person takes them over; its text, power and processes; and a searchable list of
events. Open the link that is printed in a browser; it can be used once, and then the next one is printed. With
--tokens FILE, people log in with their own tokens: head -c 24 /dev/urandom | base64 makes a token, printf %s TOKEN
| sha256sum its hash for the file.

A person who logs in with the token of NAME is the principal token:NAME: the daemon's config says what that name may
do ([[admission]] token = "NAME") and that this user may speak for it (speaks_for = ["token:*"]). A person who uses
the link has the grant of the user who runs this. Each tab is a control of its own, "web NAME". A tab only watches
until its person takes over, which needs an arb_prio strictly higher than that of the lease's owner. A tab that is
closed, or silent for 10 s, releases its leases and all keys. The daemon opens no port; this process does, and only
on the loopback, unless --tls-cert, --tokens and --origin are given. Behind a proxy, which must forward WebSockets,
use --origin.`,
  examples: [
    "web",
    "web --listen 127.0.0.1:8470 --tokens ~/.config/vmsig/people",
    "web --listen 0.0.0.0:8443 --tls-cert vms.pem --tls-key vms.key --origin https://vms.example.org:8443 --tokens people",
    "web --listen unix:/run/user/1000/vmsig-web --origin https://vms.example.org --tokens ~/.config/vmsig/people",
  ],
  async run(call) {
    const { parseListenAddress } = await import("../vnc/viewer_listener.ts");
    const { loopbackOrigins, parseOrigin, SiteRules } = await import("../../web/site_rules.ts");
    const { readTls } = await import("./tls_files.ts");
    const { listenOnHttp } = await import("../../web/http_listener.ts");
    const { readTokens, Tokens } = await import("../../web/tokens.ts");
    const [cert, key] = [call.text("tls-cert"), call.text("tls-key")];
    if ((cert === undefined) !== (key === undefined)) {
      throw usage("web", "--tls-cert and --tls-key go together");
    }
    const file = call.text("tokens");
    const where = call.text("listen") ?? LISTEN;
    const isOpen = cert !== undefined && file !== undefined && call.list("origin") !== undefined;
    const address = understood("web", () => parseListenAddress(where, isOpen));
    const given = understood("web", () => (call.list("origin") ?? []).map(parseOrigin));
    if (address.kind === "unix" && given.length === 0) {
      throw usage("web", "browsers reach a unix socket by a proxy: say at which --origin");
    }
    if (address.kind === "unix" && cert !== undefined) {
      throw usage("web", "a unix socket's proxy has the certificate");
    }
    if (file !== undefined) readTokens(file);
    const tls = cert === undefined || key === undefined ? undefined : await readTls(cert, key);
    const isLinked = file === undefined || call.flag("link");
    const tell = (what: string) => note(call, what);
    const home = await import("../../web/web_server.ts");
    const { Sessions } = await import("../../web/sessions.ts");
    let origins = given;
    const linkOf = (secret: string) => `${origins[0]}/#enter=${secret}`;
    const tokens = new Tokens(file, (secret) => tell(`the link was used; the next one: ${linkOf(secret)}`));
    // The port is known once it listens; requests are answered only once there is a server.
    const ready = Promise.withResolvers<WebServer>();
    ready.promise.catch(() => {});
    const handler = async (request: Request) => await (await ready.promise).handle(request);
    const onError = (error: unknown) => {
      tell(`a request failed: ${messageOf(error)}`);
      return new Response("Something went wrong here.\n", { status: 500 });
    };
    const { end, port } = await listenOnHttp(address, { handler, onError, tls });
    if (address.kind === "tcp" && isLoopback(address.hostname)) {
      origins = [...given, ...loopbackOrigins(tls === undefined ? "http" : "https", port)];
    }
    try {
      const isSecure = origins[0]?.startsWith("https:") === true;
      const { socket, nats } = call;
      const where = nats !== undefined ? { nats } : socket === undefined ? {} : { socket };
      const join: Join = ({ as }, name, sub, reconnect = false) =>
        connect({ name, as, sub, reconnect, ...where });
      await tryToJoin(join, isLinked, isLinked ? [] : tokens.names(), tell);
      await using server = new home.WebServer({
        join,
        tokens,
        sessions: new Sessions(`vmsig-${port}`, isSecure),
        rules: new SiteRules(origins),
        asks: await Asks.here(socket ?? defaultSocketPathHere()),
        tell,
      });
      ready.resolve(server);
      const link = isLinked ? linkOf(await tokens.newLink()) : undefined;
      const place = link ?? `${origins[0]}/`;
      if (call.json) call.out.json({ url: place });
      else call.out.line(`${place}${link === undefined ? "" : " (for one use)"}; Ctrl-C ends it`);
      await aborted(call.signal);
    } catch (error) {
      ready.reject(error);
      throw error;
    } finally {
      // Connected clients have been disconnected by now; it waits for nobody.
      await end();
    }
  },
};

function isLoopback(hostname: string): boolean {
  return hostname === "127.0.0.1" || hostname === "::1";
}

/** Maximum number of names that are tried at the start. */
const MOST_TRIED = 16;

/**
 * Joins once for each name, so that errors are reported at the start and not at the first login: without a
 * daemon, or a rule for this user, the command ends; a token's name without a rule is only a note.
 */
async function tryToJoin(
  join: Join,
  isLinked: boolean,
  names: readonly string[],
  tell: (what: string) => void,
): Promise<void> {
  const people = names.slice(0, MOST_TRIED).map((name) => ({ name, as: `token:${name}` }));
  for (const who of isLinked ? [{ name: "link", as: "" }] : people) {
    try {
      await (await join(who, "web", { sources: [] }, false)).close();
    } catch (error) {
      if (isLinked || !(error instanceof Fault) || error.code !== "not-admitted") throw error;
      tell(`${who.name} cannot come in yet: ${error.message}`);
    }
  }
}
