import { load } from "./model.mjs";

const SHOWN = 5;
const MOST_CALLS = 4096; // a clock that stands still must not hold the page up
const element = (id) => document.getElementById(id);
const { threshold } = JSON.parse(element("about").textContent);
const input = element("text");
const more = element("more");
const encoder = new TextEncoder();
let showAll = false;
let timer;

/** A label with control characters as escapes, so that each is one visible line. */
function visible(label) {
  return label === "" ? "(empty)" : label.replace(/[\0-\x1f\x7f]/g, (c) => JSON.stringify(c).slice(1, -1));
}

function percent(score) {
  return `${(100 * score).toFixed(1)} %`;
}

function row({ label, score }) {
  const item = document.createElement("li");
  const name = document.createElement("bdi");
  name.className = "name";
  name.textContent = name.title = visible(label);
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.append(document.createElement("span"));
  bar.firstChild.style.width = `${100 * score}%`;
  const value = document.createElement("span");
  value.className = "score";
  value.textContent = percent(score);
  item.append(name, bar, value);
  return item;
}

function answer(model) {
  const text = input.value;
  const length = encoder.encode(text).length;
  const scores = model.predict(text);
  const known = threshold === null || scores[0].score >= threshold;
  element("best").textContent = known ? visible(scores[0].label) : "none of these";
  element("best").classList.toggle("none", !known);
  element("scores").replaceChildren(...scores.slice(0, showAll ? scores.length : SHOWN).map(row));
  more.hidden = scores.length <= SHOWN;
  more.textContent = showAll ? `Show the best ${SHOWN}` : `Show all ${scores.length} classes`;
  more.setAttribute("aria-expanded", String(showAll));
  const cut = length > model.maxBytes ? `, the first ${model.maxBytes} are read` : ` of ${model.maxBytes} that are read`;
  element("read").textContent = `${length} bytes${cut}`;
}

/** Show the time for one answer: of as many calls as fill ten milliseconds, because a browser's clock is coarse. */
function measure(model) {
  const bytes = encoder.encode(input.value);
  for (let calls = 1; calls <= MOST_CALLS; calls *= 2) {
    const begin = performance.now();
    for (let i = 0; i < calls; i++) model.probabilities(bytes);
    const spent = performance.now() - begin;
    if (spent >= 10) {
      const time = (1000 * spent) / calls;
      element("time").textContent = time < 1000 ? `${time.toFixed(0)} µs` : `${(time / 1000).toFixed(2)} ms`;
      return;
    }
  }
}

try {
  const model = await load();
  input.value ||= decodeURIComponent(location.hash.slice(1));
  answer(model);
  const [arrived] = performance.getEntriesByType("navigation");
  element("first").textContent = `${(performance.now() - arrived.responseEnd).toFixed(0)} ms`;
  input.addEventListener("input", () => {
    answer(model);
    clearTimeout(timer);
    timer = setTimeout(measure, 150, model);
  });
  more.addEventListener("click", () => {
    showAll = !showAll;
    answer(model);
  });
  timer = setTimeout(measure, 150, model);
} catch (error) {
  element("problem").hidden = false;
  element("problem").textContent = `The model could not be loaded: ${error.message}`;
}
