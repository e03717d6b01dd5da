// Runs in Deno, which gives it nothing but its own folder to read: Python compiled to WebAssembly, and frames on
// the standard streams (four bytes of length, then JSON). What the code prints goes to the standard error.

const [bundle] = Deno.args;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function exactly(size) {
  const content = new Uint8Array(size);
  for (let filled = 0; filled < size; ) {
    const got = Deno.stdin.readSync(content.subarray(filled));
    if (got === null) Deno.exit(0); // nobody asks any more
    filled += got;
  }
  return content;
}

function writeAll(stream, content) {
  for (let done = 0; done < content.length; ) done += stream.writeSync(content.subarray(done));
}

function receive() {
  const size = new DataView(exactly(4).buffer).getUint32(0);
  return decoder.decode(exactly(size));
}

function send(text) {
  const content = encoder.encode(text);
  const frame = new Uint8Array(4 + content.length);
  new DataView(frame.buffer).setUint32(0, content.length);
  frame.set(content, 4);
  writeAll(Deno.stdout, frame);
}

function print(content) {
  writeAll(Deno.stderr, content);
  return content.length;
}

const { modules } = JSON.parse(receive());
const { loadPyodide } = await import(`file://${bundle}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: `${bundle}/`, env: { HOME: "/workspace", LANG: "C.UTF-8" } });
python.setStdin({ error: true });
python.setStdout({ write: print });
python.setStderr({ write: print });
for (const folder of ["/ours", "/workspace", "/packages"]) python.FS.mkdirTree(folder);
python.FS.mount(python.FS.filesystems.NODEFS, { root: `${bundle}/packages` }, "/packages");
for (const [name, source] of Object.entries(modules)) python.FS.writeFile(`/ours/${name}`, source);
const answer = python.runPython(`
import os, sys
os.chdir("/workspace")
sys.path.append("/ours")
import notebook
notebook.answer
`);
send('{"ready": true}');
for (;;) send(answer(receive()));
