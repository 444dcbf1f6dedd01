// The conformance suite imports `globSync` of Node.js 22 for a command that is not used here. An older Node.js has it start all the same.
import { register } from "node:module";

const source = `export * from "node:fs"; import fs from "node:fs"; export const globSync = fs.globSync;`;
const url = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
register(url(`
  export const resolve = async (name, context, next) =>
    name === "fs" && context.parentURL?.includes("/conformance/dist/")
      ? { url: ${JSON.stringify(url(source))}, shortCircuit: true }
      : next(name, context);
`));
