import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The gateway to develop against; `countersign demo` prints its console's address.
const gateway = process.env["COUNTERSIGN_URL"] ?? "http://localhost:7780";

export default defineConfig({
  plugins: [react()],
  build: { target: "es2022", sourcemap: false, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": gateway } },
});
