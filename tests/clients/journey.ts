// A first email, sent and read back by a client that openapi-typescript made: `node journey.js <url> <key>`.
// It is compiled first, so a member that the description does not know ends here.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [url, key] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

function taken<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no answer");
  return answer.data;
}

const provider = taken(
  await api.POST("/api/email-providers", {
    params: { query: { verify: false } },
    body: {
      name: "TypeScript",
      provider_type: "smtp",
      smtp_credentials: { host: "127.0.0.1", port: 2525, encryption: "none" },
    },
  }),
);
// The first provider of one's own becomes the default; the bundled inbox shall be it again.
const inbox = taken(await api.GET("/api/email-providers")).find((each) => each.is_local_inbox);
if (inbox === undefined) throw new Error("there is no local inbox");
taken(await api.PATCH("/api/email-providers/{id}", { params: { path: { id: inbox.id } }, body: { is_default: true } }));
const sent = taken(
  await api.POST("/api/emails", {
    body: { from: "Shop <hello@ts.example>", to: ["you@example.com"], subject: "From TypeScript", text: "Hello" },
  }),
);
const status: "queued" | "captured" = sent.status;
const deadline = Date.now() + 10_000;
let email: components["schemas"]["Email"];
do {
  email = taken(await api.GET("/api/emails/{id}", { params: { path: { id: sent.id } } }));
} while (email.status === "queued" && Date.now() < deadline);
const listed = taken(await api.GET("/api/emails", { params: { query: { subject: "From TypeScript" } } }));
const facts = taken(await api.GET("/api/emails/{id}/timeline", { params: { path: { id: sent.id } } }));
const missing = await api.GET("/api/emails/{id}", { params: { path: { id: "00000000-0000-7000-8000-000000000000" } } });

console.log(
  JSON.stringify({
    provider: provider.provider_type,
    accepted: status,
    status: email.status,
    recipient: email.recipients[0].address,
    total: listed.total,
    facts: facts.map((fact) => fact.type),
    missing: [missing.response.status, missing.error?.error_code],
  }),
);
