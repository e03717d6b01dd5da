"""What hostile code tries in the sandbox. Each attempt says ESCAPED when it got what it must not get.

`PRELUDE` stands before each of them. {names} in braces are filled in by the test: secret, folder, ports.
"""

from dataclasses import dataclass

from agents.sandbox.watching import Ending

PRELUDE = '''
import ctypes, errno, fcntl, glob, mmap, os, resource, signal, socket
import struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def escaped(what=""):
    print("ESCAPED", what)

def attempt(do):
    """It must fail, by an error of the system."""
    try:
        escaped(do())
    except (OSError, MemoryError, ValueError, OverflowError, RuntimeError) as fault:
        print("blocked:", type(fault).__name__, fault)

def system_call(number, *words):
    """It must not even be looked at: bad arguments would tell otherwise."""
    ctypes.set_errno(0)
    if libc.syscall(number, *[ctypes.c_long(word) for word in words]) != -1:
        escaped(number)
    elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        escaped(f"{number} was tried: {os.strerror(ctypes.get_errno())}")

def machine_code(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()

def channel():
    """The socket that the notebook answers on."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                return socket.socket(fileno=os.dup(int(name)))
        except OSError:
            pass
'''


@dataclass(frozen=True)
class Attempt:
    """`endings` are those that are right; `wall_s` the time it gets."""

    name: str
    code: str
    endings: tuple[Ending, ...] = (Ending.DONE,)
    wall_s: float = 10.0


def _reads(name: str, path: str) -> Attempt:
    return Attempt(name, f"attempt(lambda: open({path!r}, 'rb').read(1))")


def _writes(name: str, path: str) -> Attempt:
    return Attempt(name, f"attempt(lambda: open({path!r}, 'wb', 0).write(b'0'))")


_FILES = [
    _reads("a planted secret", "{folder}/secret"),
    _reads("password hashes", "/etc/shadow"),
    _reads("accounts", "/etc/passwd"),
    _reads("the project", "{root}/pyproject.toml"),
    _reads("the secret through the root of init", "/proc/1/root{folder}/secret"),
    Attempt("root's home", "attempt(lambda: os.listdir('/root'))"),
    Attempt(
        "a search of every folder",
        "for at, folders, files in os.walk('/'):\n"
        " 'proc' in folders and at == '/' and folders.remove('proc')\n 'secret' in files and escaped(at)",
    ),
]

_PROCESSES = [
    Attempt(
        "environments of all processes",
        "for path in glob.glob('/proc/*/environ'):\n try: print(open(path).read())\n except OSError: pass",
    ),
    Attempt(
        "command lines of all processes",
        "for path in glob.glob('/proc/*/cmdline'):\n"
        " try:\n  words = open(path, 'rb').read()\n  if b'pytest' in words: escaped(path)\n"
        " except OSError: pass",
    ),
    Attempt("processes of others", "len([p for p in os.listdir('/proc') if p.isdigit()]) > 3 and escaped()"),
    Attempt(
        "inherited descriptors",
        "for name in os.listdir('/proc/self/fd'):\n"
        " try: place = os.readlink(f'/proc/self/fd/{{name}}')\n except OSError: continue\n"
        " if place.startswith('/') and place != '/dev/null' and '/proc/' not in place:\n"
        "  escaped(place)",
    ),
]

_WRITES = [
    _writes("a library", "/usr/lib/canary"),
    _writes("a program", "/usr/bin/python3"),
    _writes("the root folder", "/canary"),
    _writes("devices", "/dev/canary"),
    _writes("the core pattern", "/proc/sys/kernel/core_pattern"),
    _writes("the system request key", "/proc/sysrq-trigger"),
    _writes("kernel caches", "/proc/sys/vm/drop_caches"),
    _writes("its own program", "/inside.py"),
    _writes("the system's knobs", "/sys/kernel/mm/canary"),
]


def _family(name: str, family: int, kind: int = 3) -> Attempt:
    return Attempt(name, f"attempt(lambda: socket.socket({family}, {kind}))")


_NETWORK = [
    Attempt(
        "a listener on the loopback", "attempt(lambda: socket.create_connection(('127.0.0.1', {tcp}), 2))"
    ),
    Attempt("a listener on IPv6", "attempt(lambda: socket.create_connection(('::1', {tcp}), 2))"),
    Attempt(
        "a datagram to the host",
        "attempt(lambda: [socket.socket(2, 2).sendto(b'x', (host, {udp})) for host in {addresses}])\n",
    ),
    Attempt("an address outside", "attempt(lambda: socket.create_connection(('192.0.2.1', 80), 2))"),
    Attempt(
        "the host's own address", "attempt(lambda: socket.create_connection(({addresses}[-1], {tcp}), 2))"
    ),
    Attempt("a name", "attempt(lambda: socket.getaddrinfo('example.org', 80))"),
    Attempt("an abstract socket", "attempt(lambda: socket.socket(1).connect('\\0{abstract}'))"),
    Attempt("a socket by its path", "attempt(lambda: socket.socket(1).connect('{folder}/socket'))"),
    Attempt("a raw socket", "attempt(lambda: socket.socket(2, 3, 1))"),
    _family("netlink", 16),
    _family("packets", 17),
    _family("kernel cryptography", 38, 5),
    _family("virtual machines", 40, 1),
    _family("express data path", 44),
]

