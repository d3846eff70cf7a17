// Drives Chromium over its debugging pipe: node browser.mjs URL STEPS, where STEPS is JSON. A step is {"wait": expression that
// becomes true}, {"type": text}, {"key": name, "shift": true}, {"drag": [[x, y], ...]} in fractions of the element "on",
// {"file": path, "on": selector}, {"evaluate": expression}, {"do": expression}, {"screenshot": path}, {"dark": true} or {"width": pixels}.
// Prints what the evaluations gave.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const [url, steps] = process.argv.slice(2);
const arguments_ = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "about:blank"];
const browser = spawn("chromium", arguments_, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const waiting = new Map();
let received = "";
let count = 0;
browser.stdio[4].on("data", (data) => {
  received += data;
  for (let end; (end = received.indexOf("\0")) >= 0; received = received.slice(end + 1)) {
    const message = JSON.parse(received.slice(0, end));
    waiting.get(message.id)?.(message);
  }
});

async function send(method, params = {}, sessionId = undefined) {
  const id = ++count;
  const answer = new Promise((resolve) => waiting.set(id, resolve));
  browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
  const { result, error } = await answer;
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

try {
  const { targetInfos } = await send("Target.getTargets");
  const { targetId } = targetInfos.find((target) => target.type === "page");
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const inPage = (method, params) => send(method, params, sessionId);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await inPage("Runtime.evaluate", { expression, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await inPage("Page.enable");
  if (JSON.parse(steps).some((step) => step.dark)) {
    await inPage("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] });
  }
  const { width } = JSON.parse(steps).find((step) => step.width) ?? {};
  if (width) {
    await inPage("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false });
  }
  await inPage("Page.navigate", { url });
  const answers = [];
  for (const step of JSON.parse(steps)) {
    if (step.wait) {
      for (let tries = 0; !(await evaluate(step.wait)); tries++) {
        if (tries > 200) throw new Error(`never true: ${step.wait}; the page says ${await evaluate("document.body.innerText")}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } else if (step.type) {
      await inPage("Input.insertText", { text: step.type });
    } else if (step.key) {
      const codes = { Enter: 13, Tab: 9, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40, Delete: 46 };
      const key = { key: step.key, code: step.key, modifiers: step.shift ? 8 : 0, windowsVirtualKeyCode: codes[step.key] };
      await inPage("Input.dispatchKeyEvent", { type: "keyDown", ...key, ...(step.key === "Enter" && { text: "\r" }) });
      await inPage("Input.dispatchKeyEvent", { type: "keyUp", ...key });
    } else if (step.drag) {
      const box = await evaluate(`document.querySelector("${step.on}").getBoundingClientRect().toJSON()`);
      const points = step.drag.map(([x, y]) => ({ x: box.x + x * box.width, y: box.y + y * box.height }));
      const mouse = (type, point) => inPage("Input.dispatchMouseEvent", { type, ...point, button: "left", buttons: 1, clickCount: 1 });
      await mouse("mousePressed", points[0]);
      for (const point of points.slice(1)) await mouse("mouseMoved", point);
      await mouse("mouseReleased", points.at(-1));
    } else if (step.file) {
      const { result } = await inPage("Runtime.evaluate", { expression: `document.querySelector("${step.on}")` });
      await inPage("DOM.setFileInputFiles", { files: [step.file], objectId: result.objectId });
    } else if (step.screenshot) {
      const { data } = await inPage("Page.captureScreenshot", { captureBeyondViewport: true });
      writeFileSync(step.screenshot, Buffer.from(data, "base64"));
    } else if (step.do) {
      await evaluate(step.do);
    } else if (step.evaluate) {
      answers.push(await evaluate(step.evaluate));
    }
  }
  console.log(JSON.stringify(answers));
} finally {
  browser.kill();
}
