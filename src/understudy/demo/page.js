import { load } from "./{{ about.loader }}";

const SHOWN = 5;
const NOTHING = "nothing yet";
const MOST_CALLS = 4096; // a clock that stands still must not hold the page up
const element = (id) => document.getElementById(id);
const { threshold } = JSON.parse(element("about").textContent);
const more = element("more");
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

/** Show what the model says about `example`; null is none. */
function answer(model, example) {
  const scores = example ? model.predict(example) : [];
  const known = scores.length && (threshold === null || scores[0].score >= threshold);
  element("best").textContent = known ? visible(scores[0].label) : scores.length ? "none of these" : NOTHING;
  element("best").classList.toggle("none", !known);
  element("scores").replaceChildren(...scores.slice(0, showAll ? scores.length : SHOWN).map(row));
  more.hidden = scores.length <= SHOWN;
  more.textContent = showAll ? `Show the best ${SHOWN}` : `Show all ${scores.length} classes`;
  more.setAttribute("aria-expanded", String(showAll));
}

function complain(problem) {
  element("problem").hidden = !problem;
  element("problem").textContent = problem;
}

/** Show the time for one answer: of as many calls as fill ten milliseconds, because a browser's clock is coarse. */
function measure(model, example) {
  for (let calls = 1; calls <= MOST_CALLS; calls *= 2) {
    const begin = performance.now();
    for (let i = 0; i < calls; i++) model.probabilities(example);
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
  complain(""); // a browser that was told to allow it runs the page from a file too
  let example = null;
  connect(model, (given) => {
    example = given;
    answer(model, example);
    clearTimeout(timer);
    if (example) timer = setTimeout(measure, 150, model, example);
  });
  const [arrived] = performance.getEntriesByType("navigation");
  element("first").textContent = `${(performance.now() - arrived.responseEnd).toFixed(0)} ms`;
  more.addEventListener("click", () => {
    showAll = !showAll;
    answer(model, example);
  });
} catch (error) {
  complain(`The model could not be loaded: ${error.message}`);
}