_PRIVILEGES = [
    Attempt("becoming root", "attempt(lambda: os.setuid(0) or os.setgid(0))"),
    Attempt("other groups", "attempt(lambda: os.setgroups([0]))"),
    Attempt(
        "programs that become root",
        "for name in ('su', 'sudo', 'pkexec', 'mount', 'newgrp', 'passwd'):\n"
        " path = f'/usr/bin/{{name}}'\n"
        " if os.path.exists(path) and subprocess.run([path, '-c', 'true'], capture_output=True, stdin=-3,\n"
        "  timeout=5).returncode == 0 and name in ('su', 'sudo', 'pkexec'): escaped(name)",
    ),
    Attempt("a device file", "attempt(lambda: os.mknod('disk', 0o60666, os.makedev(8, 0)))"),
    Attempt(
        "devices of the machine",
        "for name in ('mem', 'kmem', 'kmsg', 'port', 'sda', 'vda', 'kvm', 'fuse', 'loop0', 'net/tun'):\n"
        " attempt(lambda: open(f'/dev/{{name}}', 'rb').read(1))",
    ),
    Attempt(
        "capabilities",
        "status = open('/proc/self/status').read()\n"
        "for kind in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb'):\n"
        " if f'Cap{{kind}}:\\t0000000000000000' not in status: escaped(kind)",
    ),
]

# Called with arguments that the kernel would refuse in another way, had it seen them.
SYSTEM_CALLS = (
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "ptrace", "process_vm_readv"),
    *("process_vm_writev", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("kexec_load", "init_module", "finit_module", "delete_module", "open_by_handle_at", "io_uring_setup"),
    *("swapon", "reboot", "acct", "quotactl", "personality", "fsopen", "move_mount", "open_tree", "vmsplice"),
    *("kcmp", "syslog", "clock_settime", "sethostname", "setdomainname", "memfd_create", "shmget"),
)

_CALLS = [
    Attempt(f"system call {name}", f"system_call({{{name}}}, -1, -1, -1, -1, -1)") for name in SYSTEM_CALLS
]

_LIMITS = [
    Attempt(
        "typing into a terminal",
        "attempt(lambda: fcntl.ioctl(0, 0x5412, b'x'))\nsystem_call({ioctl}, 0, 0x5412, 0)",
    ),
    Attempt("signals to the host", "attempt(lambda: os.kill({launcher}, 9))"),
    Attempt(
        "signals to everybody",
        "os.kill(-1, 9); time.sleep(1)",
        (Ending.DONE, Ending.CRASHED, Ending.TIMEOUT),
        3,
    ),
    Attempt(
        "a fork bomb",
        "born = 0\ntry:\n while born < 400:\n"
        "  if os.fork() == 0: time.sleep(60); os._exit(0)\n  born += 1\n"
        "except OSError: pass\nborn > 64 and escaped(born)",
        (Ending.DONE, Ending.PROCESSES),
    ),
    Attempt(
        "a thread bomb",
        "born = []\nmade = lambda: threading.Thread(target=time.sleep, args=(2,))\n"
        "try:\n while len(born) < 400:\n  born.append(made())\n"
        "  born[-1].start()\nexcept RuntimeError: born.pop()\nlen(born) > 64 and escaped(len(born))",
        (Ending.DONE, Ending.PROCESSES, Ending.MEMORY),
    ),
    Attempt(
        "memory of one process", "held = [bytearray(2**26) for _ in range(40)]\nescaped()", (Ending.MEMORY,)
    ),
    Attempt(
        "memory of many processes",
        "born = []\nfor _ in range(20):\n born.append(os.fork())\n"
        " if born[-1] == 0: held = os.urandom(2**20) * 50; time.sleep(60)\n"
        "time.sleep(1.5)\nall(os.waitpid(pid, os.WNOHANG)[0] == 0 for pid in born) and escaped()",
        (Ending.MEMORY, Ending.DONE, Ending.CRASHED),
    ),
    Attempt(
        "memory as shared files",
        "attempt(lambda: [open(f'/dev/shm/{{n}}', 'wb').write(bytes(2**24)) for n in range(8)])",
    ),
    Attempt(
        "memory as temporary files",
        "attempt(lambda: [open(f'/tmp/{{n}}', 'wb').write(bytes(2**24)) for n in range(8)])",
    ),
    Attempt("time without end", "while True: pass", (Ending.TIMEOUT,), 0.5),
    Attempt(
        "deaf ears",
        "for n in set(range(1, 65)) - {{9, 19, 32, 33}}: signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        (Ending.TIMEOUT,),
        0.5,
    ),
    Attempt(
        "a daemon",
        "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
        "  while True: open('beat', 'w').write(str(time.time())); time.sleep(0.02)\n os._exit(0)",
    ),
    Attempt("a flood of output", "while True: os.write(1, bytes(65536))", (Ending.OUTPUT,)),
    Attempt(
        "one large file", "signal.signal(25, 1)\nattempt(lambda: open('large', 'wb').write(bytes(2**27)))"
    ),
    Attempt("many files", "attempt(lambda: [open(f'f{{n}}', 'wb').write(bytes(2**23)) for n in range(12)])"),
    Attempt(
        "all inodes",
        "attempt(lambda: [open(f'i{{n}}', 'w') and None for n in range(5000)])\n"
        "for name in os.listdir(): os.unlink(name)",
    ),
    Attempt("raised limits", "for which in (6, 9, 1): attempt(lambda: resource.setrlimit(which, (-1, -1)))"),
    Attempt(
        "a file that is all holes",
        "for n in range(8):\n with open(f'hole{{n}}', 'wb') as file: file.truncate(2**26 - 1)",
    ),
]

