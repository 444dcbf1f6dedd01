// Everything the console reads, each by one name, so that live changes know what is stale.

import { queryOptions } from "@tanstack/react-query";

import { api, body, type Schemas } from "./client";

type RequestList = { items: Schemas["Request"][] };
type GrantList = { items: Schemas["Grant"][] };
type SessionList = { items: Schemas["Session"][] };
type RoleList = { items: Schemas["Role"][] };
type ResourceList = { items: Schemas["Resource"][] };
type PrincipalList = { items: Schemas["Principal"][] };

export const me = queryOptions({
  queryKey: ["me"],
  queryFn: () => body(api.GET("/me")),
  retry: false,
  staleTime: 30_000,
});

export const inbox = queryOptions({
  queryKey: ["inbox"],
  queryFn: async () => ((await body(api.GET("/requests", { params: { query: { inbox: true } } }))) as RequestList).items,
});

export const requests = (query: { mine?: boolean; state?: string; limit?: number }) =>
  queryOptions({
    queryKey: ["requests", query],
    queryFn: async () => ((await body(api.GET("/requests", { params: { query: query as never } }))) as RequestList).items,
  });

export const request = (id: string) =>
  queryOptions({ queryKey: ["request", id], queryFn: () => body(api.GET("/requests/{id}", { params: { path: { id } } })) });

export const grants = (query: { mine?: boolean; state?: string }) =>
  queryOptions({
    queryKey: ["grants", query],
    queryFn: async () => ((await body(api.GET("/grants", { params: { query: query as never } }))) as GrantList).items,
  });

export const sessions = (state: "live" | "ended") =>
  queryOptions({
    queryKey: ["sessions", state],
    queryFn: async () => ((await body(api.GET("/sessions", { params: { query: { state } as never } }))) as SessionList).items,
  });

export const actions = (id: string) =>
  queryOptions({
    queryKey: ["session", id],
    queryFn: () => body(api.GET("/sessions/{id}/actions", { params: { path: { id } } })),
  });

export const roles = queryOptions({
  queryKey: ["roles"],
  queryFn: async () => ((await body(api.GET("/roles"))) as RoleList).items,
});

export const resources = queryOptions({
  queryKey: ["resources"],
  queryFn: async () => ((await body(api.GET("/resources"))) as ResourceList).items,
});

export const principals = queryOptions({
  queryKey: ["principals"],
  queryFn: async () => ((await body(api.GET("/principals"))) as PrincipalList).items,
});

export const bundle = queryOptions({ queryKey: ["bundle"], queryFn: () => body(api.GET("/bundle")) });

export const preview = (role: string, lasting: string) =>
  queryOptions({
    queryKey: ["roles", "preview", role, lasting],
    queryFn: () => body(api.GET("/roles/{role}/preview", { params: { path: { role }, query: { for: lasting } } })),
    retry: false,
  });

export const ledger = queryOptions({ queryKey: ["ledger", "state"], queryFn: () => body(api.GET("/ledger/state")) });

export const event = (seq: number) =>
  queryOptions({
    queryKey: ["event", seq],
    queryFn: () => body(api.GET("/ledger/events/{seq}", { params: { path: { seq } } })),
  });
