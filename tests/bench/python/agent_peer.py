"""A bare client of the QEMU guest agent: copies a file to the guest, or from it, by the agent's own chunked
protocol. Prints the nanoseconds that it took.

    agent_peer.py SOCKET put|get LOCAL PATH CHUNK
"""
import base64
import json
import socket
import sys
import time


def main(path, what, local, remote, chunk):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    lines = s.makefile("rb")

    def ask(command, **arguments):
        s.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(lines.readline())
        if "error" in answer:
            raise SystemExit(answer["error"]["desc"])
        return answer["return"]

    # In step: whatever was left of an earlier client is passed over.
    s.sendall(b'\xff{"execute": "guest-sync-delimited", "arguments": {"id": 4711}}\n')
    while True:
        line = lines.readline().split(b"\xff")[-1]
        try:
            if json.loads(line).get("return") == 4711:
                break
        except ValueError:
            pass
    start = time.monotonic_ns()
    if what == "put":
        handle = ask("guest-file-open", path=remote, mode="w")
        with open(local, "rb") as file:
            while piece := file.read(chunk):
                ask("guest-file-write", handle=handle, **{"buf-b64": base64.b64encode(piece).decode()})
    else:
        handle = ask("guest-file-open", path=remote, mode="r")
        with open(local, "wb") as file:
            while True:
                answer = ask("guest-file-read", handle=handle, count=chunk)
                file.write(base64.b64decode(answer["buf-b64"]))
                if answer["eof"]:
                    break
    ask("guest-file-close", handle=handle)
    print(time.monotonic_ns() - start)


main(*sys.argv[1:5], int(sys.argv[5]))
