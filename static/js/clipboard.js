// Copying, also where the browser gives no clipboard (plain http): then a selected text field does it.

/** Put the text on the clipboard and show it on the button for a moment; false when the browser refuses. */
export async function copyFrom(button, text) {
  const isCopied = await write(text);
  if (isCopied) confirm(button);
  return isCopied;
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeBySelection(text);
  }
}

function writeBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden-label";
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  return isCopied;
}

function confirm(button) {
  const use = button.querySelector("use");
  const usual = use.getAttribute("href");
  if (usual.endsWith("#i-check")) return;
  use.setAttribute("href", usual.replace(/#.*/, "#i-check"));
  setTimeout(() => use.setAttribute("href", usual), 1600);
}
