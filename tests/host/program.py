#!/usr/bin/python3
"""Stands in for every program that a bundle starts, under the program's own name.

As a server it listens where the real one would, found the way the real one finds it, and answers:

    /health                who it is
    /reloads               how often it has read its configuration again
    /die                   nothing: it ends with an error
    /write/PATH            whether it can make the file
    /open/PATH             whether it can open the file to read and write
    /connect/ADDRESS/PORT  whether it can connect
    /processes             the processes that it sees

It behaves as its argument or option `--behave` says, or else the file /srv/behave/UNIT, where UNIT is the unit without `.service`:

    serve      it answers; this is what it does without a word
    load       it neither listens nor answers until the file says something else
    hang       it listens and never answers
    503        it answers with this status
    flap MS    it answers, and ends with an error after so many milliseconds
    silent     it answers, but does not tell systemd that it is ready
    stubborn   it answers, and does not end when it is asked to
    exit CODE  it ends at once

As `redis-server` it answers whatever it is asked with PONG. As `citadel-activate` it says on standard
output how it was called. Uses only modules of python3-minimal.
"""

import errno
import os
import re
import signal
import socket
import sys
import threading
import time

NAME = os.path.basename(sys.argv[0])
ARGUMENTS = sys.argv[1:]
reloads = 0


def option(name):
    return ARGUMENTS[ARGUMENTS.index(name) + 1] if name in ARGUMENTS else None


def vllm_options():
    text = open(option("--config")).read()
    return dict(re.findall(r'^([a-z-]+): "?(.*?)"?$', text, re.MULTILINE))


def unit():
    group = open("/proc/self/cgroup").read().rstrip("\n")
    return os.path.basename(group).removesuffix(".service")


def behaviour():
    """Returns what it is told to do: a word, and a number or nothing."""
    text = vllm_options().get("behave") if NAME == "vllm" else option("--behave")
    try:
        text = text or open(f"/srv/behave/{unit()}").read()
    except FileNotFoundError:
        pass
    word, _, number = (text or "serve").strip().partition(" ")
    return word, number


def identity():
    return vllm_options()["served-model-name"] if NAME == "vllm" else NAME


def addresses():
    """Returns the addresses to listen on: pairs of host and port, or paths."""
    if NAME == "citadel-activate":
        ports = re.findall(r'"(?:api|metrics)_port":\s*(\d+)', open(option("--config")).read())
        return [("127.0.0.1", int(port)) for port in ports]
    if NAME == "vllm":
        options = vllm_options()
        return [options["uds"] if "uds" in options else (options["host"], int(options["port"]))]
    if NAME == "redis-server":
        return [("127.0.0.1", 6379)]
    if option("--bind"):
        host, port = option("--bind").rsplit(":", 1)
        return [(host, int(port))]
    if option("--port"):
        return [(option("--host"), int(option("--port")))]
    return [("127.0.0.1", int(port)) for name, port in os.environ.items() if name.endswith("_PORT")]


def listen(address):
    if isinstance(address, str):
        listener = socket.socket(socket.AF_UNIX)
    else:
        listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()
    return listener


def connect(address):
    connection = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    # A firewall drops packets without a word.
    connection.settimeout(0.5)
    connection.connect(address)
    return connection


def outcome(action):
    """Returns `yes` when something works, and else the name of the error."""
    try:
        action()
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode[error.errno]
    return "yes"


def answer(path):
    _, question, *rest = path.split("/")
    if question == "health":
        return identity()
    if question == "reloads":
        return str(reloads)
    if question == "die":
        os._exit(1)
    if question == "write":
        return outcome(lambda: open("/" + "/".join(rest), "w").close())
    if question == "open":
        return outcome(lambda: os.close(os.open("/" + "/".join(rest), os.O_RDWR)))
    if question == "connect":
        return outcome(lambda: connect((rest[0], int(rest[1]))).close())
    if question == "processes":
        return " ".join(name for name in os.listdir("/proc") if name.isdigit())
    return None


def serve(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=reply, args=[connection], daemon=True).start()


def reply(connection):
    with connection:
        lines = connection.makefile("rb")
        request = lines.readline().split()
        if NAME == "redis-server":
            connection.sendall(b"+PONG\r\n")
        # Whoever only looks whether somebody listens asks nothing.
        elif len(request) > 1:
            # To leave something unread would break the connection.
            while lines.readline().strip():
                pass
            word, _ = behaviour()
            if word == "hang":
                threading.Event().wait()
            text = answer(request[1].decode())
            status = "503 Busy" if word == "503" else "404 Not Found" if text is None else "200 OK"
            connection.sendall(f"HTTP/1.0 {status}\r\n\r\n{text or ''}".encode())


def notify(message):
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
            service_manager.connect("\0" + path[1:] if path[0] == "@" else path)
            service_manager.send(message)


def count_reload(_signal, _frame):
    global reloads
    reloads += 1


def behave():
    """Does what has to be done before it listens."""
    word, number = behaviour()
    if word == "exit":
        sys.exit(int(number))
    if word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while word == "load":
        time.sleep(0.02)
        word, number = behaviour()
    if word == "flap":
        threading.Timer(int(number) / 1000, lambda: os._exit(1)).start()


def run_server():
    signal.signal(signal.SIGHUP, count_reload)
    behave()
    # What the environment promises to be writable.
    promised = {"HOME", "HF_HOME", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME"}
    folders = [folder for name, folder in os.environ.items() if name in promised and NAME == "vllm"]
    for folder in folders + [option("--worker-tmp-dir") or os.environ.get("TMPDIR", "/tmp")]:
        os.makedirs(folder, exist_ok=True)
        name = f"{folder}/{os.getuid()}-{os.getpid()}"
        open(name, "w").close()
        os.remove(name)
    for address in addresses():
        threading.Thread(target=serve, args=[listen(address)], daemon=True).start()
    if behaviour()[0] != "silent":
        notify(b"READY=1")
    watchdog = int(os.environ.get("WATCHDOG_USEC", 0)) / 2e6
    while watchdog:
        time.sleep(watchdog)
        notify(b"WATCHDOG=1")
    while True:
        signal.pause()


def wait_ready(service):
    """Waits until a service answers its probe, as the real one does."""
    for line in open("/task/lists/ready"):
        name, *address = line.rstrip("\n").split("\t")
        if name == service:
            target = address[0] if len(address) == 1 else (address[0], int(address[1]))
            while outcome(lambda: connect(target).close()) != "yes":
                time.sleep(0.02)
            return
    sys.exit(f"{service} has no probe")


if NAME == "citadel-activate":
    print("citadel-activate", *ARGUMENTS, flush=True)
    if ARGUMENTS[0] == "wait-ready":
        wait_ready(ARGUMENTS[1])
    if ARGUMENTS[0] != "monitor":
        sys.exit()
run_server()
