"""A server that says to systemd what PostgreSQL does not: STATUS, WATCHDOG, FDSTORE.

Sends READY=1 and, every 200 ms, WATCHDOG=1. USR1: no more of that. USR2: puts a file that holds its
pid into the descriptor store. Writes what it was given to /run/notifier."""

import array
import os
import signal
import socket
import sys
import time

address = os.environ["NOTIFY_SOCKET"]
if address.startswith("@"):
    address = "\0" + address[1:]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(address)


def tell(text, descriptors=()):
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    manager.sendmsg([text.encode()], ancillary)


beating = True
storing = False


def stop_beating(*_):
    global beating
    beating = False


def store(*_):
    global storing
    storing = True


signal.signal(signal.SIGUSR1, stop_beating)
signal.signal(signal.SIGUSR2, store)

given = []
if os.environ.get("LISTEN_PID") == str(os.getpid()):
    for number in range(int(os.environ["LISTEN_FDS"])):
        os.lseek(3 + number, 0, os.SEEK_SET)
        given.append(os.read(3 + number, 100).decode())
with open("/run/notifier", "w") as file:
    print("pid", os.getpid(), file=file)
    print("stored", *given, file=file)
    print("watchdog", os.environ.get("WATCHDOG_PID") == str(os.getpid()), file=file)

tell("READY=1\nSTATUS=ready as can be")
while True:
    time.sleep(0.2)
    if beating:
        tell("WATCHDOG=1")
    if storing:
        storing = False
        descriptor = os.memfd_create("kept")
        os.write(descriptor, f"kept-by-{os.getpid()}".encode())
        tell("FDSTORE=1\nFDNAME=kept", [descriptor])
        tell("STATUS=stored")
