// How people call what they sign in with, and by.

import type { Schemas } from "../api/client";

const BROWSERS: readonly [RegExp, string][] = [
  [/Edg/, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/Chrome\//, "Chrome"],
  [/Safari\//, "Safari"],
];

const MACHINES: readonly [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone/, "an iPhone"],
  [/iPad/, "an iPad"],
  [/CrOS/, "ChromeOS"],
  [/Windows/, "Windows"],
  [/Mac OS/, "a Mac"],
  [/Linux/, "Linux"],
];

/** `Firefox on Windows`, `the command line`, or what a program calls itself, cut short. */
export function program(agent: string | undefined, via?: string): string {
  if (agent?.startsWith("countersign/")) return "the command line";
  const find = (table: readonly [RegExp, string][]): string | undefined => table.find(([sign]) => agent !== undefined && sign.test(agent))?.[1];
  const browser = find(BROWSERS);
  const machine = find(MACHINES);
  if (browser) return machine ? `${browser} on ${machine}` : browser;
  const name = agent?.split(/[\s(]/)[0]?.slice(0, 40);
  return name || (via === "console" ? "a browser" : "a program");
}

const MEANS: Record<Schemas["Means"], string> = {
  password: "password",
  totp: "authenticator app",
  "recovery-code": "recovery codes",
  passkey: "passkey",
  oidc: "identity provider",
  "oidc-two-factors": "two factors there",
  workload: "its issuer's word and its own key",
  agent: "its owner's word and its own key",
};

export const means = (of: Schemas["Means"]): string => MEANS[of];
