"""What hostile code tries where Python runs in Deno: what it tries elsewhere as far as it can be written
there, and what Deno itself would have to allow. Each says ESCAPED when it got what it must not get.

Files in its own memory are its own: that nothing of the machine was read or written is seen from outside.
"""

from agents.sandbox.watching import Ending
from tests.sandbox.attempts import Attempt, shared

PRELUDE = """
import errno, glob, json, os, signal, socket, struct, subprocess, sys, threading, time
import js, pyodide.code

def escaped(what=""):
    print("ESCAPED", what)

def attempt(do):
    try:
        escaped(do())
    except Exception as fault:
        print("blocked:", type(fault).__name__, str(fault)[:200])

def in_js(source):
    try:
        escaped(pyodide.code.run_js(source))
    except Exception as fault:
        print("blocked:", type(fault).__name__, str(fault)[:200])
"""

_ENDED = (Ending.DONE, Ending.CRASHED, Ending.MEMORY, Ending.TIMEOUT)


def _js(name: str, source: str) -> Attempt:
    return Attempt(name, f"in_js({source!r})")


def _later(name: str, source: str, *endings: Ending) -> Attempt:
    """Of a promise, which the notebook does not wait for: what it reached is looked at from outside."""
    promised = f"(async () => {{{{ try {{{{ {source} }}}} catch {{{{}}}} }}}})()"
    return Attempt(name, f"pyodide.code.run_js({promised!r})", (Ending.DONE, *endings))


_DENO = [
    _js("a planted secret", "Deno.readTextFileSync('{folder}/secret')"),
    _js("the secret by node", "process.getBuiltinModule('node:fs').readFileSync('{folder}/secret', 'utf8')"),
    _js("accounts", "Deno.readTextFileSync('/etc/passwd')"),
    _js("the project", "Deno.readTextFileSync('{root}/pyproject.toml')"),
    _js("every folder", "[...Deno.readDirSync('/')].length"),
    _js("the secret above the bundle", "Deno.readTextFileSync('{bundle}/../../../../../..{folder}/secret')"),
    _js("its environment", "Deno.readTextFileSync('/proc/self/environ')"),
    _js("its memory", "Deno.openSync('/proc/self/mem')"),
    _js("its command line", "Deno.readTextFileSync('/proc/self/cmdline')"),
    _js("variables of the environment", "JSON.stringify(Deno.env.toObject())"),
    _js("about the machine", "Deno.hostname() + Deno.osRelease()"),
    _js("a file outside", "Deno.writeTextFileSync('{folder}/canary', 'x')"),
    _js("its own bundle", "Deno.writeTextFileSync('{bundle}/pyodide.mjs', 'x')"),
    _js("a temporary file", "Deno.makeTempFileSync()"),
    _js("a link out of the bundle", "Deno.symlinkSync('{folder}', '{bundle}/link')"),
    _js("a program", "new Deno.Command('/bin/sh', {{args: ['-c', 'true']}}).outputSync().success"),
    _js("a program by node", "process.getBuiltinModule('node:child_process').execSync('true')"),
    _js("a library", "Deno.dlopen('libc.so.6', {{getpid: {{parameters: [], result: 'i32'}}}})"),
    _js("a library of node's", "process.dlopen({{exports: {{}}}}, '/usr/lib/x86_64-linux-gnu/libc.so.6')"),
    _js("signals to the host", "Deno.kill({launcher}, 'SIGKILL')"),
    _js("signals by node", "process.kill({launcher}, 'SIGKILL')"),
    _js("a port", "Deno.listen({{port: 0}})"),
    _js(
        "permissions",
        "(() => {{ for (const name of ['read', 'write', 'net', 'env', 'run', 'ffi', 'sys'])"
        " if (Deno.permissions.requestSync({{name}}).state === 'granted') return name;"
        " throw new Error('none') }})()",
    ),
    _later("a listener on the loopback", "await Deno.connect({{port: {tcp}}})"),
    _later("a listener by HTTP", "await fetch('http://127.0.0.1:{tcp}/')"),
    _later("a web socket", "new WebSocket('ws://127.0.0.1:{tcp}/')"),
    _later("a socket by its path", "await Deno.connect({{transport: 'unix', path: '{folder}/socket'}})"),
    _later("a listener by node", "process.getBuiltinModule('node:net').connect({tcp}, '127.0.0.1')"),
    _later("a socket by node", "process.getBuiltinModule('node:net').connect('{folder}/socket')"),
    _later(
        "a datagram by node",
        "const {{createSocket}} = process.getBuiltinModule('node:dgram');"
        " createSocket('udp4').send('x', {udp}, '127.0.0.1')",
    ),
    _later("a name", "await Deno.resolveDns('example.org', 'A')"),
    _later("code from elsewhere", "await import('http://127.0.0.1:{tcp}/x.mjs')"),
    _later("a package from elsewhere", "await import('npm:is-number')"),
    _later(
        "a worker with more rights",
        "new Worker('data:text/javascript,fetch(`http://127.0.0.1:{tcp}`)',"
        " {{type: 'module', deno: {{permissions: 'inherit'}}}})",
        Ending.CRASHED,
    ),
    _later("a store on disk", "(await Deno.openKv('{folder}/canary')).close()"),
]

