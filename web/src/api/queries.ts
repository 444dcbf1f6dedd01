// Everything the console reads, each by one name, so that live changes know what is stale.

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import { setNow } from "../lib/clock";
import { api, body, type Schemas } from "./client";

export type RequestStates = Schemas["RequestState"] | "all";

/** Which lines of the ledger somebody looks for. */
export interface Looked {
  text?: string;
  type?: string;
  principal?: string;
  session?: string;
  request?: string;
  control?: string;
  resource?: string;
  relation?: string;
  from?: string;
  until?: string;
}

export const me = queryOptions({
  queryKey: ["me"],
  queryFn: async () => {
    const answer = await body(api.GET("/me"));
    setNow(answer.now);
    return answer;
  },
  staleTime: 30_000,
});

export const signInProviders = queryOptions({
  queryKey: ["sign-in-providers"],
  queryFn: async () => (await body(api.GET("/sign-in/providers"))).items,
  staleTime: 300_000,
});

/** Of a gateway that is to be set up; of every other one there is none. */
export const setup = queryOptions({ queryKey: ["setup"], queryFn: () => body(api.GET("/setup")), retry: false, staleTime: Number.POSITIVE_INFINITY });

export const health = queryOptions({ queryKey: ["health"], queryFn: () => body(api.GET("/health")), retry: false, staleTime: 60_000 });

export const signIns = queryOptions({
  queryKey: ["sign-ins"],
  queryFn: async () => (await body(api.GET("/me/sign-ins"))).items,
  refetchInterval: 30_000,
});

export const authenticators = queryOptions({
  queryKey: ["authenticators"],
  queryFn: async () => (await body(api.GET("/me/authenticators"))).items,
});

// Each time it is asked for, it is another secret: never from memory, never again by itself.
export const totpOffer = queryOptions({
  queryKey: ["totp-offer"],
  queryFn: () => body(api.POST("/me/totp")),
  gcTime: 0,
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

export const devices = queryOptions({ queryKey: ["devices"], queryFn: () => body(api.GET("/me/devices")) });

export const inbox = queryOptions({
  queryKey: ["inbox"],
  queryFn: async () => (await body(api.GET("/requests", { params: { query: { inbox: true } } }))).items,
});

export const requests = (query: { mine?: boolean; state?: RequestStates; limit?: number }) =>
  queryOptions({
    queryKey: ["requests", query],
    queryFn: async () => (await body(api.GET("/requests", { params: { query } }))).items,
  });

export const request = (id: string) =>
  queryOptions({ queryKey: ["request", id], queryFn: () => body(api.GET("/requests/{id}", { params: { path: { id } } })) });

export const grants = (query: { mine?: boolean; state?: Schemas["GrantState"] }) =>
  queryOptions({
    queryKey: ["grants", query],
    queryFn: async () => (await body(api.GET("/grants", { params: { query } }))).items,
  });

export const sessions = (state: Schemas["SessionState"]) =>
  queryOptions({
    queryKey: ["sessions", state],
    queryFn: async () => (await body(api.GET("/sessions", { params: { query: { state } } }))).items,
  });

export const session = (id: string) =>
  queryOptions({ queryKey: ["session", id], queryFn: () => body(api.GET("/sessions/{id}", { params: { path: { id } } })) });

export const actions = (id: string) =>
  infiniteQueryOptions({
    queryKey: ["actions", id],
    queryFn: ({ pageParam }) =>
      body(api.GET("/sessions/{id}/actions", {
        params: { path: { id }, query: { limit: 50, ...(pageParam === undefined ? {} : { before: pageParam }) } },
      })),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => page.next,
  });

export const roles = queryOptions({
  queryKey: ["roles"],
  queryFn: async () => (await body(api.GET("/roles"))).items,
});

export const resources = queryOptions({
  queryKey: ["resources"],
  queryFn: async () => (await body(api.GET("/resources"))).items,
});

export const principals = queryOptions({
  queryKey: ["principals"],
  queryFn: async () => (await body(api.GET("/principals"))).items,
});

// That a directory was heard is no change that is told: it is asked for.
export const directories = queryOptions({
  queryKey: ["directories"],
  queryFn: async () => (await body(api.GET("/directories"))).items,
  refetchInterval: 15_000,
});

export const preview = (role: string, lasting: string) =>
  queryOptions({
    queryKey: ["roles", "preview", role, lasting],
    queryFn: () => body(api.GET("/roles/{role}/preview", { params: { path: { role }, query: { for: lasting } } })),
    retry: false,
  });

export const ledger = queryOptions({ queryKey: ["ledger", "state"], queryFn: () => body(api.GET("/ledger/state")) });

// Reading lines is itself a line: they are read when somebody asks for them, never because the ledger grew.
export const lines = (looked: Looked) =>
  infiniteQueryOptions({
    queryKey: ["lines", looked],
    queryFn: ({ pageParam }) =>
      body(api.GET("/ledger/events", {
        params: { query: { ...looked, limit: 50, ...(pageParam === undefined ? {} : { before: pageParam }) } },
      })),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => page.next,
    staleTime: Number.POSITIVE_INFINITY,
  });

export const line = (seq: number) =>
  queryOptions({
    queryKey: ["line", seq],
    queryFn: () => body(api.GET("/ledger/events/{seq}", { params: { path: { seq } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const bundle = queryOptions({ queryKey: ["bundle", "in-force"], queryFn: () => body(api.GET("/bundle")) });

export const bundleVersions = queryOptions({
  queryKey: ["bundle", "versions"],
  queryFn: async () => (await body(api.GET("/bundle/versions"))).items,
});

/** The files of a bundle; of the one in force without a name. A bundle never changes, so one that is named is read once. */
export const bundleFiles = (id?: string) =>
  queryOptions({
    queryKey: id === undefined ? ["bundle", "files"] : ["bundle-files", id],
    queryFn: () => body(api.GET("/bundle/files", { params: { query: id === undefined ? {} : { id } } })),
    ...(id === undefined ? {} : { staleTime: Number.POSITIVE_INFINITY }),
    retry: false,
  });

export const catalogue = queryOptions({ queryKey: ["catalogue"], queryFn: () => body(api.GET("/catalogue")) });

// As lines: reading them is a line, so they are read when somebody asks.
export const accesses = (query: { resource?: string; person?: string; from: string; until: string }) =>
  queryOptions({
    queryKey: ["accesses", query],
    queryFn: () => body(api.GET("/accesses", { params: { query: { ...query, acts: 2_000 } } })),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
