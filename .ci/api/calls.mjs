// Writes a TypeScript program that asks the questions with a client typed by the OpenAPI document, and prints another one in
// which each answer is a constant of its type. Usage: node calls.mjs QUESTIONS.json.
import { readFileSync } from "node:fs";

const questions = JSON.parse(readFileSync(process.argv[2], "utf8"));

console.log(`import createClient from "openapi-fetch";
import type { paths } from "./api.js";
declare const process: { argv: string[] };
const client = createClient<paths>({ baseUrl: process.argv[2] });
console.log('import type { paths } from "./api.js";');
console.log('type Answer<Path extends keyof paths> = paths[Path] extends');
console.log('  { get: { responses: { 200: { content: { "application/json": infer Body } } } } } ? Body :');
console.log('  paths[Path] extends { post: { responses: { 200: { content: { "application/json": infer Body } } } } } ? Body : never;');
`);
questions.forEach(({ method, route, path, query, body }, number) => {
  // A client that is typed takes no parameters where there are none.
  const params = Object.fromEntries(Object.entries({ path, query }).filter(([, values]) => Object.keys(values).length > 0));
  const options = body === null ? { params } : { params, body };
  console.log(`{
  const { data, response } = await client.${method.toUpperCase()}(${JSON.stringify(route)}, ${JSON.stringify(options)});
  if (data === undefined) throw new Error(${JSON.stringify(route)} + ": " + response.status);
  console.log(${JSON.stringify(`export const answer${number}: Answer<${JSON.stringify(route)}> = `)} + JSON.stringify(data) + ";");
}`);
});
