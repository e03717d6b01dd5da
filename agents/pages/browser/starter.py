"""Inside the fence, run by the system's own Python: opens the one port that the browser can reach, hands it
out through the fence, and becomes the browser.

A socket belongs to the network it was made in: who accepts on it outside is reached from in here, and there
is nobody else. Arguments: a Unix socket to hand it over, the port, the browser and its own arguments.
"""

import os
import socket
import sys


def main(door: str, port: str, *command: str) -> None:
    with (
        socket.create_server(("127.0.0.1", int(port)), backlog=128) as listener,
        socket.socket(socket.AF_UNIX) as way_out,
    ):
        way_out.connect(door)
        socket.send_fds(way_out, [b"."], [listener.fileno()])
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
