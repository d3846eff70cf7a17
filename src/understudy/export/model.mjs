/* Runs the text classifier model.wasm that understudy wrote, in browsers and in Node:
 *
 *   import { load } from "./model.mjs";
 *   const model = await load();      // the file beside this one, or load(url), or load(bytes)
 *   model.predict("some text");      // [{ label, score }, ...], the best first
 */
async function read(source) {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return source;
  if (globalThis.process?.versions?.node && !/^https?:/.test(source)) {
    return (await import("node:fs/promises")).readFile(source);
  }
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}: ${source}`);
  return response.arrayBuffer();
}

export async function load(source = new URL("model.wasm", import.meta.url)) {
  const module = await WebAssembly.compile(await read(source));
  const { exports } = await WebAssembly.instantiate(module);
  const [about] = WebAssembly.Module.customSections(module, "understudy");
  const { name, labels, max_bytes: maxBytes } = JSON.parse(new TextDecoder().decode(about));
  const input = new Uint8Array(exports.memory.buffer, exports.text.value, maxBytes);
  const output = new Float32Array(exports.memory.buffer, exports.scores.value, labels.length);
  const encoder = new TextEncoder();

  /** A probability for each label, of a string or of UTF-8 bytes; only the first maxBytes bytes are read. */
  function probabilities(text) {
    const bytes = (typeof text === "string" ? encoder.encode(text) : text).subarray(0, maxBytes);
    input.set(bytes);
    exports.predict(bytes.length);
    return output.slice();
  }

  /** [{ label, score }, ...], the best first. */
  function predict(text) {
    const scores = probabilities(text);
    return labels.map((label, i) => ({ label, score: scores[i] })).sort((a, b) => b.score - a.score);
  }

  return { name, labels, maxBytes, probabilities, predict };
}
