// A program in TypeScript as somebody would write it on the types made from the API's description: it must compile, and work.
import createClient from "openapi-fetch";
import type { paths as SignIn } from "./made/auth.js";
import type { paths as Api } from "./made/v1.js";

declare const process: { argv: string[] };

const [url = "", token = "", device_id = ""] = process.argv.slice(2);
const api = createClient<Api>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const signIn = createClient<SignIn>({ baseUrl: url });

const listed = await api.GET("/api/v1/devices", { params: { query: { page_size: 2 } } });
const path = { device_id, number: 10 };
const set = await api.PUT("/api/v1/devices/{device_id}/gpio/{number}", { params: { path }, body: { value: 1 } });
const refused = await api.PUT("/api/v1/devices/{device_id}/gpio/{number}", { params: { path }, body: { value: 7 } });
const config = await signIn.GET("/api/auth/app/v1/config");

console.log(
  JSON.stringify({
    names: listed.data?.results.map((device) => device.name),
    value: set.data?.value,
    refused: refused.error?.code,
    config: config.data?.status,
  }),
);
