// What was typed and not yet sent, kept on this device for each person and conversation; and the composer's last choices.

const key = (user, name) => `${user}:${name}`;

export class Drafts {
  constructor(user) {
    this.user = user;
  }

  read(conversation) {
    return load(key(this.user, `draft:${conversation || "new"}`)) ?? "";
  }

  write(conversation, text) {
    save(key(this.user, `draft:${conversation || "new"}`), text || null);
  }

  /** The ids of files that were uploaded for the draft. */
  readFiles(conversation) {
    return load(key(this.user, `files:${conversation || "new"}`)) ?? [];
  }

  writeFiles(conversation, ids) {
    save(key(this.user, `files:${conversation || "new"}`), ids.length ? ids : null);
  }

  get choices() {
    return load(key(this.user, "choices")) ?? {};
  }

  set choices(value) {
    save(key(this.user, "choices"), value);
  }
}

/** Leave nothing of this person behind on the device. */
export function forget(user) {
  for (const name of Object.keys(localStorage)) if (name.startsWith(`${user}:`)) localStorage.removeItem(name);
}

// A browser that keeps nothing (private, full) still lets people type and send.
function load(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function save(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // nothing is kept, nothing breaks
  }
}
