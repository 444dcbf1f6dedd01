// The API, typed from its OpenAPI document. A refusal is thrown as a Problem (RFC 9457) and shown in its own words.

import createClient, { type Middleware } from "openapi-fetch";

import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Request = Schemas["Request"];
export type Grant = Schemas["Grant"];
export type Session = Schemas["Session"];
export type Role = Schemas["Role"];
export type Me = Schemas["Me"];
export type Event = Schemas["Event"];

/** What the gateway refused, and what to do next. */
export class Problem extends Error {
  readonly status: number;
  readonly hint: string | undefined;
  /** Where to do it. */
  readonly link: string | undefined;

  constructor(status: number, detail: string, hint?: string, link?: string) {
    super(detail);
    this.status = status;
    this.hint = hint;
    this.link = link;
  }
}

/** What an answer says that refuses. */
export async function refusal(answer: Response): Promise<Problem> {
  const problem = await answer.json().catch(() => ({})) as Partial<Schemas["Problem"]>;
  return new Problem(answer.status, problem.detail ?? problem.title ?? "the gateway did not say why", problem.hint ?? undefined, problem.link ?? undefined);
}

/** Called when the sign-in is over. The app shows the sign-in page and comes back to where it was. */
let onSignedOut: () => void = () => {};
export const whenSignedOut = (call: () => void): void => {
  onSignedOut = call;
};

const refuse: Middleware = {
  async onResponse({ response, schemaPath }) {
    if (response.ok) return undefined;
    const problem = await refusal(response.clone());
    if (response.status === 401 && !schemaPath.startsWith("/sign-in") && !schemaPath.startsWith("/setup")) onSignedOut();
    throw problem;
  },
  onError() {
    return new Problem(0, "the gateway does not answer", "check your connection; this page tries again by itself");
  },
};

export const api = createClient<paths>({ baseUrl: "/api/v1", headers: { "X-Countersign": "1" }, credentials: "same-origin" });
api.use(refuse);

/** The body of an answer that is never empty. */
export async function body<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  if (data === undefined) throw new Problem(0, "the gateway answered with nothing");
  return data;
}
