// Fails when src/api/schema.d.ts is not what openapi.json generates; `npm run api` writes it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "countersign-api-"));
try {
  const made = join(folder, "schema.d.ts");
  execFileSync(process.execPath, [join(web, "node_modules/openapi-typescript/bin/cli.js"), join(web, "openapi.json"), "--output", made], { stdio: "pipe" });
  if (readFileSync(made, "utf8") !== readFileSync(join(web, "src/api/schema.d.ts"), "utf8")) {
    console.error("src/api/schema.d.ts is not what openapi.json describes; run `npm run api` and look at what changed");
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
