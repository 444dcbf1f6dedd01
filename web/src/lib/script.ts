// What somebody has written at a workbench, kept for as long as the tab is open: neither a restart of the gateway nor a
// reload loses it, and it is forgotten with the sign-in.

const STORED = "countersign-sql ";

export function written(by: string, resource: string): string {
  try {
    return sessionStorage.getItem(`${STORED}${by} ${resource}`) ?? "";
  } catch {
    return "";
  }
}

export function write(by: string, resource: string, text: string): void {
  try {
    sessionStorage.setItem(`${STORED}${by} ${resource}`, text);
  } catch {
    // Larger than the browser keeps: it lives as long as the page does.
  }
}

export function forgetScripts(): void {
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(STORED)) sessionStorage.removeItem(key);
  } catch {
    // There is nothing to forget where nothing is kept.
  }
}
