# SPDX-License-Identifier: Apache-2.0
"""What tests/lab/crash_matrix stands on: the lab, a guest that is watched from outside of libvirt, and walks of umbra that
stand still at a chosen write of their journal."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

HOSTS = ("alpha", "beta")
VM = "web1"


class Failure(Exception):
    """A promise that is broken, in words."""


def until(seconds, what, condition):
    """Polls; Failure naming `what` when the time is up."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise Failure(f"after {seconds} s still not so: {what}")
        time.sleep(0.02)


class Lab:
    """A lab of its own, taken down at the end of the with block."""

    def __init__(self, umbra, root):
        self.umbra = umbra
        self.script = f"{root}/examples/lab/lab"
        self.name = f"test-crash-matrix-{os.getpid()}"
        self.var = f"/var/tmp/umbra-lab/{self.name}"
        self.database = f"{self.var}/state/umbra.db"
        self.env = dict(os.environ, UMBRA_LAB=self.name, UMBRA_BIN=umbra)
        self.env["PATH"] += ":/usr/sbin:/sbin"

    def __enter__(self):
        up = self.run("up", check=False)
        if up.returncode:
            print(up.stdout + up.stderr)
            self.run("down", check=False)
            raise SystemExit(up.returncode)
        words = self.run("env").stdout
        self.env["UMBRA_CONFIG"] = re.search(r"UMBRA_CONFIG=(\S+)", words).group(1)
        return self

    def __exit__(self, *_):
        self.run("down", check=False)

    def run(self, *words, check=True, timeout=300):
        done = subprocess.run([self.script, *words], env=self.env, text=True, capture_output=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise Failure(f"lab {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def on(self, host, *words, **more):
        return self.run("exec", host, *words, **more)

    def verb(self, *words, **more):
        return self.on("client", self.umbra, *words, **more)

    def state(self, host):
        return self.on(host, "virsh", "domstate", VM, check=False, timeout=60).stdout.strip() or "absent"

    def path(self, host, path):
        return f"{self.var}/{host}/{path.replace('/', '_')}"

    def make_guest(self):
        """One with a second monitor, which answers whatever becomes of libvirtd."""
        self.run("guest", VM, "--memory", "192", "--disk", "256M", "--no-start")
        xml = self.on("alpha", "virsh", "dumpxml", VM, "--inactive").stdout
        monitor = "<qemu:arg value='-qmp'/><qemu:arg value='unix:/run/libvirt/watched.qmp,server=on,wait=off'/>"
        if "<qemu:commandline>" in xml:
            xml = xml.replace("<qemu:commandline>", f"<qemu:commandline>{monitor}", 1)
        else:
            xml = re.sub(r"<domain ([^>]*)>", r"<domain \1 xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>", xml, 1)
            xml = xml.replace("</domain>", f"<qemu:commandline>{monitor}</qemu:commandline></domain>")
        with open(f"{self.var}/guest.xml", "w", encoding="utf-8") as file:
            file.write(xml)
        self.on("alpha", "virsh", "define", f"{self.var}/guest.xml")
        self.on("alpha", "virsh", "start", VM)
        self.wait_for_guest()

    def wait_for_guest(self):
        self.run("info", VM, "--for", "150")

    def journal(self, folder=None):
        """What the database holds, that of a folder or the one in use with what is written and not synced yet."""
        copy = folder or f"{self.var}/look"
        if not folder:
            os.makedirs(copy, exist_ok=True)
            copy_database(os.path.dirname(self.database), copy)
        base = sqlite3.connect(f"{copy}/umbra.db")
        try:
            entries = base.execute("select step || ' ' || phase from journal order by id").fetchall()
            walks = base.execute("select kind, from_host, to_host, state from walks order by id").fetchall()
            epochs = base.execute("select epoch from epochs").fetchall()
        finally:
            base.close()
        return {"entries": len(entries), "last": entries[-1][0] if entries else "", "walks": walks, "epochs": epochs}

    def open_walk(self):
        return any(state == "open" for *_, state in self.journal()["walks"])


def copy_database(source, to):
    for name in ("umbra.db", "umbra.db-wal", "umbra.db-shm"):
        if os.path.exists(f"{to}/{name}"):
            os.unlink(f"{to}/{name}")
        if os.path.exists(f"{source}/{name}") and not name.endswith("-shm"):
            shutil.copyfile(f"{source}/{name}", f"{to}/{name}")


class Watch(threading.Thread):
    """Asks the QEMU of one host, over and over, whether its guest runs. `spans`: per QEMU, from the first answer "it runs"
    to the last time that it was asked and said so."""

    def __init__(self, lab, host):
        super().__init__(daemon=True)
        self.path = lab.path(host, "/run/libvirt") + "/watched.qmp"
        self.spans = []
        self.polls = 0
        self.running = None  # nothing answers
        self.over = False

    def run(self):
        while not self.over:
            try:
                self.follow_one()
            except (OSError, ValueError):
                pass
            self.running = None
            time.sleep(0.05)

    def follow_one(self):
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(self.path)
            answers = monitor.makefile("r")
            answers.readline()
            self.ask(monitor, answers, "qmp_capabilities")
            span = None
            while not self.over:
                asked = time.monotonic()
                self.running = self.ask(monitor, answers, "query-status")["running"]
                self.polls += 1
                if self.running and span is None:
                    span = [time.monotonic(), asked]
                    self.spans.append(span)
                elif self.running:
                    span[1] = asked
                time.sleep(0.02)

    @staticmethod
    def ask(monitor, answers, command):
        monitor.sendall(json.dumps({"execute": command}).encode() + b"\n")
        while True:
            line = answers.readline()
            if not line:
                raise OSError("it has ended")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise OSError(answer["error"])


def two_at_once(watches):
    """Spans of QEMUs of two hosts that overlap: one that has left never runs again, so both ran at once."""
    first, second = (watch.spans for watch in watches)
    return [(a, b) for a in first for b in second if max(a[0], b[0]) < min(a[1], b[1])]


class StoppedWalk:
    """umbra switchover, stopped at commits of its journal."""

    def __init__(self, lab, shim, when, at):
        self.synced = f"{lab.var}/synced"
        shutil.rmtree(self.synced, ignore_errors=True)
        os.makedirs(self.synced)
        copy_database(os.path.dirname(lab.database), self.synced)
        self.lab = lab
        self.log = open(f"{lab.var}/walk.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [lab.script, "exec", "client", "env", f"LD_PRELOAD={shim}", f"COMMITS_WHEN={when}", f"COMMITS_AT={at}",
             f"COMMITS_SYNCED={self.synced}", lab.umbra, "switchover", VM, "-o", "jsonl"],
            env=lab.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def wait_for_stop(self):
        """True where it stands; False where it ended."""
        def looked():
            pid, status = os.waitpid(self.process.pid, os.WUNTRACED | os.WNOHANG)
            if pid and not os.WIFSTOPPED(status):
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return "ended"
            return "stopped" if pid else None
        return until(300, "umbra stands at a write of its journal", looked) == "stopped"

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self, with_its_machine):
        """With its machine: what was written and not synced is lost."""
        self.process.kill()
        self.process.wait()
        if with_its_machine:
            copy_database(self.synced, os.path.dirname(self.lab.database))

    def wait(self):
        try:
            return self.process.wait(400)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure("umbra did not end within 400 s") from None

    def words(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()
