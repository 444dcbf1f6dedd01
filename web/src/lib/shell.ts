// A credential as something to paste into a shell.

import type { Schemas } from "../api/client";

/** A word of a POSIX shell. */
export const quote = (word: string): string => (/^[\w.@:/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The same as environment variables, as libpq reads them; how to trust the door comes from the URL. */
export function environment(minted: Schemas["Credential"]): string {
  const query = new URLSearchParams(minted.url.split("?")[1] ?? "");
  const variables: readonly (readonly [string, string | null])[] = [
    ["PGHOST", minted.host], ["PGPORT", String(minted.port)], ["PGDATABASE", minted.database], ["PGUSER", minted.user],
    ["PGPASSWORD", minted.password], ["PGSSLMODE", query.get("sslmode")], ["PGSSLROOTCERT", query.get("sslrootcert")],
  ];
  return variables.filter(([, value]) => value !== null).map(([name, value]) => `export ${name}=${quote(value ?? "")}`).join("\n");
}