_PYTHON = [
    Attempt(
        "the machine mounted",
        "import pyodide_js\nattempt(lambda: (pyodide_js.FS.mkdirTree('/host'), pyodide_js.FS.mount("
        "pyodide_js.FS.filesystems.NODEFS, js.JSON.parse('{{\"root\": \"/\"}}'), '/host'),"
        " open('/host{folder}/secret').read()))",
    ),
    Attempt(
        "its own packages", "attempt(lambda: open('/packages/canary.py', 'w').write('x'))", (Ending.CRASHED,)
    ),
    Attempt("a package from elsewhere", "attempt(lambda: __import__('micropip'))"),
    Attempt(
        "memory of WebAssembly",
        "in_js('[...Array(64)].map(() => new WebAssembly.Memory({{initial: 16384}}).buffer)"
        ".map((buffer) => new Uint8Array(buffer).fill(1)).length')",
        _ENDED,
    ),
    Attempt(
        "workers without end",
        "pyodide.code.run_js('for (let i = 0; i < 400; i++)"
        ' new Worker("data:text/javascript,for(;;);", {{type: "module"}})\')',
        (*_ENDED, Ending.PROCESSES),
        5.0,
    ),
    Attempt("time without end", "while True: pass", (Ending.TIMEOUT,), 0.5),
    Attempt("a flood of output", "while True: print('x' * 65536)", (Ending.OUTPUT,)),
    Attempt("the end of the engine", "js.Deno.exit(0)", (Ending.CRASHED,)),
    Attempt(
        "an answer that never ends",
        "js.Deno.stdout.writeSync(js.Uint8Array.new([255, 255, 255, 255, 1]))",
        (Ending.CRASHED,),
    ),
]

# They change the notebook itself, and so stand last.
_LIES = [
    Attempt(
        "files with names that lead out",
        "open('ok', 'w').write('x')\nimport notebook\n"
        "names = ('../../canary', '/tmp/canary', 'a/../../../canary', '', '.', 'x\\n')\n"
        "lie = {{'written': {{name: [1, True] for name in names}}, 'removed': ['../secret', [], 'secret']}}\n"
        "notebook._ANSWERS['changed'] = lambda: lie",
    ),
    Attempt(
        "files without end",
        "import notebook, base64\n"
        "notebook._ANSWERS['changed'] = lambda: {{'written': {{'endless': [1, False]}}, 'removed': []}}\n"
        "more = base64.b64encode(bytes(2**22)).decode()\n"
        "notebook._ANSWERS['give'] = lambda path, at: {{'data': more}}",
    ),
    Attempt(
        "an answer of the wrong shape",
        "import notebook\nnotebook._ANSWERS['changed'] = lambda: {{'written': [1], 'removed': 7}}",
    ),
]

ATTEMPTS = [*_DENO, *_PYTHON, *shared(), *_LIES]