_LEFT_BEHIND = [
    Attempt(
        "a link to accounts", "os.symlink('/etc/passwd', 'link'); os.symlink('{folder}/secret', 'link2')"
    ),
    Attempt("a folder that is a link", "os.symlink('{folder}', 'folder')"),
    Attempt("a hard link to a program", "attempt(lambda: os.link('/usr/bin/su', 'su'))"),
    Attempt("a program that becomes its owner", "open('setuid', 'w').write('x'); os.chmod('setuid', 0o6777)"),
    Attempt("a pipe in the way", "attempt(lambda: os.mkfifo('pipe'))"),
    Attempt("a socket in the way", "socket.socket(1).bind('socket')"),
    Attempt("names with line ends", "open('a\\nb', 'w'); open('\\x1b[2J', 'w'); os.makedirs('d/' * 60)"),
]

_TRICKS = [
    Attempt("the memory of init", "attempt(lambda: open('/proc/1/mem', 'r+b').read(1))"),
    Attempt(
        "above the root", "os.path.exists(os.path.join('/proc/self/root', '..{folder}/secret')) and escaped()"
    ),
    Attempt("above the work folder", "attempt(lambda: open('../../../..{folder}/secret'))"),
    Attempt("the maps of users", "attempt(lambda: open('/proc/self/uid_map', 'wb', 0).write(b'0 0 1'))"),
    Attempt(
        "control groups",
        "for root in glob.glob('/sys/fs/cgroup/**/cgroup.procs', recursive=True): escaped(root)",
    ),
    Attempt(
        "parents of the namespace",
        "for kind in (0xB701, 0xB702): attempt(lambda: fcntl.ioctl(os.open('/proc/self/ns/user', 0), kind))",
    ),
    Attempt(
        "a sandbox of its own",
        "for words in (['bwrap', '--ro-bind', '/', '/', 'true'], ['unshare', '-Ur', 'true']):\n"
        " try:\n  if subprocess.run(words, capture_output=True).returncode == 0: escaped(words)\n"
        " except OSError: pass",
    ),
    Attempt("a namespace by clone", "system_call({clone}, 0x10000000 | 17, 0, 0, 0, 0)"),
    Attempt("a namespace by clone3", "system_call({clone3}, 0, 0)"),
    Attempt(
        "32-bit calls",
        "machine_code(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'); escaped()",
        (Ending.CRASHED,),
    ),
    Attempt("calls of the x32 kind", "libc.syscall(0x40000000 | 39); escaped()", (Ending.CRASHED,)),
    Attempt(
        "an answer that never ends", "channel().send(b'\\xff\\xff\\xff\\xff' + b'x' * 999)", (Ending.CRASHED,)
    ),
    Attempt("an answer that is no JSON", "channel().send(b'\\0\\0\\0\\1{{')", (Ending.CRASHED, Ending.DONE)),
    Attempt(
        "an answer nested deeply",
        "c = channel(); c.send((90000).to_bytes(4, 'big')); c.send(b'[' * 90000)",
        (Ending.CRASHED, Ending.DONE),
    ),
    Attempt(
        "two answers at once",
        "channel().send(b'\\0\\0\\0\\2{{}}\\0\\0\\0\\2{{}}'); time.sleep(2)",
        (Ending.CRASHED, Ending.DONE),
    ),
]

ATTEMPTS = [
    *(*_FILES, *_PROCESSES, *_WRITES, *_NETWORK, *_PRIVILEGES),
    *(*_CALLS, *_LIMITS, *_LEFT_BEHIND, *_TRICKS),
]


def shared() -> list[Attempt]:
    """Those that can be written without the calls of an own kernel, for sandboxes of another kind."""
    return [*(one for one in _NETWORK[:8] if one.name != "a name"), *_LEFT_BEHIND[:2], *_FILES[-1:]]
