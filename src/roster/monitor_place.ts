/**
 * Whether the place of a monitor socket can be trusted: that whoever is found there is the user whose VM
 * names it. A command line can name any path. So the socket file must be that user's, and nobody else but
 * root and the daemon's own user may be able to put another in its place: each folder above it is theirs, and
 * nobody else may write in it (or others' files stay others' there, as in /tmp). It is looked at before
 * anybody connects, because a connection disturbs whoever else uses that monitor.
 *
 * The connection itself has the last word: the kernel says which process listens
 * (`qemu/monitor/qmp_link.ts`).
 * @module
 */

/** What is asked about a file. */
export interface PlaceInfo {
  /** Its owner. */
  readonly uid: number;
  /** Its group. */
  readonly gid: number;
  /** Kind and permission bits. */
  readonly mode: number;
  /** Whether it is a socket. */
  readonly isSocket: boolean;
}

/** Reads of the file system. */
export interface PlaceView {
  /** A path with every symbolic link resolved. Rejects as Deno does. */
  realPath(path: string): Promise<string>;
  /** What is there, a link itself when it is one. Rejects as Deno does. */
  look(path: string): Promise<PlaceInfo>;
}

const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/**
 * Why a monitor's place cannot be trusted; "" when it can.
 *
 * @param path absolute
 * @param uid whose VM names it
 * @param ownUid the daemon's
 */
export async function placeDefect(
  view: PlaceView,
  path: string,
  uid: number,
  ownUid: number,
): Promise<string> {
  // Deno opens a file by text: there is no way to such a name.
  if (!path.isWellFormed()) return "its monitor's path is not UTF-8, so that vmsig cannot open it";
  try {
    const slash = path.lastIndexOf("/");
    const folder = await view.realPath(path.slice(0, slash) || "/");
    const socket = await view.look(`${folder}${path.slice(slash)}`);
    if (!socket.isSocket) return "what is at its monitor's path is not a socket";
    if (socket.uid !== uid) {
      return `its monitor's socket belongs to uid ${socket.uid}, and it runs as uid ${uid}`;
    }
    for (let at = folder; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
      const defect = folderDefect(at, await view.look(at), [0, ownUid, uid]);
      if (defect !== "") return defect;
    }
    return "";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no socket at its monitor's path";
    if (error instanceof Deno.errors.PermissionDenied) return "its monitor's folder may not be looked into";
    if (error instanceof Error && "code" in error) return `its monitor cannot be reached: ${error.code}`;
    throw error;
  }
}

function folderDefect(folder: string, info: PlaceInfo, trusted: readonly number[]): string {
  if (!trusted.includes(info.uid)) return `the folder ${folder} of its monitor belongs to uid ${info.uid}`;
  if ((info.mode & STICKY) !== 0) return "";
  // A group with the number of its only user is how many systems give a user files of their own.
  const isOwnGroup = info.gid === info.uid || info.gid === 0;
  if ((info.mode & OTHERS_WRITE) !== 0 || ((info.mode & GROUP_WRITE) !== 0 && !isOwnGroup)) {
    return `others may write in the folder ${folder} of its monitor; chmod go-w it`;
  }
  return "";
}
