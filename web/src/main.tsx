// Where the console begins.

import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/pages.css";

import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Problem } from "./api/client";
import { App } from "./App";
import { theme } from "./theme";

// The page's policy lets through only style elements that carry this page's nonce.
const nonce = document.querySelector<HTMLMetaElement>("meta[name=csp-nonce]")?.content ?? "";

/** A refusal stands; a gateway that does not answer is asked again. */
const again = (failures: number, error: Error): boolean =>
  failures < 4 && (!(error instanceof Problem) || error.status === 0 || error.status >= 500);

const client = new QueryClient({
  defaultOptions: { queries: { retry: again, staleTime: 5_000 }, mutations: { retry: false } },
});

// The console opens without its gateway, and says so. Where there is no such thing, it is as it was.
if (import.meta.env.PROD && "serviceWorker" in navigator) void navigator.serviceWorker.register("/sw.js").catch(() => undefined);

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
        <QueryClientProvider client={client}>
          <Notifications position="top-right" limit={4} containerWidth={360} />
          <App />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
