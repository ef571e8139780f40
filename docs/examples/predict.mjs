// Ask a model for a row and for a batch, in Node.js 18 or later: node predict.mjs URL MODEL
import { setTimeout as sleep } from "node:timers/promises";

const row = { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2 };
const batch = [
  row,
  { sepal_length: 6.3, sepal_width: 2.9, petal_length: 5.6, petal_width: 1.8 },
  { sepal_length: 5.7, sepal_width: 2.8, petal_length: 4.5, petal_width: null }, // a missing value
];
const [url, model] = process.argv.slice(2);
const retries = 4;
const headers = { "content-type": "application/json" };
if (process.env.API_KEY) headers.authorization = `Bearer ${process.env.API_KEY}`;

async function predict(instances) {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(`${url}/v1/models/${encodeURIComponent(model)}:predict`, {
      method: "POST",
      headers,
      body: JSON.stringify({ instances }),
      signal: AbortSignal.timeout(60_000),
    });
    if (response.ok) return (await response.json()).predictions;
    const error = (await response.text()).trim();
    // The queue is full, or the pod leaves: later, or by another pod, it is answered.
    const later = response.status === 429 || response.status === 503;
    if (!later || attempt === retries) throw new Error(`${response.status}: ${error}`);
    const seconds = Number(response.headers.get("retry-after") ?? 2 ** attempt / 10);
    await sleep(1000 * seconds * (1 + Math.random() / 2)); // not all clients at once
  }
}

try {
  for (const [name, instances] of Object.entries({ row: [row], batch })) {
    const predictions = await predict(instances);
    console.log(`${name}:`, ...predictions.map((one) => one.label));
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
